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
from evosearch.evolution.fitness import Known, Scale
from evosearch.evolution.population import Leaders, Member, Population, Scored
from evosearch.evolution.requests import Request, Requests
from evosearch.evolution.rules import Purpose, Rules, reseed
from evosearch.language.abstract import AbstractExecution, Edit, Judged
from evosearch.language.fingerprint import fingerprint
from evosearch.language.mutation import Mutation, mutate, random_program
from evosearch.language.program import Statements

WARM_START = -1
"""The id of the warm start; children count from 0."""

MAX_ATTEMPTS = 100_000
LEADERS = 50


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
        hash: the canonical hash, 16 bytes.
        live: how many of its statements are live.
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
    hash: bytes
    live: int
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

    Attributes:
        waits: whether the last `ask` had nothing to give before outcomes are told.
        round: of the restarts.
        restart: which of the round's runs.
        scale: what the warm start reaches.
        warm_start: the warm start and what is known of it.

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
        self.waits = False
        self._on_absorbed = on_absorbed
        self._rng = random.Random()
        self._abstract = AbstractExecution()
        judged = judge_warm_start(rules, self._abstract, warm_start)
        self.scale = Scale.of(rules.seeds.pools, baseline)
        known = known_warm_start(rules, self.scale, baseline)
        self.warm_start = Scored(WARM_START, known, warm_start)
        self._requests = Requests(rules, self.scale)
        self._cache, self._fingerprints = Cache(rules.cache), Cache(rules.cache)
        self._cache.put(judged.hash, known)
        if rules.fingerprint:
            self._fingerprints.put(fingerprint(warm_start, judged.carried), known)
        self._leaders = Leaders(LEADERS)
        self._leaders.offer(self.warm_start)
        self._under_way: deque[tuple[Child, Judged]] = deque()
        self._outcomes: dict[int, Outcome] = {}
        self._next = 0
        self._stopped = False
        self._run_ends = False
        self.round = self.restart = 0
        self._run_best: float
        self._begin_run(Member(*self.warm_start, judged))

    # ------------------------------------------------------------------ what the driver calls

    def ask(self) -> Child | None:
        """The next child, or None: outcomes must be told first, or the search is over (`finished`)."""
        self.waits = not self._settle()
        if self.waits:
            return None
        child, judged = self._breed(self._next)
        self._next += 1
        self._under_way.append((child, judged))
        self._count(child)
        return child

    def tell(self, number: int, outcome: Outcome) -> None:
        """The outcome of a child's request."""
        self._outcomes[number] = outcome

    def stop(self) -> None:
        """Breed no further; the children under way are still awaited."""
        self._stopped = True

    def hand_over(self) -> None:
        """Nothing is kept back here: `on_absorbed` is called at once."""

    @property
    def finished(self) -> bool:
        """Whether nothing is bred any more and every child has taken its place."""
        return self._stopped and not self._under_way

    @property
    def under_way(self) -> int:
        """Children bred that have not taken their place yet."""
        return len(self._under_way)

    def leaders(self) -> list[Scored]:
        """The best programs so far, best first, distinct by hash."""
        return self._leaders.ranked()

    def best(self) -> Scored:
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
        while self._under_way and self._under_way[0][0].id < number:
            if not self._absorb():
                return False
        return True

    def _absorb(self) -> bool:
        """Give the oldest child under way its place; False if its outcome is not there yet."""
        child, judged = self._under_way[0]
        outcome: Outcome | None = None
        if child.request is not None:
            outcome = self._outcomes.pop(child.id, None)
            if outcome is None:
                return False
            child.known.learn(self.scale, child.request.seeds, outcome, self.rules.seeds.penalty)
            self.counts.steps += outcome.steps
        self._under_way.popleft()
        self._population.add(Member(child.id, child.known, child.statements, judged))
        self._leaders.offer(Scored(child.id, child.known, child.statements))
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
        self._requests.begin_run()

    def _run_is_over(self) -> bool:
        restarts = self.rules.restarts
        bred = self._next - self._run_first
        if restarts.programs is not None and bred >= restarts.programs:
            return True
        return restarts.patience is not None and self._next - self._run_best_at >= restarts.patience

    def _next_run(self) -> None:
        """Begin the next run, or stop after the last one; all children of this one have their places."""
        following = self.rules.restarts.after(self.round, self.restart)
        if following is None:
            self._stopped = True
        else:
            self.round, self.restart = following
            founder = self.warm_start if self.round == 0 else self.best()
            judged = self._abstract.judge(founder.statements)
            assert isinstance(judged, Judged), "it was valid when it was bred"
            self._begin_run(Member(*founder, judged))

    # ------------------------------------------------------------------ breeding

    def _breed(self, number: int) -> tuple[Child, Judged]:
        rng = reseed(self._rng, self.rules.seed, Purpose.BREED, number)
        if self.rules.method == "random":
            parent, statements, mutation, judged, invalid = None, *self._random_valid(rng)
        else:
            parent = self._population.tournament(rng, self.rules.tournament)
            statements, mutation, judged, invalid = self._mutate_valid(rng, parent)
        known, hit = self._look_up(statements, judged)
        request: Request | None = None
        if known.assigned == 0:
            request = self._requests.first(number, judged.hash, known, self._population)
        elif self._requests.wants_more(known):
            request = self._requests.further(known)
        child = Child(
            number,
            WARM_START if parent is None else parent.id,
            self.round,
            self.restart,
            mutation,
            invalid,
            statements,
            judged.hash,
            judged.live,
            known,
            hit,
            request,
        )
        return child, judged

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
        raise no_valid_child(self.rules, MAX_ATTEMPTS)

    def _random_valid(self, rng: random.Random) -> tuple[Statements, Mutation, Judged, int]:
        for invalid in range(MAX_ATTEMPTS):
            statements = random_program(rng, self.rules.mutation)
            judged = self._abstract.judge(statements)
            if isinstance(judged, Judged):
                return statements, Mutation("random", 0, "", ""), judged, invalid
        raise no_valid_child(self.rules, MAX_ATTEMPTS)

    def _look_up(self, statements: Statements, judged: Judged) -> tuple[Known, bool]:
        known = self._cache.get(judged.hash)
        if known is not None:
            return known, True
        hit = False
        if self.rules.fingerprint:
            behaviour = fingerprint(statements, judged.carried)
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
        counts.live_statements += child.live


