"""Knobs: the frozen dataclass of settings that each row of the table has, and the checks on it.

A knob states its bounds where it is declared, so the check, the error and the help text read the same fact.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from proxy_tasks.errors import TaskError
from proxy_tasks.protocol import TaskData


def whole(default: int, most: int = 65_536) -> Any:
    """A knob that is a whole number from 1 to `most`."""
    return field(default=default, metadata={"most": most})


@dataclass(frozen=True)
class Knobs:
    """What every task can be set to.

    Attributes:
        steps: training steps.
        batch: examples a step.
        path: a data file in place of the bundled data, or None.

    Raises:
        TaskError: a value is of the wrong type or out of bounds.
    """

    steps: int = whole(200, most=10_000_000)
    batch: int = whole(64)
    path: str | None = None

    def __post_init__(self) -> None:
        for knob in fields(self):
            if "most" in knob.metadata:
                _check_whole(knob.name, getattr(self, knob.name), knob.metadata["most"])
        _check_path(self.path)


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise TaskError(f"knob {name!r}: expected a whole number from 1 to {most}, found {value!r}")


def _check_path(path: object) -> None:
    if path is not None and (not isinstance(path, str) or not path):
        raise TaskError(f"knob 'path': expected the name of a file or null, found {path!r}")


def data_of(knobs: Knobs, load: Callable[[], TaskData]) -> Callable[[], TaskData]:
    """`Task.data` from `load`: bundled data are read when first used, a file that a person names at once.

    So a mistake in a file stops the build, not a worker later on.
    """
    data = cache(load)
    if knobs.path is not None:
        data()
    return data
