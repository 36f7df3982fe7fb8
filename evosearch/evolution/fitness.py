"""Fitness: an estimate that improves with every seed a program is trained with. Lower is better.

Each metric is divided by what the warm start reaches on the same seed, and averaged over seeds and tasks. A
search on one task multiplies this by the warm start's mean metric, so its scores read in the task's own unit;
a search on several tasks has no common unit, and the warm start's score is 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import truediv

from evosearch.errors import SearchError
from evosearch.evaluation import Outcome, Status, best_factor
from evosearch.evaluation.outcome import Metrics

Seeds = tuple[tuple[int, ...], ...]
"""Seeds of a job, [task][place]."""


@dataclass(frozen=True)
class Scale:
    """What the warm start reaches with each seed; scores are relative to it.

    Attributes:
        metrics: for each task the warm start's metric by seed, at its best learning-rate factor.
        unit: the score of the warm start.
        hurdles: for each task its running losses at the hurdles, by seed.
    """

    metrics: tuple[dict[int, float], ...]
    unit: float
    hurdles: tuple[dict[int, tuple[float, ...]], ...]

    @classmethod
    def of(cls, pools: Seeds, outcome: Outcome) -> Scale:
        """The scale from the outcome of training the warm start with all seeds of the pools.

        Raises:
            SearchError: the warm start does not train.
        """
        if not outcome.ok:
            raise SearchError(
                f"the warm start does not train: {outcome.status.value}; "
                "choose another warm start, or other settings of the tasks"
            )
        factors = [best_factor(task) for task in outcome.metrics]
        metrics = tuple(
            {seed: row[factor] for seed, row in zip(pool, task, strict=True)}
            for pool, task, factor in zip(pools, outcome.metrics, factors, strict=True)
        )
        hurdles = tuple(
            dict(zip(pool, task, strict=True)) for pool, task in zip(pools, outcome.hurdles, strict=True)
        )
        first = list(metrics[0].values())
        unit = sum(first) / len(first) if len(metrics) == 1 else 1.0
        return cls(metrics, unit, hurdles)

    def sums(self, seeds: Seeds, metrics: Metrics) -> list[list[float]]:
        """Scores of single trainings, summed over seeds: [task][factor]."""
        return [
            _column_sums(
                [[self.unit * x / base[seed] for x in row] for seed, row in zip(places, task, strict=True)]
            )
            for base, places, task in zip(self.metrics, seeds, metrics, strict=True)
        ]

    def hurdle_ratios(self, seeds: Seeds, outcome: Outcome) -> tuple[tuple[float, ...], ...]:
        """Running losses at the hurdles relative to the warm start's, mean over seeds: [task][hurdle]."""
        ratios = []
        for base, places, task in zip(self.hurdles, seeds, outcome.hurdles, strict=False):
            rows = [list(map(truediv, row, base[s])) for s, row in zip(places, task, strict=False)]
            ratios.append(tuple([total / len(rows) for total in _column_sums(rows)]))
        return tuple(ratios)


def _column_sums(rows: list[list[float]]) -> list[float]:
    return list(map(sum, zip(*rows, strict=True)))


class Known:
    """What is known of all programs that share a hash.

    Attributes:
        status: how evaluations ended, the first failure if there was one; None while the first is under way.
        fitness: the present estimate; infinite if a training failed or nothing is known yet.
        count: seeds behind the estimate.
        assigned: seeds given out, those under way included.
        walk: where its walk through the pools of seeds begins (`accumulating`).
        hurdles: ratios at the hurdles, [task][hurdle], of the first evaluation.
        slot: its place in the native breeder, -1 for none.
    """

    __slots__ = ("assigned", "count", "fitness", "hurdles", "slot", "status", "sums", "walk")

    def __init__(self) -> None:
        self.status: Status | None = None
        self.fitness = math.inf
        self.count = 0
        self.assigned = 0
        self.walk = 0
        self.slot = -1
        self.sums: list[list[float]] = []
        self.hurdles: tuple[tuple[float, ...], ...] = ()

    def learn(self, scale: Scale, seeds: Seeds, outcome: Outcome, penalty: float) -> None:
        """Take in the outcome of one more evaluation; after a failed one nothing is learned any more."""
        first = self.status is None
        if not (first or self.alive):
            return
        if first and outcome.hurdles:
            self.hurdles = scale.hurdle_ratios(seeds, outcome)
        self.status = outcome.status
        if not outcome.ok:
            self.fitness = math.inf
            return
        new = scale.sums(seeds, outcome.metrics)
        if first:
            self.sums = new
        else:
            self.sums = [
                [a + b for a, b in zip(x, y, strict=True)] for x, y in zip(self.sums, new, strict=True)
            ]
        self.count += len(seeds[0])
        self.fitness = self.mean + penalty * scale.unit / math.sqrt(self.count)
        if not math.isfinite(self.fitness):  # no factor got through on all of the seeds
            self.status = Status.DIVERGED

    @property
    def mean(self) -> float:
        """Mean over tasks of the mean over seeds, at each task's best learning-rate factor; no penalty."""
        if not self.count:
            return math.inf
        return sum([min(task) for task in self.sums]) / len(self.sums) / self.count

    @property
    def best_factors(self) -> tuple[int, ...]:
        """For each task the index of the learning-rate factor that the mean is taken at."""
        return tuple(task.index(min(task)) for task in self.sums)

    @property
    def alive(self) -> bool:
        """Whether it has been evaluated and every training got through."""
        return self.status is Status.OK
