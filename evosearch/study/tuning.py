"""The tuner: which settings to try next, given how those so far did. Pure logic; nothing is trained here.

The same for everybody who is tuned, and with the same number of settings, however many hyperparameters there
are:

1. a coarse grid: every second learning rate times three weight decays, everything else where its grid starts;
2. rounds of a few settings, where a model of all scores so far expects good ones (see `surrogate`): going to
   the neighbours of the best so far instead followed luck, and two tunings ended 10 % to 100 % apart;
3. when the settings are spent, those that the model thinks best are tried on more seeds, and the best mean
   over all seeds wins.
"""

from __future__ import annotations

import math
import random
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evosearch.evaluation.references import Grid
from evosearch.study.surrogate import Place, Surrogate


@dataclass(frozen=True)
class Effort:
    """How much tuning.

    Attributes:
        settings: different settings that are tried; fewer only if the grids hold fewer.
        first: seeds that each is tried on.
        finalists: how many settings are tried on more seeds.
        more: on how many more.
        round: settings in a round.

    The defaults spend 132 trainings. On a simulated task with 25 % noise that ends 7 % above the optimum on
    average; 48 settings on two seeds each, as many trainings, end 11 % above it.
    """

    settings: int = 96
    first: int = 1
    finalists: int = 6
    more: int = 6
    round: int = 8

    @property
    def seeds(self) -> int:
        """The most seeds that a setting is tried on."""
        return self.first + self.more

    @property
    def trainings(self) -> int:
        """The most trainings, a setting on a seed each."""
        return self.settings * self.first + self.finalists * self.more


@dataclass(frozen=True)
class Trial:
    """A setting to try.

    Attributes:
        place: of its value in each grid.
        seeds: which of the tuning seeds, counted from 0.
    """

    place: Place
    seeds: tuple[int, ...]


Scores = tuple[float, ...]
"""For one trial, a score for each of its seeds; lower is better, not finite where training failed."""


@dataclass(frozen=True)
class Tried:
    """A setting and how it did on each seed so far."""

    place: Place
    scores: Scores

    @property
    def mean(self) -> float:
        """Over the seeds; infinite if any failed."""
        if not all(map(math.isfinite, self.scores)):
            return math.inf
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Optimum:
    """What tuning found.

    Attributes:
        place: of the best setting's values in the grids.
        values: by hyperparameter.
        scores: of the best setting on every tuning seed.
        settings: how many settings were tried.
        runs: how many trainings that took.
        edge: hyperparameters whose best value is the last of its grid: a better one may lie beyond.
        gap: by how much the second best finalist's mean is worse; infinite if it failed or there is none.
        tried: every setting, in the order tried.
    """

    place: Place
    values: Mapping[str, float]
    scores: Scores
    settings: int
    runs: int
    edge: tuple[str, ...]
    gap: float
    tried: tuple[Tried, ...]

    @property
    def mean(self) -> float:
        """Of the scores; infinite if any failed."""
        return Tried(self.place, self.scores).mean


Tuning = Generator[tuple[Trial, ...], Sequence[Scores], Optimum]
"""Yields trials, is sent their scores in the same order, and returns the optimum."""


def tuning(grids: Mapping[str, Grid], effort: Effort, rng: random.Random) -> Tuning:
    """Tune hyperparameters.

    Args:
        grids: at least one; the first is the learning rate's (or a factor on it), the second the weight
            decay's.
        effort: how much.
        rng: draws from the model; see `surrogate`.

    Example:
        search = tuning(grids, Effort(), random.Random(0))
        trials = next(search)
        while True:
            try:
                trials = search.send([scores_of(trial) for trial in trials])
            except StopIteration as end:
                return end.value
    """
    sizes = [len(grid.values) for grid in grids.values()]
    wanted = min(effort.settings, math.prod(sizes))
    first = tuple(range(effort.first))
    tried: dict[Place, Tried] = {}
    batch = coarse(tuple(grids.values()), wanted)
    while batch:
        scores = yield tuple(Trial(place, first) for place in batch)
        for place, of_place in zip(batch, scores, strict=True):
            tried[place] = Tried(place, tuple(of_place))
        model = Surrogate.fit({t.place: t.mean for t in tried.values()})
        batch = model.propose(sizes, min(effort.round, wanted - len(tried)), rng)
    runs = len(tried) * effort.first
    ranked = sorted(
        tried.values(), key=lambda t: (not math.isfinite(t.mean), model.expected[t.place], t.mean)
    )
    finalists = [t for t in ranked[: effort.finalists] if math.isfinite(t.mean)]
    if effort.more and len(finalists) > 0:
        more = tuple(range(effort.first, effort.seeds))
        scores = yield tuple(Trial(t.place, more) for t in finalists)
        runs += len(finalists) * effort.more
        finalists = [Tried(t.place, t.scores + tuple(s)) for t, s in zip(finalists, scores, strict=True)]
        tried.update({t.place: t for t in finalists})
    best, *others = sorted(finalists, key=lambda t: t.mean) or ranked[:1]
    return Optimum(
        place=best.place,
        values=values_at(grids, best.place),
        scores=best.scores,
        settings=len(tried),
        runs=runs,
        edge=tuple(n for (n, grid), p in zip(grids.items(), best.place, strict=True) if grid.is_edge(p)),
        gap=others[0].mean - best.mean if others and math.isfinite(best.mean) else math.inf,
        tried=tuple(tried.values()),
    )


def values_at(grids: Mapping[str, Grid], place: Place) -> dict[str, float]:
    """The setting at a place, by hyperparameter."""
    return {name: grid.values[p] for (name, grid), p in zip(grids.items(), place, strict=True)}


SHARE = 0.6
"""The coarse grid takes no more than this share of the settings; else it is made coarser."""

_DECAYS = (0.0, 0.5, 0.875)
"""Where on its grid the coarse weight decays lie."""


def coarse(grids: Sequence[Grid], settings: int) -> list[Place]:
    """The settings to begin with, the start of all grids among them or near them.

    Args:
        grids: as in `tuning`.
        settings: how many there will be in all.
    """
    rates, *others = grids
    starts = tuple(grid.start for grid in others)
    middle = (rates.start, *starts)
    if settings < 1 / (1 - SHARE):
        return [middle]
    stride = 2
    while True:
        lrs = range(rates.start % stride, len(rates.values), stride)
        for decays in _coarse_decays(others):
            places = [(lr, *decay, *starts[1:]) for lr in lrs for decay in decays]
            if len(places) <= SHARE * settings:
                return places
        stride += 1


def _coarse_decays(others: Sequence[Grid]) -> Iterator[list[Place]]:
    """Sets of weight decays (as places, none where there is no such grid), the larger set first."""
    if not others:
        yield [()]
        return
    last = len(others[0].values) - 1
    yield [(place,) for place in sorted({round(share * last) for share in _DECAYS})]
    yield [(others[0].start,)]
