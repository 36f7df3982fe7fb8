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

from evosearch.benchmarks.measuring import Result, scored
from evosearch.evolution import (
    Absorbed,
    AnyEngine,
    Budget,
    Child,
    Engine,
    HurdleRules,
    Restarts,
    Rules,
    SeedRules,
    make_engine,
    without_machine_code,
)
from evosearch.language import AbstractExecution, builtin
from evosearch.language.fingerprint import fingerprint
from evosearch.language.mutation import MutationRules
from evosearch.language.program import Statements
from evosearch.language.vocabulary import vocabulary
from evosearch.records import RunWriter
from evosearch.runtime import rare_garbage_collection
from evosearch.search.run import row_of
from evosearch.simplify import simplify

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
    why = without_machine_code()
    ours = [_run(replace(RULES, seed=seed)) for seed in SEEDS]
    rate = 1 / statistics.median(ours)
    spread = (max(ours) - min(ours)) / 2 / statistics.median(ours)
    unrecorded = statistics.median([_run(replace(RULES, seed=seed), record=False) for seed in SEEDS])
    bred = _Bred(replace(RULES, budget=Budget(programs=PROGRAMS)))
    hits = f"{bred.engine.counts.cache_hits / PROGRAMS:.0%}"
    note = f"no training, record on disk, {hits} cache hits; other: the engine in Python"
    results = {
        "engine": Result(rate, None if why else PROGRAMS / bred.seconds, "children/s", why or note, spread),
        "engine/record": Result(
            1e6 * (statistics.median(ours) - unrecorded), None, "us/child", "of it: rows and outcomes to disk"
        ),
    }
    return {**results, **_growth(), **_language(bred.programs)}


class _Bred:
    """A search without trainings by Python's engine: processor time, and the last programs bred."""

    def __init__(self, rules: Rules) -> None:
        last: deque[Statements] = deque(maxlen=SAMPLE)
        with _writer() as writer:

            def record(absorbed: Absorbed) -> None:
                writer.add(row_of(absorbed))
                last.append(absorbed.child.statements)

            self.engine = Engine(rules, builtin("adamw").statements, scored(0.5), record)
            self.seconds = _drive(self.engine, writer)
        self.programs = tuple(last)


def _run(rules: Rules, record: bool = True) -> float:
    """Processor time a child of the engine that a search has on this machine."""
    with _writer() as writer:
        rows = (lambda one: writer.add(row_of(one))), writer.add_columns
        recorded = rows if record else (_nothing, _nothing)
        limited = replace(rules, budget=Budget(programs=PROGRAMS))
        engine = make_engine(limited, builtin("adamw").statements, scored(0.5), *recorded)
        return _drive(engine, writer if record else None) / PROGRAMS


@contextmanager
def _writer() -> Iterator[RunWriter]:
    with (
        tempfile.TemporaryDirectory() as folder,
        RunWriter.create(Path(folder) / "run", "bench: true\n") as writer,
    ):
        yield writer


def _nothing(_: object) -> None:
    """Record nothing."""


def _drive(engine: AnyEngine, writer: RunWriter | None, marks: list[float] | None = None) -> float:
    """Processor time to the end; `marks` gets it at each tenth of `GROWTH`."""
    begin = time.process_time()
    while not engine.finished:
        child = engine.ask()
        if child is not None and child.request is not None:
            outcome = scored(_score(child))
            if writer is not None:
                writer.acknowledge(child.id, child.request.seeds, outcome)
            engine.tell(child.id, outcome)
        if marks is not None and engine.counts.generated >= len(marks) * GROWTH // 10:
            marks.append(time.process_time() - begin)
    if writer is not None:
        writer.flush()
    return time.process_time() - begin


def _score(child: Child) -> float:
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
        _drive(engine, writer, marks)
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
