"""The native engine: the history of `evolution.engine`, bred in machine code.

C breeds children, finds out which scores are known, and gives those their places; here is what it can't
decide by itself: what is learned from an outcome, what to evaluate a new program with, who leads, when runs
end.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation import Outcome, Status
from evosearch.evolution.cache import Cache
from evosearch.evolution.engine import (
    LEADERS,
    MAX_ATTEMPTS,
    WARM_START,
    Counts,
    judge_warm_start,
    known_warm_start,
    no_valid_child,
)
from evosearch.evolution.fitness import Known, Scale
from evosearch.evolution.native.tables import (
    INFO,
    KINDS,
    NUMBERS,
    STATUSES,
    TEXTS,
    Tables,
    library,
)
from evosearch.evolution.population import Leaders, Scored
from evosearch.evolution.requests import Request, Requests
from evosearch.evolution.rules import Rules
from evosearch.language.abstract import AbstractExecution, fold
from evosearch.language.fingerprint import digest, fingerprint
from evosearch.language.native import STEP_BYTES, native_behaviour
from evosearch.language.packing import STATEMENT_BYTES, PackedStatements
from evosearch.language.program import Statement, Statements
from evosearch.records.columns import Column, Columns, Texts, Words
from primitives import TABLE

AT_ONCE = 4096
"""So many children are bred in one call at most, so that whoever drives the search can look up."""


class Event(IntEnum):
    """Why C returned; the order is that of `breeder.c`."""

    OVER = 0
    AWAITED = 1
    ROWS_FULL = 2
    LEADER = 3
    RUN_ENDS = 4
    SPENT = 5
    LIMIT = 6
    NEW = 7
    MORE = 8
    FOLD = 9
    NO_CHILD = 10
    OVERFLOW = 11
    NO_MEMORY = 12


class Verdict(IntEnum):
    """What C says of a program; the order is that of `breeder.c`."""

    INVALID = 0
    VALID = 1
    NEEDS_FOLD = 2


class Shown(NamedTuple):
    """What C says of the child of an event, in the order of `tables.INFO`.

    Attributes:
        id: the child's.
        length: how many statements it has.
        carried: `Judged.carried` of it.
        slot: where what is known of it lies, -1 if nothing is.
    """

    id: int
    length: int
    carried: int
    slot: int


class ToEvaluate(NamedTuple):
    """A child that somebody has to evaluate; see `engine.Child`."""

    id: int
    statements: PackedStatements
    hash: bytes
    known: Known
    request: Request


_INFO = {name: place for place, name in enumerate(INFO)}
_SHOWN = slice(_INFO["event_id"], _INFO["fold_op"])
_STATUS = {status: place for place, status in enumerate(STATUSES)}


class NativeEngine:
    """The state of a search; see `evolution.Engine`, which tells the same history.

    Children whose score is known are bred, and take their places, without being shown: `ask` gives only those
    that somebody has to evaluate.

    Args:
        rules: what the search is.
        warm_start: the statements of a valid program.
        baseline: outcome of training the warm start with all seeds of the pools.
        on_rows: called with children in order of ids, after they have taken their places: thousands at once,
            and by `hand_over`.

    Raises:
        SearchError: the warm start is invalid or does not train.
        NoCompilerError: there is no machine code for this machine.
    """

    def __init__(
        self, rules: Rules, warm_start: Statements, baseline: Outcome, on_rows: Callable[[Columns], None]
    ) -> None:
        self.rules = rules
        judged = judge_warm_start(rules, AbstractExecution(), warm_start)
        self.scale = Scale.of(rules.seeds.pools, baseline)
        known = known_warm_start(rules, self.scale, baseline)
        self.warm_start = Scored(WARM_START, known, warm_start)
        self.round = self.restart = 0
        self.waits = False
        self._on_rows = on_rows
        self._requests = Requests(rules, self.scale)
        self._requested = self._steps = self._handed = 0
        self._outcomes: dict[int, Outcome] = {}
        self._awaited: dict[int, ToEvaluate] = {}
        self._fingerprints = Cache(rules.cache)
        self._behaviour = native_behaviour()
        self._live = np.zeros(rules.mutation.max_statements * STEP_BYTES, np.uint8)
        self._live_at = self._live.ctypes.data
        self._leaders = Leaders(LEADERS)
        self._tables = Tables(rules, warm_start, MAX_ATTEMPTS)
        self._shared = self._tables.shared
        self._info = self._shared.info
        self._knowns: list[Known | None] = [None] * len(self._shared.fitness)
        self._alive = _Alive(rules, len(self._knowns))
        self._c = library()
        self._breeder = self._c.breeder_new(self._tables.setup)
        if not self._breeder:
            raise MemoryError("there is not enough memory for the population and the cache")
        weakref.finalize(self, self._c.breeder_delete, self._breeder)
        self._set(programs=_or_none(rules.budget.programs), patience=_or_none(rules.restarts.patience))
        self._set(run_programs=_or_none(rules.restarts.programs))
        self._put(judged.hash, known)
        if rules.fingerprint:
            self._fingerprints.put(fingerprint(warm_start, judged.carried), known)
        self._offer(*self.warm_start)
        self._begin_run(self.warm_start)

    # ------------------------------------------------------------------ what the driver calls

    def ask(self) -> ToEvaluate | None:
        """The next child to evaluate, or None: if `waits`, outcomes must be told first or the search is over;
        otherwise many children were bred whose scores are known.
        """
        child, self.waits = None, False
        while child is None:
            if self._is_spent():
                self._set(is_spent=1)
            event = self._advance()
            if event in (Event.NEW, Event.MORE):
                child = self._admit(event, self._shown())
            elif event == Event.AWAITED:
                self.waits = not self._absorb()
            elif event == Event.LEADER:
                shown = self._shown()
                known = self._knowns[shown.slot]
                assert known is not None, "a child under way keeps its slot"
                self._offer(shown.id, known, self._program(shown))
            elif event == Event.FOLD:
                self._fold()
            elif event == Event.RUN_ENDS:
                self._next_run()
            elif event == Event.SPENT:
                self.stop()
            elif event == Event.ROWS_FULL:
                self.hand_over()
            elif event == Event.OVER:
                self.waits = True
            elif event != Event.LIMIT:
                raise self._error(Event(event))
            if self.waits or event == Event.LIMIT:
                break
        return child

    def tell(self, number: int, outcome: Outcome) -> None:
        """The outcome of a child's request."""
        self._outcomes[number] = outcome

    def stop(self) -> None:
        """Breed no further; the children under way are still awaited."""
        self._set(stopped=1)

    @property
    def finished(self) -> bool:
        """Whether nothing is bred any more and every child has taken its place."""
        return bool(self._get("stopped")) and not self.under_way

    @property
    def under_way(self) -> int:
        """Children bred that have not taken their place yet."""
        return self._get("next") - self._get("first")

    @property
    def counts(self) -> Counts:
        """Totals since the beginning; all follow from the history alone."""
        names = ("generated", "invalid", "cache_hits")
        generated, invalid, hits = map(self._get, names)
        lengths = self._get("statements"), self._get("live")
        return Counts(generated, invalid, hits, self._requested, self._steps, *lengths)

    def leaders(self) -> list[Scored]:
        """The best programs so far, best first, distinct by hash."""
        return self._leaders.ranked()

    def best(self) -> Scored:
        """The best program so far."""
        return self._leaders.best()

    # ------------------------------------------------------------------ numbers that both sides see

    def _get(self, name: str) -> int:
        return int(self._info[_INFO[name]])

    def _set(self, **numbers: int) -> None:
        for name, number in numbers.items():
            self._info[_INFO[name]] = number

    def _advance(self) -> int:
        """Let C go on; the event that it stopped at."""
        event: int = self._c.breeder_advance(self._breeder, AT_ONCE)
        return event

    def _is_spent(self) -> bool:
        budget = self.rules.budget
        return (budget.evaluations is not None and self._requested >= budget.evaluations) or (
            budget.steps is not None and self._steps >= budget.steps
        )

    def _shown(self) -> Shown:
        """The child of an event."""
        return Shown(*self._info[_SHOWN].tolist())

    def _program(self, shown: Shown) -> PackedStatements:
        size = shown.length * STATEMENT_BYTES
        return PackedStatements(self._tables.packing, self._shared.shown[:size].tobytes())

    # ------------------------------------------------------------------ slots: what is known, for C

    def _slot(self, known: Known) -> int:
        """The slot of what is known; a new one unless it has one that C keeps."""
        slot = known.slot
        if slot >= 0 and self._knowns[slot] is known and not self._c.breeder_is_free(self._breeder, slot):
            return slot
        slot = int(self._c.breeder_slot(self._breeder))
        assert slot >= 0, "there are as many slots as can be kept"
        known.slot = slot
        self._knowns[slot] = known
        if known.status is not None:  # C has made the slot that of a program of which nothing is known
            self._learned(known)
        return slot

    def _learned(self, known: Known) -> None:
        """Tell C what is known now."""
        slot, shared = known.slot, self._shared
        shared.fitness[slot] = known.fitness
        shared.status[slot] = -1 if known.status is None else _STATUS[known.status]
        shared.seeds[slot] = known.count
        shared.more[slot] = self._requests.wants_more(known)
        shared.leads[slot] = known in self._leaders
        self._alive.learned(known)

    def _put(self, digest: bytes, known: Known) -> int:
        slot = self._slot(known)
        self._c.breeder_put(self._breeder, digest, slot)
        return slot

    def _offer(self, number: int, known: Known, statements: Sequence[Statement]) -> None:
        """A program to the leaders."""
        if not (known.fitness < self._leaders.bar or known in self._leaders):
            return
        gone = self._leaders.offer(Scored(number, known, tuple(statements)))
        for changed in (known, *([gone.known] if gone else [])):
            if self._knowns[changed.slot] is changed:
                self._shared.leads[changed.slot] = changed in self._leaders
        self._c.breeder_set_bar(self._breeder, self._leaders.bar)

    # ------------------------------------------------------------------ events

    def _admit(self, event: int, shown: Shown) -> ToEvaluate | None:
        """The child of an event is under way; None if its score turns out to be known."""
        canonical = self._shared.shown_hash.tobytes()
        request: Request | None = None
        if event == Event.MORE:
            known = self._knowns[shown.slot]
            assert known is not None, "what the cache keeps has its slot"
            slot, hit = shown.slot, True
        else:
            known, hit = self._recognized(shown)
            slot = self._put(canonical, known)
        if known.assigned == 0:
            request = self._requests.first(shown.id, canonical, known, self._population())
        elif self._requests.wants_more(known):
            request = self._requests.further(known)
        self._shared.more[slot] = self._requests.wants_more(known)
        self._c.breeder_admit(self._breeder, slot, hit, request is not None)
        if request is None:
            return None
        self._requested += 1
        child = ToEvaluate(shown.id, self._program(shown), canonical, known, request)
        self._awaited[shown.id] = child
        return child

    def _fold(self) -> None:
        """Say the number of a constant expression: it follows from NumPy's references, not from C."""
        row = TABLE[self._get("fold_op")]
        number = fold(row.name, self._shared.folding[: row.arity].tolist())
        self._c.breeder_fold(self._breeder, number)

    def _recognized(self, shown: Shown) -> tuple[Known, bool]:
        """What is known of the event's program by its behaviour, and whether that is anything."""
        if not self.rules.fingerprint:
            return Known(), False
        while (live := self._c.breeder_steps(self._breeder, self._live_at)) < 0:
            self._fold()
        variables = len(self._tables.variables)
        behaviour = digest(self._behaviour(self._live_at, live, variables, shown.carried))
        known = self._fingerprints.get(behaviour)
        if known is not None:
            return known, True
        known = Known()
        self._fingerprints.put(behaviour, known)
        return known, False

    def _absorb(self) -> bool:
        """Give the oldest child under way its place; False if its outcome is not there yet."""
        number = self._get("first")
        outcome = self._outcomes.pop(number, None)
        if outcome is None:
            return False
        child = self._awaited.pop(number)
        request, known = child.request, child.known
        known.learn(self.scale, request.seeds, outcome, self.rules.seeds.penalty)
        self._steps += outcome.steps
        self._learned(known)
        self._c.breeder_take_place(self._breeder, outcome.steps, outcome.seconds)
        self._offer(number, known, child.statements)
        return True

    def _next_run(self) -> None:
        """Begin the next run, or stop after the last one; all children of this one have their places."""
        following = self.rules.restarts.after(self.round, self.restart)
        if following is None:
            self.stop()
        else:
            self.round, self.restart = following
            self._begin_run(self.warm_start if self.round == 0 else self.best())

    def _begin_run(self, founder: Scored) -> None:
        self._requests.begin_run()
        packed = self._tables.packing.pack(founder.statements)
        slot = self._slot(founder.known)
        about = (founder.id, slot, self.round, self.restart)
        self._c.breeder_begin_run(self._breeder, packed, len(founder.statements), *about)
        while (verdict := self._c.breeder_judge_founder(self._breeder)) == Verdict.NEEDS_FOLD:
            self._fold()
        assert verdict == Verdict.VALID, "it was valid when it was bred"

    def _population(self) -> _Alive:
        """The quantiles of the population as it stands; who is in it is asked for only if hurdles are set."""
        return self._alive.of(self._members)

    def _members(self) -> NDArray[np.int64]:
        slots = np.zeros(self.rules.population, np.int64)
        self._c.breeder_members(self._breeder, slots.ctypes.data)
        return slots

    # ------------------------------------------------------------------ rows

    def _error(self, event: Event) -> Exception:
        if event is Event.NO_CHILD:
            return no_valid_child(self.rules, MAX_ATTEMPTS)
        if event == Event.OVERFLOW:
            return OverflowError(
                "a random constant does not fit float32: lower search.mutation.constants.std"
            )
        return MemoryError("there is not enough memory to breed")

    def hand_over(self) -> None:
        """Give away the rows that wait in C's arrays, a few thousand at most."""
        count = self._get("filled")
        if not count:
            return
        shared, first = self._shared, self._handed
        columns: dict[str, Column] = {
            name: numbers[:count].copy() for name, numbers in zip(NUMBERS, shared.numbers, strict=True)
        }
        columns["mutation"] = Words(_whole(columns["mutation"]), KINDS)
        columns["outcome"] = Words(_whole(columns["outcome"]), tuple(status.name for status in STATUSES))
        columns["score"], columns["seconds"] = shared.reals[:, :count].copy()
        columns["hash"] = shared.hashes[:count].copy()
        for name, ends, data in zip(TEXTS, shared.ends, shared.texts, strict=True):
            columns[name] = Texts(ends[: count + 1].copy(), data[: ends[count]].tobytes())
        self._handed += count
        self._set(filled=0)
        self._on_rows(Columns(first, count, columns))


