"""What became of a candidate. A bad candidate is data, never an exception."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Status(enum.Enum):
    """How a candidate's evaluation ended; the value is the sentence that people read."""

    OK = "trained to the end"
    DIVERGED = "loss or weights stopped being finite"
    CUT = "clearly worse than the population at a hurdle"
    TIMED_OUT = "took longer than the limit"
    WORKER_LOST = "took its worker down"


Metrics = tuple[tuple[tuple[float, ...], ...], ...]
"""Validation metrics [task][seed][learning-rate factor]; lower is better, infinite where training failed."""

Hurdles = tuple[tuple[tuple[float, ...], ...], ...]
"""Running training loss at each hurdle [task][seed][hurdle], the best over the learning-rate factors."""


Curves = tuple[tuple[tuple[tuple[float, ...], ...], ...], ...]
"""Learning curves [task][seed][learning-rate factor][point]: validation metrics, infinite after a failure."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one job.

    Attributes:
        status: how it ended.
        metrics: validation metrics; empty where nothing was trained.
        hurdles: running losses at the hurdles; infinite where training did not get there.
        steps: training steps done, over all tasks, seeds and factors.
        seconds: what they took, on the worker.
        curves: learning curves; empty unless a task of the plan asks for them.
    """

    status: Status
    metrics: Metrics = ()
    hurdles: Hurdles = ()
    steps: int = 0
    seconds: float = 0.0
    curves: Curves = ()

    @property
    def ok(self) -> bool:
        """Whether every task and seed was trained to the end with at least one factor."""
        return self.status is Status.OK


def best_factor(metrics: tuple[tuple[float, ...], ...]) -> int:
    """Index of the learning-rate factor with the best mean over the seeds of one task.

    Args:
        metrics: [seed][factor], lower is better.

    >>> best_factor(((2.0, 1.0), (2.0, math.inf)))
    0
    """
    means = [sum(column) / len(column) for column in zip(*metrics, strict=True)]
    return min(range(len(means)), key=lambda i: math.inf if math.isnan(means[i]) else means[i])
