"""How soon an optimizer gets where another one ends: steps to a target on mean learning curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosearch.study.statistics import Interval, bootstrap

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Speed:
    """How soon a contender reaches the mean metric that the baseline ends with.

    Attributes:
        target: that metric.
        steps: at which the contender's mean curve gets there; None if it never does.
        speed_up: steps of the baseline over those of the contender; 0 if it never gets there.
        interval: of the speed-up at 95 % confidence, by bootstrap over the seeds.
        pairs: seeds on which both trained; all of this is about those.
    """

    target: float
    steps: float | None
    speed_up: float
    interval: Interval | None
    pairs: int


def steps_to(curve: ArrayLike, steps: ArrayLike, target: float) -> float:
    """The first step at which a curve is at or below the target, between points on a straight line.

    Args:
        curve: (points,) metrics.
        steps: (points,) after how many steps each point lies.
        target: lower is better.

    Returns:
        Infinity if the curve never gets there.

    >>> steps_to([4.0, 2.0, 1.0], [10, 20, 30], 3.0)
    15.0
    """
    metrics, places = np.asarray(curve, np.float64), np.asarray(steps, np.float64)
    there = np.flatnonzero(metrics <= target)
    if len(there) == 0:
        return math.inf
    first = int(there[0])
    if first == 0 or not math.isfinite(metrics[first - 1]):
        return float(places[first])
    above, below = metrics[first - 1], metrics[first]
    share = (above - target) / (above - below)
    return float(places[first - 1] + share * (places[first] - places[first - 1]))


def speed(ours: ArrayLike, baseline: ArrayLike, steps: ArrayLike, seed: int = 0) -> Speed | None:
    """How soon we get where the baseline ends.

    Args:
        ours: (seeds, points) our learning curves; not finite after a failure.
        baseline: (seeds, points) the baseline's on the same seeds.
        steps: (points,) after how many steps each point lies.
        seed: of the bootstrap.

    Returns:
        None with fewer than two seeds on which both trained.
    """
    a, b = np.asarray(ours, np.float64), np.asarray(baseline, np.float64)
    both = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
    a, b = a[both], b[both]
    if len(a) < 2:
        return None

    def speed_up(a: Numbers, b: Numbers) -> float:
        target = float(b[:, -1].mean())
        return steps_to(b.mean(axis=0), steps, target) / steps_to(a.mean(axis=0), steps, target)

    target = float(b[:, -1].mean())
    reached = steps_to(a.mean(axis=0), steps, target)
    return Speed(
        target=target,
        steps=reached if math.isfinite(reached) else None,
        speed_up=speed_up(a, b),
        interval=bootstrap([a, b], speed_up, seed),
        pairs=len(a),
    )
