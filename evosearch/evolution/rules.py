"""What a search is: the rules its history follows from."""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass

from evosearch.language.mutation import MutationRules

METHODS = ("evolution", "constants", "random")
"""`constants` changes nothing but the constants of the warm start; `random` draws programs from nothing."""

POLICIES = ("fixed", "fresh", "accumulating")
"""Which seeds a candidate is trained with.

- fixed: every candidate with all seeds of the pool.
- fresh: every new candidate with a few seeds drawn from the pool for it.
- accumulating: a new candidate with a few seeds; each time it is bred again it earns one more.
"""


class Purpose(enum.IntEnum):
    """What random numbers are for; numbers of different purposes have nothing in common."""

    BREED = 0
    SEEDS = 1
    TUNE = 2


_PURPOSES = len(Purpose)


def reseed(rng: random.Random, seed: int, purpose: Purpose, index: int) -> random.Random:
    """Set a generator to the start of the stream of (seed, purpose, index), and return it."""
    rng.seed(_stream(seed, purpose) << _INDEX_BITS | index)
    return rng


_INDEX_BITS = 64


def _stream(seed: int, purpose: Purpose) -> int:
    return seed * _PURPOSES + purpose


def purpose_words(seed: int, purpose: Purpose) -> list[int]:
    """What `reseed` puts above the index: 32-bit words, the lowest first, without zeros on top.

    >>> purpose_words(2**32, Purpose.SEEDS)
    [1, 3]
    """
    stream = _stream(seed, purpose)
    return [stream >> shift & 0xFFFFFFFF for shift in range(0, stream.bit_length(), 32)]


@dataclass(frozen=True)
class Budget:
    """When a search ends, whichever comes first; None is no limit.

    Attributes:
        programs: programs generated.
        evaluations: jobs sent to be evaluated.
        steps: training steps done.
    """

    programs: int | None = None
    evaluations: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Restarts:
    """How often evolution starts anew.

    Attributes:
        rounds: the first round starts from the warm start, each other from the best program so far.
        runs: independent runs in each round.
        programs: programs in each run; None for no limit.
        patience: a run ends when its best score has not improved for so many programs; None for never.
    """

    rounds: int = 1
    runs: int = 1
    programs: int | None = None
    patience: int | None = None

    def after(self, round_: int, restart: int) -> tuple[int, int] | None:
        """Round and restart of the run after one; None after the last.

        >>> Restarts(rounds=2, runs=3).after(0, 2)
        (1, 0)
        """
        following = (round_, restart + 1) if restart + 1 < self.runs else (round_ + 1, 0)
        return following if following[0] < self.rounds else None


@dataclass(frozen=True)
class SeedRules:
    """Seeds of training; see `POLICIES`.

    Attributes:
        policy: one of `POLICIES`.
        pools: for each task the seeds to choose from.
        start: how many seeds a new candidate gets (not for `fixed`).
        most: how many seeds a candidate can accumulate.
        penalty: a candidate with n seeds is scored worse than its mean by penalty / sqrt(n) of the warm
            start's score.
    """

    policy: str
    pools: tuple[tuple[int, ...], ...]
    start: int = 1
    most: int = 1
    penalty: float = 0.0


@dataclass(frozen=True)
class HurdleRules:
    """Where a candidate's training is cut.

    Attributes:
        count: the number of hurdles within a training.
        quantile: of the population's running losses at a hurdle, relative to the warm start's.
        slack: the threshold is that quantile times 1 + slack.
        seeds: whether the metric of each training is a hurdle, too, before the next seed or task.
    """

    count: int = 0
    quantile: float = 0.9
    slack: float = 0.05
    seeds: bool = False


@dataclass(frozen=True)
class Rules:
    """Everything that the history of a search depends on, besides outcomes.

    Attributes:
        seed: of all random numbers.
        method: one of `METHODS`.
        population: how many programs are alive; the oldest leaves when a child is added.
        tournament: how many are drawn, the best of whom becomes the parent; 1 is no selection.
        lag: child k is bred from the population as it stands after children up to k - lag.
        mutation: what mutation may do.
        restarts: runs and rounds.
        budget: when to end.
        seeds: which seeds candidates are trained with.
        hurdles: where training is cut.
        factor_slack: a learning-rate factor is left out on a program's further seeds where its mean is worse
            than the best factor's by more than this share; None for never.
        fingerprint: whether programs that behave alike share a score, besides those with equal hash.
        cache: how many distinct programs are remembered at least; at most it is twice as many.
    """

    seed: int
    method: str
    population: int
    tournament: int
    lag: int
    mutation: MutationRules
    restarts: Restarts
    budget: Budget
    seeds: SeedRules
    hurdles: HurdleRules
    fingerprint: bool
    factor_slack: float | None = None
    cache: int = 20_000
