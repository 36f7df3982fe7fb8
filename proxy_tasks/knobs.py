"""Knobs: the frozen dataclass of settings that each row of the table has, and the checks on it.

A knob states its bounds where it is declared, so the check, the error and the help text read the same fact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from proxy_tasks.errors import TaskError
from proxy_tasks.protocol import TaskData

Check = Callable[[object], str | None]
"""What was expected of a value, in words, or None where the value will do."""

DTYPES = ("float32", "bfloat16")
"""Types that a model may compute in; weights, losses and metrics are float32 in any case."""


def whole(default: int, most: int = 65_536, least: int = 1, multiple: int = 1) -> Any:
    """A knob that is a whole number from `least` to `most`, one of the multiples of `multiple`."""
    kind = "whole number" if multiple == 1 else f"multiple of {multiple}"

    def check(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        good = good and value % multiple == 0  # type: ignore[operator]
        return None if good else f"a {kind} from {least} to {most}"

    return field(default=default, metadata={"check": check})


def number(default: float, least: float, most: float) -> Any:
    """A knob that is a number from `least` to `most`."""

    def check(value: object) -> str | None:
        good = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
        return None if good else f"a number from {least:g} to {most:g}"

    return field(default=default, metadata={"check": check})


def choice(default: str, *others: str) -> Any:
    """A knob that is one of a few names."""
    names = (default, *others)
    return field(
        default=default,
        metadata={"check": lambda value: None if value in names else f"one of {', '.join(names)}"},
    )


def optional(knob: Any) -> Any:
    """The same knob, or null, which is the default."""
    inner: Check = knob.metadata["check"]

    def check(value: object) -> str | None:
        expected = None if value is None else inner(value)
        return f"{expected} or null" if expected else None

    return field(default=None, metadata={"check": check})


def flag(default: bool) -> Any:
    """A knob that is true or false."""
    return field(
        default=default,
        metadata={"check": lambda value: None if isinstance(value, bool) else "true or false"},
    )


def name(of: str = "a column") -> Any:
    """A knob that names something, or is null, which is the default."""

    def check(value: object) -> str | None:
        good = value is None or (isinstance(value, str) and value)
        return None if good else f"the name of {of} or null"

    return field(default=None, metadata={"check": check})


@dataclass(frozen=True)
class Knobs:
    """What every task can be set to.

    Attributes:
        steps: training steps.
        batch: examples a step.
        dtype: what the model computes in, of `DTYPES`; bfloat16 is for accelerators.

    Raises:
        TaskError: a value is of the wrong type or out of bounds.
    """

    steps: int = whole(200, most=10_000_000)
    batch: int = whole(64)
    dtype: str = choice(*DTYPES)

    def __post_init__(self) -> None:
        for knob in fields(self):
            value = getattr(self, knob.name)
            expected = knob.metadata["check"](value)
            if expected:
                raise TaskError(f"knob {knob.name!r}: expected {expected}, found {value!r}")


@dataclass(frozen=True)
class DataKnobs(Knobs):
    """A task on examples that a person can replace.

    Attributes:
        path: a data file or folder in place of the bundled data, or None.
        examples: at most so many examples (characters of a text) are taken from it.
        fraction: the share of the training split that is trained on.
    """

    path: str | None = name("a file")
    examples: int = whole(100_000, most=100_000_000)
    fraction: float = number(1.0, 0.001, 1.0)


def data_of(knobs: Knobs, load: Callable[[], TaskData]) -> Callable[[], TaskData]:
    """`Task.data` from `load`: bundled data are read when first used, a file that a person names at once.

    So a mistake in a file stops the build, not a worker later on.
    """
    data = cache(load)
    if getattr(knobs, "path", None) is not None:
        data()
    return data
