"""Ctrl-C, wherever it strikes: it is never lost, and nothing but one line is printed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

LINE = "stopped at once; a run can be resumed with --resume"

LATER = 0.02
"""Seconds after which a swallowed Ctrl-C is delivered again; if it is swallowed once more, so it goes on."""

_IMPORTING = "<frozen importlib._bootstrap>"


@contextmanager
def interruptible() -> Iterator[None]:
    """While it lasts, Ctrl-C raises KeyboardInterrupt in the main thread, also where Python would lose it.

    In callbacks of the garbage collector (JAX has one) and in finalisers Python prints a traceback of what is
    raised and goes on: there it is delivered once more. In the midst of an import the process ends at once:
    modules in C, JAX's among them, fail in odd ways or crash if they are interrupted, and nothing has begun.
    """
    hook_before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not at once: it would strike in this very function, where exceptions are swallowed, too.
            again = threading.Timer(LATER, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            hook_before(unraisable)

    in_main = threading.current_thread() is threading.main_thread()
    sys.unraisablehook = hook
    handler_before = signal.signal(signal.SIGINT, _handle) if in_main else None
    try:
        yield
    finally:
        sys.unraisablehook = hook_before
        if handler_before is not None:
            signal.signal(signal.SIGINT, handler_before)


def _handle(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            os.write(2, f"error: {LINE}\n".encode())
            os._exit(1)
        frame = frame.f_back
    raise KeyboardInterrupt


def no_more() -> None:
    """From here on this process ends: another Ctrl-C would only put a traceback behind its last line."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
