"""Searches without trainings: outcomes are a pure function of the program's hash and the seeds."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from evosearch.evaluation import Outcome, Status
from evosearch.evolution import Absorbed, Budget, Child, Engine, HurdleRules, Restarts, Rules, SeedRules
from evosearch.evolution.fitness import Seeds
from evosearch.language import analyze, builtin
from evosearch.language.mutation import MutationRules, Statements
from evosearch.language.vocabulary import vocabulary

EVEN = (("insert", 1.0), ("modify", 1.0), ("delete", 1.0))
MUTATION = MutationRules(EVEN, vocabulary("paper"), max_statements=20)
ADAMW = builtin("adamw").statements


def make_rules(**changes: object) -> Rules:
    """A small search: one task, two fixed seeds."""
    usual = Rules(
        seed=0,
        method="evolution",
        population=20,
        tournament=2,
        lag=7,
        mutation=MUTATION,
        restarts=Restarts(),
        budget=Budget(programs=500),
        seeds=SeedRules("fixed", ((0, 1),)),
        hurdles=HurdleRules(),
        fingerprint=False,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]


def uniform(*parts: object) -> float:
    """A number in [0, 1) that looks random and depends on nothing but the parts."""
    digest = blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


class World:
    """What trainings would give.

    Args:
        factors: how many learning-rate factors.
        hurdles: how many hurdles.
        failing: share of the programs that diverge.
        unlucky: chance that a program which does not always diverge does so on a seed.
        steps: training steps of each seed.
    """

    def __init__(
        self, factors: int = 1, hurdles: int = 0, failing: float = 0.2, unlucky: float = 0.0, steps: int = 10
    ) -> None:
        self.factors = factors
        self.hurdles = hurdles
        self.failing = failing
        self.unlucky = unlucky
        self.steps = steps

    def metric(self, digest: bytes, task: int, seed: int, factor: int = 0) -> float:
        """Of a training that gets through."""
        quality = 1 + uniform("quality", digest)
        return quality + uniform("rate", digest, task, factor) + 0.5 * uniform("luck", digest, task, seed)

    def fails(self, digest: bytes, task: int, seed: int) -> bool:
        return (
            uniform("fails", digest) < self.failing or uniform("un", digest, task, seed) < self.unlucky
        ) and digest != hash_of(ADAMW)

    def hurdle(self, digest: bytes, task: int, seed: int, hurdle: int) -> float:
        return 2.0 + uniform("hurdle", digest, task, seed, hurdle)

    def outcome(self, digest: bytes, seeds: Seeds) -> Outcome:
        """Of one job."""
        places = [(task, seed) for task, pool in enumerate(seeds) for seed in pool]
        steps = self.steps * len(places)
        hurdles = tuple(
            tuple(tuple(self.hurdle(digest, t, s, h) for h in range(self.hurdles)) for s in pool)
            for t, pool in enumerate(seeds)
        )
        if any(self.fails(digest, *place) for place in places):
            return Outcome(Status.DIVERGED, hurdles=hurdles, steps=steps // 2)
        metrics = tuple(
            tuple(tuple(self.metric(digest, t, s, f) for f in range(self.factors)) for s in pool)
            for t, pool in enumerate(seeds)
        )
        return Outcome(Status.OK, metrics, hurdles, steps)


def hash_of(statements: Statements) -> bytes:
    return bytes.fromhex(analyze(statements).hash)


class Event(NamedTuple):
    """All that a history says of one child; equal histories have equal events."""

    id: int
    parent: int
    round: int
    restart: int
    mutation: tuple[object, ...]
    invalid: int
    text: tuple[str, ...]
    hash: bytes
    live: int
    cache_hit: bool
    request: object
    fitness: float
    status: Status
    seeds: int
    steps: int

    @classmethod
    def of(cls, absorbed: Absorbed) -> Event:
        child = absorbed.child
        return cls(
            child.id,
            child.parent,
            child.round,
            child.restart,
            tuple(child.mutation),
            child.invalid,
            tuple(s.text for s in child.statements),
            child.hash,
            child.live,
            child.cache_hit,
            child.request,
            absorbed.fitness,
            absorbed.status,
            absorbed.seeds,
            absorbed.outcome.steps if absorbed.outcome else 0,
        )


class Drive:
    """An engine, and somebody who knows which outcomes it has not been told yet."""

    def __init__(self, rules: Rules, world: World | None = None, warm_start: Statements = ADAMW) -> None:
        self.world = world or World()
        self.rows: list[Absorbed] = []
        self.events: list[Event] = []
        self.children: list[Child] = []
        self.untold: dict[int, Child] = {}
        baseline = self.world.outcome(hash_of(warm_start), rules.seeds.pools)
        self.engine = Engine(rules, warm_start, baseline, self._absorbed)

    def _absorbed(self, absorbed: Absorbed) -> None:
        self.rows.append(absorbed)
        self.events.append(Event.of(absorbed))

    def ask(self) -> Child | None:
        child = self.engine.ask()
        if child is not None:
            self.children.append(child)
            if child.request is not None:
                self.untold[child.id] = child
        return child

    def tell(self, number: int) -> None:
        child = self.untold.pop(number)
        assert child.request is not None
        self.engine.tell(number, self.world.outcome(child.hash, child.request.seeds))

    def run(self, schedule: Schedule | None = None) -> list[Event]:
        """To the end; `schedule` tells outcomes after each `ask`, by default at once."""
        schedule = schedule or at_once
        while not self.engine.finished:
            schedule(self, self.ask())
        return self.events


Schedule = Callable[[Drive, Child | None], None]


def at_once(drive: Drive, child: Child | None) -> None:
    for number in list(drive.untold):
        drive.tell(number)


def as_late_as_allowed(drive: Drive, child: Child | None) -> None:
    """Only when the engine waits, and then only the outcome that it waits for."""
    if child is None and drive.untold:
        drive.tell(min(drive.untold))


def backwards_in_bursts(drive: Drive, child: Child | None) -> None:
    if child is None:
        for number in sorted(drive.untold, reverse=True):
            drive.tell(number)


def in_any_order(seed: int, share: float) -> Schedule:
    """After each `ask` each outcome is told with chance `share`, in random order."""
    rng = random.Random(seed)

    def schedule(drive: Drive, child: Child | None) -> None:
        numbers = list(drive.untold)
        rng.shuffle(numbers)
        for number in numbers:
            if rng.random() < share:
                drive.tell(number)

    return schedule
