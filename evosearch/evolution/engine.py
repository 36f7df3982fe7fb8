"""The engine: breeds children, takes in outcomes, and knows nothing of who computes them.

`ask` gives the next child; if it has a `request`, somebody evaluates it and calls `tell`. Outcomes may come
in any order and at any time: child k is always bred from the population as it stands after exactly the
children 0 .. k - lag, in order, with random numbers of (seed, k). So the history depends on rules and
outcomes alone, and is the same for any number of workers, interrupted or not.

Children between k - lag and k are *under way*. A child whose hash is known, or under way, is a cache hit.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from evosearch.errors import SearchError
from evosearch.evaluation import Outcome, Status
from evosearch.evolution.cache import Cache
from evosearch.evolution.fitness import Known, Scale, Seeds
from evosearch.evolution.population import Leaders, Member, Population
from evosearch.evolution.rules import Purpose, Rules, reseed
from evosearch.language.abstract import AbstractExecution, Edit, Judged
from evosearch.language.fingerprint import fingerprint
from evosearch.language.mutation import Mutation, mutate, pick, random_program
from evosearch.language.program import Statements

WARM_START = -1
"""The id of the warm start; children count from 0."""

MAX_ATTEMPTS = 100_000
LEADERS = 50
BARS_INTERVAL = 64
"""Hurdles are set anew after so many children, or a quarter of the population if that is more."""


class Request(NamedTuple):
    """What to evaluate a child with; see `evaluation.Job`."""

    seeds: Seeds
    thresholds: tuple[tuple[tuple[float, ...], ...], ...] = ()
    limits: tuple[tuple[float, ...], ...] = ()
    factors: tuple[tuple[int, ...], ...] = ()


class _Bars(NamedTuple):
    """Where candidates are cut, relative to the warm start: running losses [task][hurdle], scores [task]."""

    losses: tuple[tuple[float, ...], ...]
    scores: tuple[float, ...]


class Child(NamedTuple):
    """One generated program.

    Attributes:
        id: children count from 0 in the order of breeding.
        parent: id of the parent; `WARM_START` for the warm start or none.
        round: which round of restarts.
        restart: which run of that round.
        mutation: what was done to the parent.
        invalid: how many children were thrown away before this one was valid.
        statements: the program.
        judged: hash, live statements, values.
        known: what is known of its score, shared with all programs of equal hash.
        cache_hit: whether its hash was known or under way.
        request: what to evaluate, or None if the score is known.
    """

    id: int
    parent: int
    round: int
    restart: int
    mutation: Mutation
    invalid: int
    statements: Statements
    judged: Judged
    known: Known
    cache_hit: bool
    request: Request | None


class Absorbed(NamedTuple):
    """A child that has taken its place in the history, with the estimate at that moment."""

    child: Child
    outcome: Outcome | None
    fitness: float
    status: Status
    seeds: int


@dataclass
class Counts:
    """Totals since the beginning; all follow from the history alone."""

    generated: int = 0
    invalid: int = 0
    cache_hits: int = 0
    requests: int = 0
    steps: int = 0
    statements: int = 0
    live_statements: int = 0


class Engine:
    """The state of a search.

    Args:
        rules: what the search is.
        warm_start: the statements of a valid program.
        baseline: outcome of training the warm start with all seeds of the pools.
        on_absorbed: called with each child in order of ids, as it takes its place in the history.

    Raises:
        SearchError: the warm start is invalid or does not train.
    """

    def __init__(
        self,
        rules: Rules,
        warm_start: Statements,
        baseline: Outcome,
        on_absorbed: Callable[[Absorbed], None],
    ) -> None:
        self.rules = rules
        self.counts = Counts()
        self._on_absorbed = on_absorbed
        self._rng = random.Random()
        self._abstract = AbstractExecution()
        judged = self._judge_warm_start(warm_start)
        self.scale = Scale.of(rules.seeds.pools, baseline)
        known = Known()
        known.assigned = rules.seeds.most
        known.learn(self.scale, rules.seeds.pools, baseline, rules.seeds.penalty)
        self._warm_start = Member(WARM_START, known, warm_start, judged)
        self._cache, self._fingerprints = Cache(rules.cache), Cache(rules.cache)
        self._cache.put(judged.hash, known)
        if rules.fingerprint:
            self._fingerprints.put(fingerprint(warm_start, judged), known)
        self._leaders = Leaders(LEADERS)
        self._leaders.offer(self._warm_start)
        self._under_way: deque[Child] = deque()
        self._outcomes: dict[int, Outcome] = {}
        self._next = 0
        self._stopped = False
        self._run_ends = False
        self.round = self.restart = 0
        self._run_best: float
        self._begin_run(self._warm_start)

    def _judge_warm_start(self, warm_start: Statements) -> Judged:
        judged = self._abstract.judge(warm_start)
        if not isinstance(judged, Judged):
            where = "" if judged.statement is None else f" (statement {judged.statement + 1})"
            raise SearchError(f"the warm start is not a valid program: {judged.reason}{where}")
        if len(warm_start) > self.rules.mutation.max_statements:
            raise SearchError(
                f"the warm start has {len(warm_start)} statements, more than "
                f"mutation.max_statements = {self.rules.mutation.max_statements}"
            )
        return judged

    # ------------------------------------------------------------------ what the driver calls

    def ask(self) -> Child | None:
        """The next child, or None: outcomes must be told first, or the search is over (`finished`)."""
        if not self._settle():
            return None
        child = self._breed(self._next)
        self._next += 1
        self._under_way.append(child)
        self._count(child)
        return child

    def tell(self, number: int, outcome: Outcome) -> None:
        """The outcome of a child's request."""
        self._outcomes[number] = outcome

    def stop(self) -> None:
        """Breed no further; the children under way are still awaited."""
        self._stopped = True

    @property
    def finished(self) -> bool:
        """Whether nothing is bred any more and every child has taken its place."""
        return self._stopped and not self._under_way

    @property
    def warm_start(self) -> Member:
        """The warm start and what is known of it."""
        return self._warm_start

    @property
    def under_way(self) -> int:
        """Children bred that have not taken their place yet."""
        return len(self._under_way)

    def leaders(self) -> list[Member]:
        """The best programs so far, best first, distinct by hash."""
        return self._leaders.ranked()

    def best(self) -> Member:
        """The best program so far."""
        return self._leaders.best()

    # ------------------------------------------------------------------ order

    def _settle(self) -> bool:
        """Absorb what the next child is to know of; False if outcomes are missing or nothing more is bred.

        Whether a run or the search is over is decided only when exactly that is absorbed: neither more nor
        less, whenever outcomes come.
        """
        while not self._stopped:
            if not self._absorb_below(self._next if self._run_ends else self._next - self.rules.lag + 1):
                return False
            if self._budget_is_spent():
                self._stopped = True
            elif self._run_ends:
                self._next_run()
            elif self._run_is_over():
                self._run_ends = True
            else:
                return True
        self._absorb_below(self._next)
        return False

    def _budget_is_spent(self) -> bool:
        budget, counts = self.rules.budget, self.counts
        return (
            (budget.programs is not None and self._next >= budget.programs)
            or (budget.evaluations is not None and counts.requests >= budget.evaluations)
            or (budget.steps is not None and counts.steps >= budget.steps)
        )

    def _absorb_below(self, number: int) -> bool:
        """Give children under way with lower ids their places; False as soon as an outcome is missing."""
        while self._under_way and self._under_way[0].id < number:
            if not self._absorb():
                return False
        return True

    def _absorb(self) -> bool:
        """Give the oldest child under way its place; False if its outcome is not there yet."""
        child = self._under_way[0]
        outcome: Outcome | None = None
        if child.request is not None:
            outcome = self._outcomes.pop(child.id, None)
            if outcome is None:
                return False
            child.known.learn(self.scale, child.request.seeds, outcome, self.rules.seeds.penalty)
            self.counts.steps += outcome.steps
        self._under_way.popleft()
        member = Member(child.id, child.known, child.statements, child.judged)
        self._population.add(member)
        self._leaders.offer(member)
        fitness = child.known.fitness
        if fitness < self._run_best:
            self._run_best = fitness
            self._run_best_at = child.id
        status = child.known.status
        assert status is not None, "a cache hit takes its place after the child it shares its score with"
        self._on_absorbed(Absorbed(child, outcome, fitness, status, child.known.count))
        return True

    # ------------------------------------------------------------------ runs and rounds

    def _begin_run(self, founder: Member) -> None:
        self._population = Population(founder, self.rules.population)
        self._run_ends = False
        self._run_first = self._next
        self._run_best = founder.known.fitness
        self._run_best_at = self._next
        self._bars = _Bars((), ())
        self._bars_at = 0

    def _run_is_over(self) -> bool:
        restarts = self.rules.restarts
        bred = self._next - self._run_first
        if restarts.programs is not None and bred >= restarts.programs:
            return True
        return restarts.patience is not None and self._next - self._run_best_at >= restarts.patience

    def _next_run(self) -> None:
        """Begin the next run, or stop after the last one; all children of this one have their places."""
        self.restart += 1
        if self.restart == self.rules.restarts.runs:
            self.restart = 0
            self.round += 1
        if self.round == self.rules.restarts.rounds:
            self._stopped = True
        else:
            self._begin_run(self._warm_start if self.round == 0 else self.best())

    # ------------------------------------------------------------------ breeding

    def _breed(self, number: int) -> Child:
        rng = reseed(self._rng, self.rules.seed, Purpose.BREED, number)
        if self.rules.method == "random":
            parent, statements, mutation, judged, invalid = None, *self._random_valid(rng)
        else:
            parent = self._population.tournament(rng, self.rules.tournament)
            statements, mutation, judged, invalid = self._mutate_valid(rng, parent)
        known, hit = self._look_up(statements, judged)
        request = self._request(number, judged.hash, known)
        whose = WARM_START if parent is None else parent.id
        return Child(
            number,
            whose,
            self.round,
            self.restart,
            mutation,
            invalid,
            statements,
            judged,
            known,
            hit,
            request,
        )

    def _mutate_valid(self, rng: random.Random, parent: Member) -> tuple[Statements, Mutation, Judged, int]:
        """A valid mutant; an invalid child is thrown away and the parent is mutated again."""
        invalid = 0
        for _ in range(MAX_ATTEMPTS):
            result = mutate(rng, parent.statements, self.rules.mutation)
            if result is None:
                continue
            statements, mutation = result
            edit = Edit(parent.statements, parent.judged, mutation.statement, mutation.new, mutation.gone)
            judged = self._abstract.judge(statements, edit)
            if isinstance(judged, Judged):
                return statements, mutation, judged, invalid
            invalid += 1
        raise SearchError(
            f"no valid child in {MAX_ATTEMPTS} mutations; allow more kinds of mutation or primitives"
        )

    def _random_valid(self, rng: random.Random) -> tuple[Statements, Mutation, Judged, int]:
        for invalid in range(MAX_ATTEMPTS):
            statements = random_program(rng, self.rules.mutation)
            judged = self._abstract.judge(statements)
            if isinstance(judged, Judged):
                return statements, Mutation("random", 0, "", ""), judged, invalid
        raise SearchError(f"no valid program in {MAX_ATTEMPTS} random ones; allow more primitives")

    def _look_up(self, statements: Statements, judged: Judged) -> tuple[Known, bool]:
        known = self._cache.get(judged.hash)
        if known is not None:
            return known, True
        hit = False
        if self.rules.fingerprint:
            behaviour = fingerprint(statements, judged)
            known = self._fingerprints.get(behaviour)
            hit = known is not None
            if known is None:
                known = Known()
                self._fingerprints.put(behaviour, known)
        known = known or Known()
        self._cache.put(judged.hash, known)
        return known, hit

    def _count(self, child: Child) -> None:
        counts = self.counts
        counts.generated += 1
        counts.invalid += child.invalid
        counts.cache_hits += child.cache_hit
        counts.requests += child.request is not None
        counts.statements += len(child.statements)
        counts.live_statements += child.judged.live

    # ------------------------------------------------------------------ what to evaluate

    def _request(self, number: int, digest: bytes, known: Known) -> Request | None:
        rules = self.rules.seeds
        if known.assigned == 0:
            seeds = self._first_seeds(number, digest)
            known.assigned = len(seeds[0])
            known.walk = _walk(digest)
            return self._hurdled(number, seeds)
        if rules.policy == "accumulating" and known.alive and known.assigned < rules.most:
            known.assigned += 1
            return Request(self._sequence(known.walk, known.assigned - 1, 1), factors=self._factors(known))
        return None

    def _first_seeds(self, number: int, digest: bytes) -> Seeds:
        rules = self.rules.seeds
        if rules.policy == "fixed":
            return rules.pools
        if rules.policy == "accumulating":
            return self._sequence(_walk(digest), 0, rules.start)
        rng = reseed(self._rng, self.rules.seed, Purpose.SEEDS, number)
        return tuple(_draw(rng, pool, rules.start) for pool in rules.pools)

    def _sequence(self, walk: int, first: int, count: int) -> Seeds:
        """Seeds `first` and following of a program's own walk through the pools."""
        return tuple(
            tuple(pool[(walk + first + i) % len(pool)] for i in range(count))
            for pool in self.rules.seeds.pools
        )

    def _hurdled(self, number: int, seeds: Seeds) -> Request:
        """A request with the hurdles of the moment, as losses and metrics of each seed."""
        hurdles, scale = self.rules.hurdles, self.scale
        if not (hurdles.count or hurdles.seeds):
            return Request(seeds)
        interval = max(BARS_INTERVAL, self.rules.population // 4)
        if not (self._bars.losses or self._bars.scores) or number - self._bars_at >= interval:
            self._bars_at, self._bars = number, self._bars_now()
        thresholds = tuple(
            tuple(tuple(r * b for r, b in zip(ratios, base[seed], strict=True)) for seed in places)
            for ratios, base, places in zip(self._bars.losses, scale.hurdles, seeds, strict=False)
        )
        limits = tuple(
            tuple(score / scale.unit * base[seed] for seed in places)
            for score, base, places in zip(self._bars.scores, scale.metrics, seeds, strict=False)
        )
        return Request(seeds, thresholds, limits)

    def _bars_now(self) -> _Bars:
        hurdles, tasks = self.rules.hurdles, range(len(self.rules.seeds.pools))
        population, height = self._population, 1 + hurdles.slack
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
        slack = self.rules.factor_slack
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
