"""Children a second of the engine; no training."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from evosearch.benchmarks.measuring import Result, scored
from evosearch.evaluation import Outcome
from evosearch.evolution import (
    Absorbed,
    AnyEngine,
    Budget,
    Child,
    Engine,
    HurdleRules,
    NativeEngine,
    Restarts,
    Rules,
    SeedRules,
    ToEvaluate,
    make_engine,
    without_machine_code,
)
from evosearch.evolution.engine import Counts
from evosearch.evolution.fitness import Seeds
from evosearch.language import AbstractExecution, builtin
from evosearch.language.fingerprint import fingerprint
from evosearch.language.mutation import MutationRules
from evosearch.language.program import Statements
from evosearch.language.vocabulary import vocabulary
from evosearch.records import RunWriter
from evosearch.runtime import rare_garbage_collection
from evosearch.search.run import row_of
from evosearch.simplify import simplify

P = ParamSpec("P")
T = TypeVar("T")

PROGRAMS = 100_000
SEEDS = (0, 1, 2)
"""Searches differ in how long their programs are."""
GROWTH = 1_000_000
SAMPLE = 2_000
SIMPLIFIED = 15

RULES = Rules(
    seed=0,
    method="evolution",
    population=1000,
    tournament=2,
    lag=128,
    mutation=MutationRules((("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper")),
    restarts=Restarts(),
    budget=Budget(),
    seeds=SeedRules("fixed", ((0,),)),
    hurdles=HurdleRules(2, 0.5, 0.05, seeds=True),
    fingerprint=False,
)


def bench_engine() -> dict[str, Result]:
    """Processor time, since the machine may be shared."""
    rare_garbage_collection()
    bred = _Bred(replace(RULES, budget=Budget(programs=PROGRAMS)))
    why = without_machine_code()
    if why:
        results = {
            "engine": Result(PROGRAMS / bred.seconds, None, "children/s", f"no training; in Python: {why}")
        }
    else:
        results = _native(PROGRAMS / bred.seconds)
    return {**results, **_growth(), **_language(bred.programs)}


def _native(python: float) -> dict[str, Result]:
    """The native engine beside so many children a second of Python's, and its parts."""
    searches = [_search(replace(RULES, seed=seed, budget=Budget(programs=PROGRAMS))) for seed in SEEDS]
    costs = [seconds / PROGRAMS for seconds, _ in searches]
    usual, counts = statistics.median(costs), searches[0][1]
    note = (
        f"no training, record on disk; {counts.cache_hits / PROGRAMS:.0%} cache hits, "
        f"{counts.statements / PROGRAMS:.0f} statements a program; other: the engine in Python"
    )
    spread = (max(costs) - min(costs)) / 2 / usual
    results = {"engine": Result(1 / usual, python, "children/s", note, spread)}
    behaviour, _ = _search(replace(RULES, fingerprint=True, budget=Budget(programs=PROGRAMS)))
    told = "the same with the fingerprint, the default of a search"
    results["engine/fingerprint"] = Result(PROGRAMS / behaviour, None, "children/s", told)
    watched = _Watched(replace(RULES, budget=Budget(programs=PROGRAMS)))
    for part, told in PARTS.items():
        results[f"engine/{part}"] = Result(1e6 * watched.spent[part] / PROGRAMS, None, "us/child", told)
    return results


def _search(rules: Rules) -> tuple[float, Counts]:
    """Processor time of a search without trainings by the native engine."""
    with _writer() as writer:
        engine = NativeEngine(rules, builtin("adamw").statements, scored(0.5), writer.add_columns)
        begin = time.process_time()
        _drive(engine, writer.acknowledge)
        writer.flush()
        return time.process_time() - begin, engine.counts


PARTS = {
    "machine code": "of it: random numbers, mutation, abstract execution, hash, cache, rows",
    "record": "of it: rows and outcomes to disk",
    "scores": "the rest: what is learned, requests, leaders",
}


