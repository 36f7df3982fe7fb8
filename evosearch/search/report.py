"""After the search: references tuned on the same task and seeds, and everybody on seeds nobody has seen."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation import Job, Outcome, Tuned, best_factor
from evosearch.evaluation.outcome import Metrics
from evosearch.evaluation.references import REFERENCES
from evosearch.evolution.rules import Purpose, reseed
from evosearch.language.program import Statements
from evosearch.search.progress import View
from evosearch.study.statistics import mean_of, paired
from evosearch.study.tunable import Tunable
from evosearch.study.tuning import Effort, Optimum, tuning
from evosearch.workers import Pool
from proxy_tasks import Split

TUNING_SEEDS = 8
"""References are tuned on at most so many of the search's seeds."""

TUNED_REFERENCES = ("adamw", "lion")
"""Which references a search's best program is compared with; `evosearch compare` knows more."""

Seeds = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Contender:
    """Somebody in the final comparison: a program or a tuned reference."""

    name: str
    candidate: Statements | Tuned
    settings: int
    """How many settings or programs were tried to find it."""


@dataclass(frozen=True)
class Standing:
    """How a contender did. Scores as in the search: lower is better.

    Attributes:
        name: who.
        settings: how many settings or programs were tried to find it.
        hyperparameters: of a tuned reference.
        factors: the learning-rate factor for each task, chosen on the search's seeds.
        own: mean score on the search's own seeds, on which it was chosen.
        fresh: mean score on fresh seeds and the report split.
        fresh_error: standard error of that mean.
        difference: mean of (the best program's score - this one's) over fresh seeds, paired.
        interval: of that difference, at 95 % confidence.
        failed: on how many fresh seeds a training failed.
    """

    name: str
    settings: int
    hyperparameters: dict[str, float]
    factors: tuple[float, ...]
    own: float
    fresh: float
    fresh_error: float
    difference: float | None
    interval: tuple[float, float] | None
    failed: int


@dataclass
class Bench:
    """What the work after a search needs.

    Attributes:
        pool: workers.
        pools: for each task the search's own seeds.
        factors: learning-rate factors of the plan.
        units: for each task what the warm start reaches; tuning counts metrics in these.
        seed: of the search.
        view: who is shown the progress.
    """

    pool: Pool
    pools: Seeds
    factors: tuple[float, ...]
    units: tuple[float, ...]
    seed: int
    view: View

    def evaluate(
        self, stage: str, jobs: Sequence[Job], before: int = 0, total: int | None = None
    ) -> list[Outcome]:
        """Evaluate jobs on the workers; outcomes in the order of the jobs.

        Args:
            stage: the name that people see.
            jobs: some, or all, of the stage's.
            before: how many of the stage's came before.
            total: how many the stage has; None for no others.
        """
        places = {job.id: place for place, job in enumerate(jobs)}
        outcomes: dict[int, Outcome] = {}
        self.pool.submit(jobs)
        while len(outcomes) < len(jobs):
            outcomes.update({places[i]: o for i, o in self.pool.collect(None)})
            self.view.stage(stage, before + len(outcomes), total or len(jobs))
        return [outcomes[place] for place in range(len(jobs))]

    def job(
        self, number: int, candidate: Statements | Tuned, seeds: Seeds, split: Split = Split.SEARCH
    ) -> Job:
        """A job of the work after the search; its ids stay clear of those of programs."""
        return Job(-1000 - number, candidate, seeds, split)


def tune(bench: Bench, tunable: Tunable, settings: int) -> Optimum:
    """The best of so many settings on the search's own seeds, `TUNING_SEEDS` at most; see `study.tuning`."""
    pools = tuple(pool[:TUNING_SEEDS] for pool in bench.pools)
    most = max(map(len, pools))
    first = min(Effort().first, most)
    rng = reseed(random.Random(), bench.seed, Purpose.TUNE, zlib.crc32(tunable.name.encode()))
    search = tuning(tunable.grids, Effort(settings, first=first, more=most - first), rng)
    trials, tried = next(search), 0
    total = min(settings, math.prod(len(grid.values) for grid in tunable.grids.values()))
    while True:
        jobs = [
            # A task with fewer seeds than others begins anew.
            bench.job(n, tunable.at(t.place), tuple(tuple(p[s % len(p)] for s in t.seeds) for p in pools))
            for n, t in enumerate(trials)
        ]
        if tried < total:
            outcomes = bench.evaluate(f"tuning {tunable.name}", jobs, tried, total)
            tried += len(jobs)
        else:
            outcomes = bench.evaluate(f"finalists of tuning {tunable.name}", jobs)
        scores = [
            scores_in_units(o, bench.units, len(t.seeds)) for o, t in zip(outcomes, trials, strict=True)
        ]
        try:
            trials = search.send(scores)
        except StopIteration as end:
            optimum: Optimum = end.value
            return optimum