class _Alive:
    """What the population's members reached, by slot: the quantiles of `Population`, on arrays."""

    def __init__(self, rules: Rules, slots: int) -> None:
        tasks = len(rules.seeds.pools)
        self._ok = np.zeros(slots, bool)
        self._hurdled = np.zeros(slots, bool)
        self._scores = np.zeros((slots, tasks))
        self._hurdles = np.zeros((slots, tasks, rules.hurdles.count))
        self._wanted = bool(rules.hurdles.count or rules.hurdles.seeds)
        self._ask: Callable[[], NDArray[np.int64]]
        self._found: NDArray[np.int64] | None = None

    def of(self, members: Callable[[], NDArray[np.int64]]) -> _Alive:
        """The same of other members; whose slots these are is asked for at most once."""
        self._ask, self._found = members, None
        return self

    @property
    def _members(self) -> NDArray[np.int64]:
        if self._found is None:
            self._found = self._ask()
        return self._found

    def learned(self, known: Known) -> None:
        """Take in what is known now."""
        if not self._wanted:
            return
        slot = known.slot
        self._ok[slot] = known.status is Status.OK
        if not self._ok[slot]:
            return
        self._scores[slot] = [min(task) / known.count for task in known.sums]
        self._hurdled[slot] = bool(known.hurdles)
        if known.hurdles:
            self._hurdles[slot] = known.hurdles

    def hurdle_quantile(self, task: int, hurdle: int, quantile: float) -> float:
        """See `Population.hurdle_quantile`."""
        slots = self._members
        return _quantile(
            self._hurdles[slots, task, hurdle][self._ok[slots] & self._hurdled[slots]], slots, quantile
        )

    def score_quantile(self, task: int, quantile: float) -> float:
        """See `Population.score_quantile`."""
        slots = self._members
        return _quantile(self._scores[slots, task][self._ok[slots]], slots, quantile)


def _quantile(numbers: NDArray[np.float64], members: NDArray[np.int64], quantile: float) -> float:
    """Of all members; those that have no number count as infinite."""
    place = min(len(members) - 1, int(quantile * len(members)))
    return float(np.sort(numbers)[place]) if place < len(numbers) else float("inf")


def _whole(column: Any) -> NDArray[np.int64]:
    numbers: NDArray[np.int64] = column
    return numbers


def _or_none(limit: int | None) -> int:
    """A limit as C takes it: -1 for none."""
    return -1 if limit is None else limit