class _Watched(NativeEngine):
    """A native engine that is run to its end; processor time by part, the clock's own included."""

    def __init__(self, rules: Rules) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        with _writer() as writer:
            warm_start = builtin("adamw").statements
            super().__init__(rules, warm_start, scored(0.5), self._timed("record", writer.add_columns))
            begin = time.process_time()
            acknowledge = self._timed("record", writer.acknowledge)
            advance = self._timed("machine code", super()._advance)
            self._advance = advance  # type: ignore[method-assign]
            _drive(self, acknowledge)
            self._timed("record", writer.flush)()
            seconds = time.process_time() - begin
        self.spent["scores"] = seconds - self.spent["machine code"] - self.spent["record"]

    def _timed(self, part: str, function: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            begin = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[part] += time.process_time() - begin

        return timed


class _Bred:
    """A search without trainings by Python's engine: processor time, and the last programs bred."""

    def __init__(self, rules: Rules) -> None:
        last: deque[Statements] = deque(maxlen=SAMPLE)
        with _writer() as writer:

            def record(absorbed: Absorbed) -> None:
                writer.add(row_of(absorbed))
                last.append(absorbed.child.statements)

            engine = Engine(rules, builtin("adamw").statements, scored(0.5), record)
            begin = time.process_time()
            _drive(engine, writer.acknowledge)
            writer.flush()
            self.seconds = time.process_time() - begin
        self.programs = tuple(last)


@contextmanager
def _writer() -> Iterator[RunWriter]:
    with (
        tempfile.TemporaryDirectory() as folder,
        RunWriter.create(Path(folder) / "run", "bench: true\n") as writer,
    ):
        yield writer


def _drive(
    engine: AnyEngine,
    acknowledge: Callable[[int, Seeds, Outcome], None],
    marks: list[float] | None = None,
) -> None:
    """To the end, with made-up outcomes; `marks` gets the processor time at each tenth of `GROWTH`."""
    begin = time.process_time()
    while not engine.finished:
        child = engine.ask()
        if child is not None and child.request is not None:
            outcome = scored(_score(child))
            acknowledge(child.id, child.request.seeds, outcome)
            engine.tell(child.id, outcome)
        if marks is not None and engine.counts.generated >= len(marks) * GROWTH // 10:
            marks.append(time.process_time() - begin)
    engine.hand_over()


def _score(child: Child | ToEvaluate) -> float:
    """A made-up score that every program has for good; as in a search, most changes do harm."""
    luck = int.from_bytes(child.hash[:4], "big") / 2**32
    return 1.0 - 0.9 * luck**20


def _growth() -> dict[str, Result]:
    """Whether a child costs the same late in a long search as early."""
    marks: list[float] = []
    rules = replace(RULES, budget=Budget(programs=GROWTH))
    with _writer() as writer:
        engine = make_engine(
            rules,
            builtin("adamw").statements,
            scored(0.5),
            lambda one: writer.add(row_of(one)),
            writer.add_columns,
        )
        _drive(engine, writer.acknowledge, marks)
    tenth = GROWTH // 10
    first, last = (marks[2] - marks[1]) / tenth, (marks[-1] - marks[-2]) / tenth
    note = f"in the second tenth of {GROWTH:,} children; ours in the last"
    return {"engine/growth": Result(1e6 * last, 1e6 * first, "us/child", note)}


def _language(programs: Sequence[Statements]) -> dict[str, Result]:
    """Programs a second through what looks at one program by itself."""

    def rate(action: Callable[[Statements], object], count: int) -> float:
        begin = time.process_time()
        for statements in programs[:count]:
            action(statements)
        return count / (time.process_time() - begin)

    fresh = AbstractExecution().judge
    return {
        "hash": Result(rate(fresh, SAMPLE), None, "programs/s", "abstract execution from nothing"),
        "fingerprint": Result(
            rate(fingerprint, SAMPLE // 10), None, "programs/s", "behaviour on fixed tensors"
        ),
        "simplify": Result(rate(simplify, SIMPLIFIED), None, "programs/s", "all parts that need no training"),
    }
