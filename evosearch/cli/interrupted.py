"""Ctrl-C, wherever it strikes: it is never lost, and nothing but our own line is printed."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LATER = 0.02
"""Seconds after which a swallowed Ctrl-C is delivered again; if it is swallowed once more, so it goes on."""


@contextmanager
def never_lost() -> Iterator[None]:
    """While it lasts, a Ctrl-C that strikes where Python swallows exceptions is delivered once more.

    Such places are callbacks of the garbage collector (JAX has one) and finalisers: Python prints a traceback
    of what is raised there, and goes on.
    """
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not at once: it would strike in this very function, where exceptions are swallowed, too.
            again = threading.Timer(LATER, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def no_more() -> None:
    """From here on this process ends: another Ctrl-C would only put a traceback behind its last line."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
