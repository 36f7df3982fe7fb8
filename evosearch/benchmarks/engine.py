"""Children a second of the engine, all of it and by part; no training."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from evosearch.benchmarks.measuring import Result, scored
from evosearch.evolution import Absorbed, Budget, Engine, HurdleRules, Restarts, Rules, SeedRules
from evosearch.evolution.engine import Child
from evosearch.evolution.rules import Purpose, reseed
from evosearch.language import AbstractExecution, builtin
from evosearch.language.abstract import Edit
from evosearch.language.fingerprint import fingerprint
from evosearch.language.mutation import MutationRules, mutate
from evosearch.language.program import Statements
from evosearch.language.vocabulary import vocabulary
from evosearch.records import RunWriter
from evosearch.runtime import rare_garbage_collection
from evosearch.search.run import row_of
from evosearch.simplify import simplify

PROGRAMS = 30_000
SEEDS = (0, 1, 2)
"""Searches differ in how long their programs are."""
GROWTH = 300_000
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
    runs = [_run(replace(RULES, seed=seed, budget=Budget(programs=PROGRAMS))) for seed in SEEDS]
    costs = [run.seconds / PROGRAMS for run in runs]
    rate = 1 / statistics.median(costs)
    last = runs[-1]
    counts = last.engine.counts
    length, hits = counts.statements / counts.generated, counts.cache_hits / counts.generated
    note = f"no training; {length:.0f} statements a program, {hits:.0%} cache hits; record on disk included"
    spread = (max(costs) - min(costs)) / 2 / statistics.median(costs)
    results = {"engine": Result(rate, None, "children/s", note, spread)}
    for part, seconds in _parts(last.absorbed).items():
        results[f"engine/{part}"] = Result(1e6 * seconds, None, "us/child", "of one child, alone")
    return {**results, **_growth(), **_language(last.absorbed)}


class _Run:
    """An engine that was run to its end, and what it absorbed."""

    def __init__(self, rules: Rules, keep: int) -> None:
        self.absorbed: list[Absorbed] = []
        self.marks: list[float] = []
        self.seconds = 0.0
        with (
            tempfile.TemporaryDirectory() as folder,
            RunWriter.create(Path(folder) / "run", "bench: true\n") as writer,
        ):

            def record(absorbed: Absorbed) -> None:
                writer.add(row_of(absorbed))
                if len(self.absorbed) < keep:
                    self.absorbed.append(absorbed)

            self.engine = Engine(rules, builtin("adamw").statements, scored(0.5), record)
            begin = time.process_time()
            while not self.engine.finished:
                child = self.engine.ask()
                if child is not None and child.request is not None:
                    outcome = scored(_score(child))
                    writer.acknowledge(child.id, child.request.seeds, outcome)
                    self.engine.tell(child.id, outcome)
                if child is not None and child.id % (GROWTH // 10) == 0:
                    self.marks.append(time.process_time() - begin)
            writer.flush()
            self.seconds = time.process_time() - begin


def _run(rules: Rules) -> _Run:
    return _Run(rules, PROGRAMS)


def _score(child: Child) -> float:
    """A made-up score that every program has for good; as in a search, most changes do harm."""
    luck = int.from_bytes(child.judged.hash[:4], "big") / 2**32
    return 1.0 - 0.9 * luck**20


def _growth() -> dict[str, Result]:
    """Whether a child costs the same late in a long search as early."""
    marks = _Run(replace(RULES, budget=Budget(programs=GROWTH)), 0).marks
    tenth = GROWTH // 10
    first, last = (marks[2] - marks[1]) / tenth, (marks[-1] - marks[-2]) / tenth
    note = f"in the second tenth of {GROWTH:,} children; ours in the last"
    return {"engine/growth": Result(1e6 * last, 1e6 * first, "us/child", note)}


def _parts(absorbed: Sequence[Absorbed]) -> dict[str, float]:
    """Seconds a child of each part by itself, on children of the second half of a run and their parents."""
    by_id = {one.child.id: one for one in absorbed}
    half = len(absorbed) // 2
    pairs = [
        (by_id[one.child.parent].child, one)
        for one in absorbed[half : half + SAMPLE]
        if one.child.parent in by_id
    ]
    rng, abstract = random.Random(), AbstractExecution()
    for _, one in pairs:
        abstract.judge(one.child.statements)

    def judge(pair: Pair) -> object:
        parent, one = pair
        made = one.child.mutation
        known = parent.judged
        return abstract.judge(
            one.child.statements, Edit(parent.statements, known, made.statement, made.new, made.gone)
        )

    def breed(pair: Pair) -> object:
        return mutate(rng, pair[0].statements, RULES.mutation)

    parts: Mapping[str, Callable[[Pair], object]] = {
        "random numbers": lambda pair: reseed(rng, 0, Purpose.BREED, pair[1].child.id),
        "mutation": breed,
        "abstract execution": judge,
        "row": lambda pair: row_of(pair[1]),
    }
    return {name: _each(part, pairs) for name, part in parts.items()} | {"record": _record(absorbed)}


Pair = tuple[Child, Absorbed]
"""A parent and one of its children."""


def _each(action: Callable[[Pair], object], pairs: Sequence[Pair]) -> float:
    """Seconds that an action takes for a pair, at best over several rounds."""
    times = []
    for _ in range(5):
        begin = time.process_time()
        for pair in pairs:
            action(pair)
        times.append((time.process_time() - begin) / len(pairs))
    return min(times)


def _record(absorbed: Sequence[Absorbed]) -> float:
    """Rows to Parquet on disk."""
    rows = [row_of(one) for one in absorbed]
    with (
        tempfile.TemporaryDirectory() as folder,
        RunWriter.create(Path(folder) / "run", "bench: true\n") as writer,
    ):
        begin = time.process_time()
        for one, row in zip(absorbed, rows, strict=True):
            if one.outcome is not None and one.child.request is not None:
                writer.acknowledge(one.child.id, one.child.request.seeds, one.outcome)
            writer.add(row)
        writer.flush()
        return (time.process_time() - begin) / len(rows)


def _language(absorbed: Sequence[Absorbed]) -> dict[str, Result]:
    """Programs a second through what looks at one program by itself."""
    programs = [one.child.statements for one in absorbed[-SAMPLE:]]

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
