"""Means with intervals, and paired differences; everything is computed by SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95

Interval = tuple[float, float]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        mean: over the finite values; infinite if there are none.
        error: its standard error; NaN with fewer than two finite values.
        interval: at 95 % confidence, from Student's t; None likewise.
        count: of finite values.
        failed: how many values were not finite.
    """

    mean: float
    error: float
    interval: Interval | None
    count: int
    failed: int


@dataclass(frozen=True)
class Paired:
    """A difference between two contenders, seed by seed.

    Attributes:
        difference: mean of ours - other's over the seeds on which both are finite.
        interval: of that mean at 95 % confidence, from Student's t.
        effect: the mean over the standard deviation of the differences; None where they do not differ.
        pairs: how many seeds.
    """

    difference: float
    interval: Interval
    effect: float | None
    pairs: int


def mean_of(values: ArrayLike) -> Mean:
    """A mean with its interval.

    >>> mean_of([1.0, 2.0, 3.0, float("inf")])
    Mean(mean=2.0, error=0.577..., interval=(-0.48..., 4.48...), count=3, failed=1)
    """
    numbers = np.asarray(values, np.float64)
    finite = numbers[np.isfinite(numbers)]
    failed = len(numbers) - len(finite)
    if len(finite) < 2:
        return Mean(float(finite[0]) if len(finite) else math.inf, math.nan, None, len(finite), failed)
    return Mean(float(finite.mean()), float(stats.sem(finite)), _t_interval(finite), len(finite), failed)


def paired(ours: ArrayLike, other: ArrayLike) -> Paired | None:
    """The difference between two contenders over the seeds on which both trained.

    Args:
        ours: (seeds,) metrics; not finite where training failed.
        other: (seeds,) the same seeds' metrics of the other.

    Returns:
        None with fewer than two such seeds.

    >>> paired([1.0, 2.0, 4.0], [0.0, 1.0, 2.0]).difference
    1.333...
    """
    a, b = np.asarray(ours, np.float64), np.asarray(other, np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    differences = a[both] - b[both]
    if len(differences) < 2:
        return None
    spread = float(differences.std(ddof=1)) if np.ptp(differences) > 0 else 0.0
    mean = float(differences.mean())
    return Paired(mean, _t_interval(differences), mean / spread if spread > 0 else None, len(differences))


def _t_interval(values: Numbers) -> Interval:
    mean = float(values.mean())
    if np.ptp(values) == 0:
        return mean, mean
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, loc=mean, scale=stats.sem(values))
    return float(low), float(high)


def bootstrap(
    samples: Sequence[ArrayLike], statistic: Callable[..., float], seed: int, resamples: int = 2000
) -> Interval | None:
    """A bootstrap interval (percentiles, at 95 % confidence) of any statistic of several seeds.

    Args:
        samples: arrays whose first axis is the seeds; all are resampled alike, so that seeds stay paired.
        statistic: of those arrays; always finite.
        seed: of the resampling.
        resamples: how many.

    Returns:
        None with fewer than two seeds.
    """
    arrays = [np.asarray(sample, np.float64) for sample in samples]
    count = len(arrays[0])
    if count < 2:
        return None

    def of_rows(rows: NDArray[np.int64]) -> float:
        return statistic(*[array[rows] for array in arrays])

    result = stats.bootstrap(
        (np.arange(count),),
        of_rows,
        n_resamples=resamples,
        vectorized=False,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.Generator(np.random.Philox(key=seed)),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
