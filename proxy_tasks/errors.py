"""The one exception of this package.

    ValueError
    └── TaskError    a person's mistake in a task's name, knobs or data file

A bug in a task is not a `TaskError`, and a model that diverges is no error at all: its metric is NaN.
"""

import difflib
from collections.abc import Iterable


class TaskError(ValueError):
    """A task cannot be built as asked; the message says what was expected, what was found and where."""


def unknown(kind: str, name: str, known: Iterable[str]) -> TaskError:
    """The error for `name` where one of `known` was expected, naming the closest of them.

    Args:
        kind: what the name should have named, "task" or "knob".
        name: what was found.
        known: every valid name.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return TaskError(f"unknown {kind} {name!r}: {hint}expected one of {', '.join(names)}")
