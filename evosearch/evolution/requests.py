"""What a child is evaluated with: seeds, learning-rate factors, and where its training is cut."""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol

from evosearch.evolution.fitness import Known, Scale, Seeds
from evosearch.evolution.rules import Purpose, Rules, reseed
from evosearch.language.mutation import pick

BARS_INTERVAL = 64
"""Hurdles are set anew after so many children, or a quarter of the population if that is more."""


class Request(NamedTuple):
    """What to evaluate a child with; see `evaluation.Job`."""

    seeds: Seeds
    thresholds: tuple[tuple[tuple[float, ...], ...], ...] = ()
    limits: tuple[tuple[float, ...], ...] = ()
    factors: tuple[tuple[int, ...], ...] = ()


class Quantiles(Protocol):
    """Of a population, relative to the warm start; see `Population`."""

    def hurdle_quantile(self, task: int, hurdle: int, quantile: float) -> float:
        """Of running losses at a hurdle."""

    def score_quantile(self, task: int, quantile: float) -> float:
        """Of scores on one task."""


class _Bars(NamedTuple):
    """Where candidates are cut, relative to the warm start: running losses [task][hurdle], scores [task]."""

    losses: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]


class Requests:
    """Makes requests; remembers where the hurdles stand.

    Args:
        rules: of the search.
        scale: what the warm start reaches.
    """

    def __init__(self, rules: Rules, scale: Scale) -> None:
        self._rules = rules
        self._scale = scale
        self._rng = random.Random()
        self.begin_run()

    def begin_run(self) -> None:
        """Forget the hurdles: another population sets them anew."""
        self._bars = _Bars((), ())
        self._bars_at = 0
        self._last: Request | None = None

    def wants_more(self, known: Known) -> bool:
        """Whether a program that was evaluated gets another seed when it is bred again."""
        rules = self._rules.seeds
        return rules.policy == "accumulating" and known.alive and known.assigned < rules.most

    def first(self, number: int, digest: bytes, known: Known, population: Quantiles) -> Request:
        """For a program that nothing is known of; its seeds are given out with this.

        Args:
            number: the child's.
            digest: its canonical hash.
            known: what will be known of it.
            population: sets the hurdles.
        """
        seeds = self._first_seeds(number, digest)
        known.assigned = len(seeds[0])
        known.walk = _walk(digest)
        return self._hurdled(number, seeds, population)

    def further(self, known: Known) -> Request:
        """For a program that wants one more seed; it is given out with this."""
        known.assigned += 1
        return Request(self._sequence(known.walk, known.assigned - 1, 1), factors=self._factors(known))

    def _first_seeds(self, number: int, digest: bytes) -> Seeds:
        rules = self._rules.seeds
        if rules.policy == "fixed":
            return rules.pools
        if rules.policy == "accumulating":
            return self._sequence(_walk(digest), 0, rules.start)
        rng = reseed(self._rng, self._rules.seed, Purpose.SEEDS, number)
        return tuple(_draw(rng, pool, rules.start) for pool in rules.pools)

    def _sequence(self, walk: int, first: int, count: int) -> Seeds:
        """Seeds `first` and following of a program's own walk through the pools."""
        return tuple(
            tuple(pool[(walk + first + i) % len(pool)] for i in range(count))
            for pool in self._rules.seeds.pools
        )

    def _hurdled(self, number: int, seeds: Seeds, population: Quantiles) -> Request:
        """A request with the hurdles of the moment, as losses and metrics of each seed."""
        hurdles, scale = self._rules.hurdles, self._scale
        if not (hurdles.count or hurdles.seeds):
            return Request(seeds)
        interval = max(BARS_INTERVAL, self._rules.population // 4)
        if not (self._bars.losses or self._bars.scores) or number - self._bars_at >= interval:
            self._bars_at, self._bars = number, self._bars_now(population)
            self._last = None
        if self._last is not None and self._last.seeds is seeds:
            return self._last  # the same seeds at the same hurdles, as nearly all requests of fixed seeds are
        thresholds = tuple(
            tuple(tuple(r * b for r, b in zip(ratios, base[seed], strict=True)) for seed in places)
            for ratios, base, places in zip(self._bars.losses, scale.hurdles, seeds, strict=False)
        )
        limits = tuple(
            tuple(score / scale.unit * base[seed] for seed in places)
            for score, base, places in zip(self._bars.scores, scale.metrics, seeds, strict=False)
        )
        self._last = Request(seeds, thresholds, limits)
        return self._last

    def _bars_now(self, population: Quantiles) -> _Bars:
        hurdles, tasks = self._rules.hurdles, range(len(self._rules.seeds.pools))
        height = 1 + hurdles.slack
        losses = tuple(
            tuple(
                height * population.hurdle_quantile(task, hurdle, hurdles.quantile)
                for hurdle in range(hurdles.count)
            )
            for task in tasks
        )
        scores = tuple(height * population.score_quantile(task, hurdles.quantile) for task in tasks)
        return _Bars(losses if hurdles.count else (), scores if hurdles.seeds else ())

    def _factors(self, known: Known) -> tuple[tuple[int, ...], ...]:
        """For each task the learning-rate factors that a further seed is worth; () for all."""
        slack = self._rules.factor_slack
        if slack is None:
            return ()
        return tuple(
            tuple(factor for factor, total in enumerate(task) if total <= (1 + slack) * min(task))
            for task in known.sums
        )


def _walk(digest: bytes) -> int:
    """Where a program of this hash begins its walk through the pools of seeds."""
    return int.from_bytes(digest[:4], "big")


def _draw(rng: random.Random, pool: tuple[int, ...], count: int) -> tuple[int, ...]:
    """`count` different seeds of a pool."""
    left = list(pool)
    return tuple(left.pop(pick(rng, len(left))) for _ in range(count))
