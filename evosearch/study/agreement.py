"""Does a small task say what a large one would? Candidates' ranks on one against their ranks on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evosearch.study.standings import FidelityFile, Index
from evosearch.study.statistics import Interval, bootstrap
from proxy_tasks import PRESETS

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How well the ranks on one task agree with those on another.

    Attributes:
        first: task and preset.
        second: task and preset.
        rho: Spearman's rank correlation; NaN where one of them ranks nobody.
        interval: of rho, bootstrap over the candidates.
        candidates: how many.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    rho: float
    interval: Interval | None
    candidates: int


def means(index: Index, candidates: Sequence[str], task: str, preset: str) -> Array:
    """The mean metric of each candidate, infinite where training failed, NaN where it was not measured."""
    found = [index.get((name, task, preset)) for name in candidates]
    return np.array([np.nan if standing is None else standing.mean for standing in found])


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation; those who failed share the last rank; NaN if all are equal on one side."""
    if np.ptp(stats.rankdata(a)) == 0 or np.ptp(stats.rankdata(b)) == 0:
        return float("nan")
    return float(stats.spearmanr(stats.rankdata(a), stats.rankdata(b)).statistic)


def agreement(
    file: FidelityFile, first: tuple[str, str], second: tuple[str, str], resamples: int = 1000
) -> Agreement | None:
    """Over the candidates that were measured on both; None with fewer than five."""
    index, names = file.index, [who.name for who in file.candidates]
    a, b = means(index, names, *first), means(index, names, *second)
    both = ~np.isnan(a) & ~np.isnan(b)
    if np.count_nonzero(both) < 5:
        return None
    a, b = a[both], b[both]
    interval = bootstrap([a, b], spearman, seed=0, resamples=resamples) if resamples else None
    return Agreement(first, second, spearman(a, b), interval, int(np.count_nonzero(both)))


@dataclass(frozen=True)
class Portfolio:
    """A set of small tasks, and how well they predict.

    Attributes:
        tasks: in the order in which they were chosen.
        rho: correlation of the mean rank on them with the mean rank on the large tasks.
        seconds: of one training on each.
    """

    tasks: tuple[str, ...]
    rho: float
    seconds: float


def portfolios(file: FidelityFile, large: Sequence[tuple[str, str]], most: int = 5) -> list[Portfolio]:
    """The best portfolio of one small task, of two, ..., each the one before and one more task.

    Args:
        file: measurements.
        large: what is to be predicted: tasks and presets.
        most: tasks in the largest.
    """
    if not large:
        return []
    index, names = file.index, [who.name for who in file.candidates]
    small = sorted({s.task for s in file.standings if s.preset == PRESETS[0]})
    ranks = {task: _ranks(means(index, names, task, PRESETS[0])) for task in small}
    target = _mean_known([_ranks(means(index, names, *place)) for place in large])
    seconds = {task: _seconds(file, task) for task in small}
    chosen: list[str] = []
    found: list[Portfolio] = []
    while small and len(chosen) < min(most, len(ranks)):
        more = {task: _predicts(ranks, target, [*chosen, task]) for task in small if task not in chosen}
        best = max(more, key=more.__getitem__)
        rho = more[best]
        chosen.append(best)
        found.append(Portfolio(tuple(chosen), rho, sum(seconds[task] for task in chosen)))
    return found


@dataclass(frozen=True)
class Prediction:
    """How well a set of small tasks predicts the mean rank on larger ones, among all sets of as many tasks.

    Attributes:
        tasks: the small tasks.
        large: how many larger ones are predicted.
        rho: the correlation.
        place: of it among all sets; 1 is the best.
        sets: how many there are.
        best: the best set, found with hindsight.
        best_rho: its correlation.
        median_rho: of all sets.
    """

    tasks: tuple[str, ...]
    large: int
    rho: float
    place: int
    sets: int
    best: tuple[str, ...]
    best_rho: float
    median_rho: float


def prediction(file: FidelityFile, tasks: Sequence[str], large: Sequence[tuple[str, str]]) -> Prediction:
    """Look at a set of small tasks beside all others of its size; see `Prediction`.

    Args:
        file: measurements.
        tasks: measured small ones.
        large: what is to be predicted: tasks and presets, all measured.
    """
    index, names = file.index, [who.name for who in file.candidates]
    small = sorted({s.task for s in file.standings if s.preset == PRESETS[0]})
    ranks = {task: _ranks(means(index, names, task, PRESETS[0])) for task in small}
    target = _mean_known([_ranks(means(index, names, *place)) for place in large])
    rhos = {chosen: _predicts(ranks, target, chosen) for chosen in combinations(small, len(tasks))}
    rho = rhos[tuple(sorted(tasks))]
    best = max(rhos, key=rhos.__getitem__)
    place = 1 + sum(other > rho for other in rhos.values())
    median = float(np.median(list(rhos.values())))
    return Prediction(tuple(tasks), len(large), rho, place, len(rhos), best, rhos[best], median)


def _predicts(ranks: Mapping[str, Array], target: Array, chosen: Sequence[str]) -> float:
    mean = np.mean([ranks[task] for task in chosen], axis=0)
    known = ~np.isnan(mean) & ~np.isnan(target)
    return spearman(mean[known], target[known])


def _mean_known(rows: Sequence[Array]) -> Array:
    """For each candidate its mean over the rows that know it; NaN where none does."""
    known = ~np.isnan(rows)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, rows, 0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _ranks(values: Array) -> Array:
    """Ranks of those that were measured, NaN for the others."""
    ranks = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    ranks[known] = stats.rankdata(values[known])
    return ranks


def _seconds(file: FidelityFile, task: str) -> float:
    """Median seconds of a training of the small form."""
    rows = [s for s in file.standings if s.task == task and s.preset == PRESETS[0]]
    return float(np.median([s.seconds / (len(s.scores) + 6) for s in rows]))


def summary(file: FidelityFile, resamples: int = 1000) -> dict[str, Any]:
    """Everything that can be said, as plain data."""
    tasks = sorted({s.task for s in file.standings})
    sizes = [
        found
        for task in tasks
        for a, b in (("tiny", "x10"), ("tiny", "x100"), ("x10", "x100"))
        if (found := agreement(file, (task, a), (task, b), resamples)) is not None
    ]
    across = [
        found
        for preset in PRESETS[1:]
        for first in tasks
        for second in tasks
        if (found := agreement(file, (first, PRESETS[0]), (second, preset), 0)) is not None
    ]
    large = sorted({(s.task, s.preset) for s in file.standings if s.preset != PRESETS[0]})
    return {"tasks": tasks, "sizes": sizes, "across": across, "portfolios": portfolios(file, large)}
