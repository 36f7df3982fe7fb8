"""A sequential test of "no worse by a margin": few seeds where the answer is plain, more where it is not.

Two programs are trained in pairs, seed by seed, and looked at after the first few seeds, then after twice as
many, and so on. At each look a one-sided t test asks whether the loss is below the margin. Who looks often
enough finds what he wants, so each look may err with only a part of the chance that is allowed in all; the
parts follow Pocock's spending function and are computed from the joint distribution of the looks.

Two ways lead to an early end without acceptance: the loss is above the margin just as surely, or acceptance
at the last look has become unlikely. Both can only lower the chance of a wrong acceptance.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from evosearch.errors import StudyError

HOPE = 0.05
"""A test goes on while acceptance at its last look has at least this chance."""

_CELLS = 600
"""Of the grid on which the joint distribution of the looks is integrated."""

_FEWEST = 3
"""Seeds at the first look: fewer tell nothing of a spread."""

Numbers = NDArray[np.float64]


class Decision(enum.Enum):
    """What a test says; the value is what people read."""

    ACCEPTED = "no worse by the margin"
    WORSE = "worse by more than the margin"
    HOPELESS = "not to be settled with the seeds that are left"
    UNSETTLED = "not settled with all seeds"
    DIVERGED = "a training diverged"
    GIVES_BACK = "gives back what earlier changes gained"
    OPEN = "not finished"


@dataclass(frozen=True)
class Design:
    """What a test may lose, how surely, and when it looks.

    Attributes:
        margin: a loss as a share of the original's metric; above 0.
        error: the chance of accepting a loss of exactly the margin, over all looks together; in (0, 0.5).
        looks: numbers of seeds, rising.

    Raises:
        StudyError: values that are no design.

    Example:
        Design(margin=0.05, error=0.05, looks=(8, 16, 32))
    """

    margin: float
    error: float
    looks: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.margin) and self.margin > 0):
            raise StudyError(f"expected a margin above 0, such as 0.05 for 5 %, found {self.margin:g}")
        if not 0 < self.error < 0.5:
            raise StudyError(f"expected a chance of error between 0 and 0.5, found {self.error:g}")
        rising = list(self.looks) == sorted(set(self.looks))
        if not self.looks or not rising or self.looks[0] < _FEWEST:
            found = ", ".join(map(str, self.looks)) or "none"
            raise StudyError(f"expected looks at rising numbers of seeds, at least {_FEWEST}, found {found}")

    @property
    def levels(self) -> tuple[float, ...]:
        """The level of the t test at each look."""
        return levels(self.looks, self.error)


@dataclass(frozen=True)
class Verdict:
    """What a test found. Losses are shares of the original's metric; negative where the variant is better.

    Attributes:
        decision: what the test says.
        seeds: pairs that were looked at.
        loss: mean of the variant's metric - the original's; infinite after a divergence.
        upper: bound on it from above, at the level of the last look taken.
        lower: bound on it from below, likewise.
    """

    decision: Decision
    seeds: int
    loss: float
    upper: float
    lower: float


UNTESTED = Verdict(Decision.OPEN, 0, math.nan, math.inf, -math.inf)
"""Of a test that has not begun."""


def doubling(first: int, last: int) -> tuple[int, ...]:
    """Looks after `first` seeds, twice as many, and so on, and after `last`.

    >>> doubling(4, 24)
    (4, 8, 16, 24)
    """
    looks = []
    while first < last:
        looks.append(first)
        first *= 2
    return (*looks, last)


def judge(design: Design, variant: ArrayLike, original: ArrayLike) -> Verdict:
    """What the test says at one of its looks.

    The metrics of a seed are averages over tasks, scaled so that the original's are about 1. What is tested
    is the mean of `variant - (1 + margin) * original`, so that the original's own mean need not be known.

    Args:
        design: of the test; so many seeds must be one of its looks.
        variant: (seeds,) float; not finite where a training diverged.
        original: (seeds,) float, the same seeds; finite, with a mean above 0.

    Returns:
        `Decision.OPEN` where the test goes on to the next look.

    Raises:
        ValueError: as many seeds as no look has.
    """
    ours, theirs = np.asarray(variant, np.float64), np.asarray(original, np.float64)
    seeds = len(ours)
    level = design.levels[design.looks.index(seeds)]
    if not np.isfinite(ours).all():
        return Verdict(Decision.DIVERGED, seeds, math.inf, math.inf, math.inf)
    excess, base = ours - (1 + design.margin) * theirs, float(theirs.mean())
    mean, spread = float(excess.mean()), float(excess.std(ddof=1))
    slack = -float(special.stdtrit(seeds - 1, level)) * spread / math.sqrt(seeds)
    loss, upper, lower = (design.margin + value / base for value in (mean, mean + slack, mean - slack))
    return Verdict(_decide(design, seeds, mean, spread, slack), seeds, loss, upper, lower)


def _decide(design: Design, seeds: int, mean: float, spread: float, slack: float) -> Decision:
    if mean + slack < 0:
        return Decision.ACCEPTED
    if mean - slack > 0:
        return Decision.WORSE
    if seeds == design.looks[-1]:
        return Decision.UNSETTLED
    return Decision.OPEN if hope(design, seeds, mean, spread) >= HOPE else Decision.HOPELESS


def hope(design: Design, seeds: int, mean: float, spread: float) -> float:
    """The chance of acceptance at the last look, given what was seen so far.

    The mean at the last look is predicted from the mean so far, with the uncertainty of both (Student's t).
    """
    last = design.looks[-1]
    if spread == 0 or seeds == last:
        return float(mean < 0)
    needed = float(special.ndtri(design.levels[-1])) * spread / math.sqrt(last)
    return float(special.stdtr(seeds - 1, (needed - mean) / (spread * math.sqrt(1 / seeds - 1 / last))))


@cache
def levels(looks: tuple[int, ...], error: float) -> tuple[float, ...]:
    """One-sided levels of the looks that together err with chance `error`.

    Up to the share t of the last look's seeds the chance `error * ln(1 + (e - 1) t)` may be spent (Lan and
    DeMets, 1983, their analogue of Pocock's test).

    Args:
        looks: numbers of seeds, rising.
        error: the chance of a wrong acceptance in all, in (0, 0.5).

    Returns:
        A level for each look.

    >>> [round(level, 4) for level in levels((8, 16), 0.05)]
    [0.031, 0.0297]
    """
    times = np.asarray(looks, np.float64) / looks[-1]
    return spending(looks, tuple((error * np.log1p((math.e - 1) * times)).tolist()))


@cache
def spending(looks: tuple[int, ...], spent: tuple[float, ...]) -> tuple[float, ...]:
    """One-sided levels of looks that have erred with chance `spent[k]` up to look k.

    The sum of the seeds' standardised differences is a Brownian motion at the times of the looks; its density
    among tests that are still open is carried from look to look on a grid.

    Args:
        looks: numbers of seeds, rising.
        spent: chances of a wrong acceptance so far, rising, in (0, 0.5).

    Returns:
        A level for each look.

    >>> [round(level, 4) for level in spending((8, 16), (0.025, 0.05))]
    [0.025, 0.0354]
    """
    times = np.asarray(looks, np.float64) / looks[-1]
    bound = -float(special.ndtri(spent[0]))
    found = [bound]
    grid, density = _first(times[0], bound)
    for before, now, chance in zip(times, times[1:], np.diff(spent), strict=False):
        step = math.sqrt(now - before)
        bound = _bound(grid, density, math.sqrt(now), step, float(chance))
        found.append(bound)
        grid, density = _carried(grid, density, bound * math.sqrt(now), math.sqrt(now), step)
    return tuple(float(special.ndtr(-bound)) for bound in found)


def _first(time: float, bound: float) -> tuple[Numbers, Numbers]:
    """The density of the sum among the tests that are open after the first look."""
    scale = math.sqrt(time)
    grid = np.linspace(-9 * scale, bound * scale, _CELLS)
    return grid, _normal(grid, scale)


def _carried(
    grid: Numbers, density: Numbers, edge: float, scale: float, step: float
) -> tuple[Numbers, Numbers]:
    """The same density after the next look."""
    after = np.linspace(-9 * scale, edge, _CELLS)
    moved = _normal(after[:, None] - grid[None, :], step)
    return after, np.asarray(np.trapezoid(moved * density, grid, axis=1), np.float64)


def _normal(values: Numbers, scale: float) -> Numbers:
    """The density of the normal distribution with mean 0."""
    return np.asarray(np.exp(-0.5 * (values / scale) ** 2) / (scale * math.sqrt(2 * math.pi)))


def _bound(grid: Numbers, density: Numbers, scale: float, step: float, chance: float) -> float:
    """The bound that open tests cross at a look with this chance."""

    def surplus(bound: float) -> float:
        crossing = special.ndtr((grid - bound * scale) / step)
        return float(np.trapezoid(crossing * density, grid)) - chance

    return float(optimize.brentq(surplus, 0.0, 9.0))


def scaled(metrics: ArrayLike, scales: Sequence[float]) -> Numbers:
    """Metrics of several tasks as one number for each seed: the mean of metric / scale.

    Args:
        metrics: (tasks, seeds) float.
        scales: one for each task, above 0.

    Returns:
        (seeds,) float64; not finite where any task's metric is not.

    >>> scaled([[2.0, 4.0], [1.0, 3.0]], [2.0, 1.0])
    array([1. , 2.5])
    """
    rows = np.asarray(metrics, np.float64)
    return np.asarray((rows / np.asarray(scales, np.float64)[:, None]).mean(axis=0))