def scores_in_units(outcome: Outcome, units: Sequence[float], seeds: int) -> tuple[float, ...]:
    """For each seed the mean over tasks of the metric, in the task's unit, at the task's best factor."""
    if not outcome.ok:
        return (math.inf,) * seeds
    tasks = zip(outcome.metrics, units, strict=True)
    by_task = [[row[best_factor(task)] / unit for row in task] for task, unit in tasks]
    return tuple(float(np.mean(scores)) for scores in zip(*by_task, strict=True))


def _means(task: tuple[tuple[float, ...], ...]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.mean(np.asarray(task, np.float64), axis=0)
    return means


def compare(bench: Bench, contenders: Sequence[Contender], fresh_seeds: int) -> list[Standing]:
    """All contenders on the search's own seeds, and on fresh seeds and the report split.

    Args:
        bench: where to evaluate.
        contenders: the best program first, the warm start second.
        fresh_seeds: how many fresh seeds.

    Returns:
        A standing for each, with differences to the first.
    """
    own_jobs = [bench.job(n, c.candidate, bench.pools) for n, c in enumerate(contenders)]
    own = bench.evaluate("own seeds", own_jobs)
    places = tuple(tuple(range(fresh_seeds)) for _ in bench.pools)
    # One job for each contender and seed, so that a failure hides no other, and workers share the jobs.
    jobs = [
        bench.job(n * fresh_seeds + s, c.candidate, tuple((p[s],) for p in places), Split.REPORT)
        for n, c in enumerate(contenders)
        for s in range(fresh_seeds)
    ]
    fresh = bench.evaluate("fresh seeds", jobs)
    factors = [[best_factor(task) for task in o.metrics] if o.ok else [0] * len(bench.pools) for o in own]
    own_scores = [_scores([o], f, [own[1]], factors[1]) for o, f in zip(own, factors, strict=True)]
    rows = [fresh[n * fresh_seeds : (n + 1) * fresh_seeds] for n in range(len(contenders))]
    fresh_scores = [_scores(row, f, rows[1], factors[1]) for row, f in zip(rows, factors, strict=True)]
    return [
        _standing(
            bench, contender, factors[n], own_scores[n], fresh_scores[n], fresh_scores[0] if n else None
        )
        for n, contender in enumerate(contenders)
    ]


def _chosen(outcome: Outcome, factors: Sequence[int], task: int) -> float:
    """A task's mean metric at the chosen factor."""
    metrics: Metrics = outcome.metrics
    return float(_means(metrics[task])[factors[task]]) if outcome.ok else math.inf


def _scores(
    outcomes: Sequence[Outcome], factors: Sequence[int], base: Sequence[Outcome], base_factors: Sequence[int]
) -> NDArray[np.float64]:
    """One score for each outcome: the metric itself on one task, relative to the warm start's on several.

    The warm start's is its mean over the seeds that it got through.
    """
    tasks = range(len(factors))
    if len(tasks) == 1:
        return np.array([_chosen(o, factors, 0) for o in outcomes])
    units = [np.mean([_chosen(o, base_factors, t) for o in base if o.ok] or [math.nan]) for t in tasks]
    return np.array([np.mean([_chosen(o, factors, t) / units[t] for t in tasks]) for o in outcomes])


def _standing(
    bench: Bench,
    contender: Contender,
    factors: Sequence[int],
    own: NDArray[np.float64],
    fresh: NDArray[np.float64],
    best: NDArray[np.float64] | None,
) -> Standing:
    candidate = contender.candidate
    grids: Iterable[str] = REFERENCES[candidate.name].grids if isinstance(candidate, Tuned) else ()
    values = candidate.values if isinstance(candidate, Tuned) else ()
    pairs = paired(best, fresh) if best is not None else None
    mean = mean_of(fresh)
    return Standing(
        name=contender.name,
        settings=contender.settings,
        hyperparameters=dict(zip(grids, values, strict=True)),
        factors=tuple(bench.factors[f] for f in factors),
        own=float(own.mean()),
        fresh=mean.mean,
        fresh_error=mean.error,
        difference=pairs.difference if pairs else None,
        interval=pairs.interval if pairs else None,
        failed=mean.failed,
    )