def judge_warm_start(rules: Rules, abstract: AbstractExecution, warm_start: Statements) -> Judged:
    """What abstract execution says of a warm start.

    Raises:
        SearchError: it is not valid, or too long.
    """
    judged = abstract.judge(warm_start)
    if not isinstance(judged, Judged):
        where = "" if judged.statement is None else f" (statement {judged.statement + 1})"
        raise SearchError(f"the warm start is not a valid program: {judged.reason}{where}")
    if len(warm_start) > rules.mutation.max_statements:
        raise SearchError(
            f"the warm start has {len(warm_start)} statements, more than "
            f"mutation.max_statements = {rules.mutation.max_statements}"
        )
    return judged


def known_warm_start(rules: Rules, scale: Scale, baseline: Outcome) -> Known:
    """What is known of the warm start: it was trained with all seeds of the pools."""
    known = Known()
    known.assigned = rules.seeds.most
    known.learn(scale, rules.seeds.pools, baseline, rules.seeds.penalty)
    return known


def no_valid_child(rules: Rules, attempts: int) -> SearchError:
    """What to say if so many attempts in a row gave no valid program."""
    if rules.method == "random":
        return SearchError(f"no valid program in {attempts} random ones; allow more primitives")
    return SearchError(f"no valid child in {attempts} mutations; allow more kinds of mutation or primitives")
