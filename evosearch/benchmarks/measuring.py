"""What every part of the benchmark has in common: a result, and measurements in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import jax
from jax.experimental.compilation_cache import compilation_cache

from evosearch.evaluation import Outcome, Status
from evosearch.language import Statement, builtin
from evosearch.language.program import Statements

FORTY = "forty"
"""A program of forty live statements; see `program`."""


@dataclass(frozen=True)
class Result:
    """One comparison.

    Attributes:
        ours: what was measured.
        other: the alternative; None where there is none.
        unit: of both.
        versus: what the alternative is, or a note.
        spread: of ours, half the distance between its quartiles as a share of the median; None for one
            measurement.
    """

    ours: float
    other: float | None
    unit: str
    versus: str
    spread: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the other."""
        return self.ours / self.other if self.other else None


def in_turn(ways: Sequence[Callable[[], float]], rounds: int) -> list[list[float]]:
    """What each way measures, `rounds` times, after one time to warm up; each round asks every way once.

    >>> in_turn([lambda: 1.0, lambda: 2.0], 3)
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    for way in ways:
        way()
    return [list(column) for column in zip(*[[way() for way in ways] for _ in range(rounds)], strict=True)]


def compared(
    times: Sequence[Sequence[float]], unit: str, versus: str, scale: float = 1.0, place: int = 1
) -> Result:
    """The first of several ways against the one at `place`, as medians."""
    ours = statistics.median(times[0])
    quarters = statistics.quantiles(times[0], n=4) if len(times[0]) > 1 else [ours] * 3
    spread = (quarters[2] - quarters[0]) / 2 / ours
    return Result(scale * ours, scale * statistics.median(times[place]), unit, versus, spread)


def timed(action: Callable[..., object], *args: object) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    action(*args)
    return time.perf_counter() - begin


@contextmanager
def compiling_anew() -> Iterator[None]:
    """Nothing is taken from disk that was compiled before: reading it would be no measure of compiling."""
    kept: bool = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    _keep_compilations(False)
    try:
        yield
    finally:
        _keep_compilations(kept)


def _keep_compilations(kept: bool) -> None:
    jax.config.update("jax_enable_compilation_cache", kept)  # type: ignore[no-untyped-call]
    compilation_cache.reset_cache()  # it looks at the setting once only


def program(name: str) -> Statements:
    """A shipped program, or FORTY: AdamW's, whose update goes through 31 more statements before it is used.

    >>> from evosearch.language import analyze
    >>> sum(analyze(program(FORTY)).live)
    40
    """
    if name != FORTY:
        return builtin(name).statements
    longer = list(builtin("adamw").statements)
    for number in range((40 - len(longer)) // 4):
        update, x, y = "update", f"x{number}", f"y{number}"
        longer += [
            Statement(x, "abs", (update,)),
            Statement(x, "sqrt", (x,)),
            Statement(y, "multiply", (x, 0.001 * (number + 1))),
            Statement(update, "interp", (update, y, 0.001)),
        ]
    rest = [Statement("update", "multiply", ("update", 0.9999))] * (40 - len(longer))
    return (*longer, *rest)


def scored(metric: float) -> Outcome:
    """The outcome of one training that went past two hurdles."""
    return Outcome(Status.OK, (((metric,),),), (((metric, metric),),), 1, 0.0)
