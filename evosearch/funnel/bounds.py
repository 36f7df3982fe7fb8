"""How surely a look must know: levels of the looks, t statistics that a skew can't deceive, and hope.

Most candidates of a funnel are no better, and end early because they are hopeless, which spends no error. So
the error is kept for the late looks: up to the share t of the last look's seeds `error * t ** 3` may be spent
(Kim and DeMets, 1987), close to O'Brien and Fleming's test. Early looks are also where a t test is deceived
most easily. Against Pocock's spending this gives more power for the same seeds.

Where few seeds are much worse than the others, their absence looks like progress. A t statistic is therefore
also corrected for skewness by Hall's transformation (1992), and the less favourable of the two counts; for
the skewness itself see `evosearch.funnel.decide.skews`. And no p-value is below 2 ** -seeds: whatever is
symmetric may do this well by its signs alone.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from evosearch.study.sequential import Numbers, spending

HOPE = 0.1
"""A candidate goes on while its promotion at the last look has at least this chance."""

LATENESS = 3
"""The power of time in the spending function."""


@cache
def boundary(looks: tuple[int, ...], error: float) -> tuple[float, ...]:
    """One-sided levels of the looks that together err with chance `error`.

    Args:
        looks: numbers of seeds, rising.
        error: in (0, 0.5).

    Returns:
        A level for each look.

    >>> [round(level, 4) for level in boundary((8, 16), 0.05)]
    [0.0062, 0.0479]
    """
    return spending(looks, tuple(error * (look / looks[-1]) ** LATENESS for look in looks))


def chance(ratio: ArrayLike, seeds: int, skew: ArrayLike) -> Numbers:
    """The one-sided p-value of a mean that lies so many standard errors from 0.

    Args:
        ratio: (...) mean / standard error; negative where the candidate is better.
        seeds: pairs.
        skew: (...) sample skewness of the differences.

    Returns:
        (...) float64, at least 2 ** -seeds.

    >>> chance(-3.0, 16, 0.0).round(4).item(), chance(-3.0, 16, 1.0).round(4).item()
    (0.0045, 0.0192)
    """
    t = np.asarray(ratio, np.float64)
    chances = special.stdtr(seeds - 1, np.maximum(t, _hall(t, seeds, skew)))
    return np.asarray(np.maximum(chances, 2.0**-seeds), np.float64)


def critical(level: ArrayLike, seeds: int, skew: ArrayLike) -> Numbers:
    """The ratio whose `chance` is `level`, but for the least p-value: the inverse of the same.

    Args:
        level: (...) of the test, in (0, 0.5).
        seeds: pairs.
        skew: (...) sample skewness of the differences.

    Returns:
        (...) float64, negative.

    >>> critical(0.05, 16, 0.0).round(3).item()
    -1.753
    """
    t = special.stdtrit(seeds - 1, np.asarray(level, np.float64))
    return np.asarray(np.minimum(t, _hall_inverse(t, seeds, skew)), np.float64)


def _hall(t: Numbers, seeds: int, skew: ArrayLike) -> Numbers:
    """Hall's monotone cubic of a t statistic."""
    a, shift = _cubic(seeds, skew)
    with np.errstate(invalid="ignore", over="ignore"):  # an infinite ratio has no correction
        moved = t + a * t**2 + a**2 * t**3 / 3 + shift
    return np.asarray(np.where(np.isfinite(t), moved, t), np.float64)


def _hall_inverse(value: Numbers, seeds: int, skew: ArrayLike) -> Numbers:
    a, shift = _cubic(seeds, skew)
    straight = np.abs(a) < 1e-8  # the cubic is a line, to seven digits
    safe = np.where(straight, 1.0, a)
    bent = (np.cbrt(1 + 3 * safe * (value - shift)) - 1) / safe
    return np.asarray(np.where(straight, value - shift, bent), np.float64)


def _cubic(seeds: int, skew: ArrayLike) -> tuple[Numbers, Numbers]:
    root = math.sqrt(seeds)
    return np.asarray(skew, np.float64) / (3 * root), np.asarray(skew, np.float64) / (6 * root)


def hope(mean: ArrayLike, error: ArrayLike, seeds: int, last: int, level: ArrayLike) -> Numbers:
    """The chance of a mean that is significantly below 0 at the last look, given what was seen so far.

    The mean at the last look is predicted from the mean so far, with the uncertainty of both (Student's t).

    Args:
        mean: (...) of what is tested to be below 0.
        error: (...) its standard error.
        seeds: pairs so far, fewer than `last`.
        last: pairs at the last look.
        level: (...) of the test there.

    Returns:
        (...) float64; 0 or 1 where there is no spread.
    """
    m, spread = np.asarray(mean, np.float64), np.asarray(error, np.float64) * math.sqrt(seeds)
    needed = special.stdtrit(last - 1, np.asarray(level, np.float64)) * spread / math.sqrt(last)
    still = spread == 0
    scale = np.where(still, 1.0, spread) * math.sqrt(1 / seeds - 1 / last)
    return np.asarray(np.where(still, m < 0, special.stdtr(seeds - 1, (needed - m) / scale)), np.float64)
