"""`evosearch bench`: speed, side by side with the alternatives, measured in one run on this machine."""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.text import Text

from evosearch.cli.console import make_console, make_table, print_json
from evosearch.errors import EvosearchError, nearest
from evosearch.evaluation import Evaluator, Job, Outcome, Plan, Status, TaskPlan
from evosearch.evolution import Absorbed, Budget, Engine, HurdleRules, Restarts, Rules, SeedRules
from evosearch.evolution.engine import Child
from evosearch.language import AbstractExecution, Judged, builtin
from evosearch.language.mutation import MutationRules, mutate
from evosearch.language.program import Statements
from evosearch.language.vocabulary import vocabulary
from evosearch.records import RunWriter
from evosearch.runtime import processor, rare_garbage_collection
from evosearch.search.run import row_of

PROGRAMS = ("adamw", "lion", "program8")
TASKS = ("char_mlp", "digits_mlp")
ROUNDS = 15
ENGINE_PROGRAMS = 100_000
LEAK_CANDIDATES = 20_000
COMPILATION = "/jax/core/compile/backend_compile_duration"

Result = dict[str, Any]
"""ours, other (None where there is no alternative), ratio ours / other, unit, what the other is."""


def _result(ours: float, other: float | None, unit: str, versus: str) -> Result:
    return {
        "ours": ours,
        "other": other,
        "ratio": ours / other if other else None,
        "unit": unit,
        "versus": versus,
    }


def bench_step() -> dict[str, Result]:
    """A training step through the interpreter, against the same program fused by XLA."""
    results = {}
    for task in TASKS:
        interpreter = Evaluator(Plan((TaskPlan(task),)))
        compiled = Evaluator(Plan((TaskPlan(task),), way="compiled"))
        for name in PROGRAMS:
            job = Job(0, builtin(name).statements, ((0,),))
            ours, other = _per_step_in_turn((interpreter, compiled), job)
            results[f"step/{task}/{name}"] = _result(1e6 * ours, 1e6 * other, "us/step", "fused by XLA")
    return results


def _per_step_in_turn(evaluators: tuple[Evaluator, Evaluator], job: Job) -> tuple[float, float]:
    """Seconds a step of two evaluators, medians of measurements taken in turn after a warm-up of each."""
    for evaluator in evaluators:
        evaluator.evaluate(job)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for evaluator, taken in zip(evaluators, times, strict=True):
            outcome = evaluator.evaluate(job)
            taken.append(outcome.seconds / outcome.steps)
    return statistics.median(times[0]), statistics.median(times[1])


def bench_candidate() -> dict[str, Result]:
    """From a new candidate to its score, against a compilation for each candidate."""
    results = {}
    for task in TASKS:
        times = []
        for way in ("interpreter", "compiled"):
            evaluator = Evaluator(Plan((TaskPlan(task),), way=way))
            evaluator.evaluate(Job(0, builtin("sgd").statements, ((0,),)))
            begin = time.perf_counter()
            for name in PROGRAMS:
                evaluator.evaluate(Job(0, builtin(name).statements, ((0,),)))
            times.append((time.perf_counter() - begin) / len(PROGRAMS))
        results[f"candidate/{task}"] = _result(1e3 * times[0], 1e3 * times[1], "ms", "one compilation each")
    return results


def bench_engine() -> dict[str, Result]:
    """Children per second: mutation, abstract execution, hash, cache, tournament, record; no training."""
    rules = Rules(
        seed=0,
        method="evolution",
        population=1000,
        tournament=2,
        lag=128,
        mutation=MutationRules((("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper")),
        restarts=Restarts(),
        budget=Budget(programs=ENGINE_PROGRAMS),
        seeds=SeedRules("fixed", ((0,),)),
        hurdles=HurdleRules(),
        fingerprint=False,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        RunWriter.create(Path(folder) / "run", "bench: true\n") as writer,
    ):

        def record(absorbed: Absorbed) -> None:
            writer.add(row_of(absorbed))

        engine = Engine(rules, builtin("adamw").statements, _outcome(0.5), record)
        rare_garbage_collection()
        begin = time.perf_counter()
        while not engine.finished:
            child = engine.ask()
            if child is not None and child.request is not None:
                outcome = _outcome(_score(child))
                writer.acknowledge(child.id, child.request.seeds, outcome)
                engine.tell(child.id, outcome)
        writer.flush()
        seconds = time.perf_counter() - begin
        counts = engine.counts
    length = counts.statements / counts.generated
    hits = counts.cache_hits / counts.generated
    note = (
        f"no training; {length:.0f} statements a program, {hits:.0%} cache hits, {counts.invalid:,} invalid"
    )
    return {"engine": _result(ENGINE_PROGRAMS / seconds, None, "children/s", note)}


def _outcome(metric: float) -> Outcome:
    return Outcome(Status.OK, (((metric,),),), (((),),), 1, 0.0)


def _score(child: Child) -> float:
    """A made-up score that every program has for good; as in a search, most changes do harm."""
    luck = int.from_bytes(child.judged.hash[:4], "big") / 2**32
    return 1.0 - 0.9 * luck**20


def bench_leaks() -> dict[str, Result]:
    """What many candidates leave behind in a worker: compilations and memory."""
    compilations: list[str] = []

    def count(event: str, duration_secs: float, **_: str | int) -> None:  # noqa: ARG001
        if event == COMPILATION:
            compilations.append(event)

    evaluator = Evaluator(Plan((TaskPlan("digits_mlp", (("steps", 10),)),)))
    rules = MutationRules((("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper"))
    rng, abstract = random.Random(0), AbstractExecution(memo_limit=1_000)  # its memo is no worker's
    statements = builtin("adamw").statements
    memory = {}
    for number in range(LEAK_CANDIDATES + 1):
        evaluator.evaluate(Job(number, statements, ((0,),)))
        if number == 0:
            jax.monitoring.register_event_duration_secs_listener(count)
        if number in (LEAK_CANDIDATES // 20, LEAK_CANDIDATES):
            memory[number] = _resident_megabytes()
        statements = _other_program(rng, abstract, rules, statements)
    jax.monitoring.unregister_event_duration_listener(count)
    first, last = memory.values()
    note = f"{LEAK_CANDIDATES:,} candidates after the first"
    return {
        "leaks/compilations": _result(len(compilations), None, "compilations", note),
        "leaks/memory": _result(
            last - first, None, "MB", f"from candidate {min(memory):,} on, of {first:.0f} MB"
        ),
    }


def _other_program(
    rng: random.Random, abstract: AbstractExecution, rules: MutationRules, statements: Statements
) -> Statements:
    """A valid program some mutations away."""
    steps = 0
    while steps < 5:
        changed = mutate(rng, statements, rules)
        if changed is not None and isinstance(abstract.judge(changed[0]), Judged):
            statements, steps = changed[0], steps + 1
    return statements


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


PARTS: Mapping[str, Callable[[], dict[str, Result]]] = {
    "step": bench_step,
    "candidate": bench_candidate,
    "engine": bench_engine,
    "leaks": bench_leaks,
}


def bench_command(parts: Sequence[str], as_json: bool) -> int:
    """Measure the parts asked for, or all."""
    for part in parts:
        if part not in PARTS:
            raise EvosearchError(f"unknown part {part!r}{nearest(part, PARTS)} (known: {', '.join(PARTS)})")
    console = make_console(stderr=as_json)
    results: dict[str, Result] = {}
    for part in parts or PARTS:
        with console.status(f"measuring: {part}"):
            results.update(PARTS[part]())
    if as_json:
        print_json(results)
        return 0
    rows = [
        [
            Text(name, "bold cyan"),
            f"{r['ours']:,.1f}",
            "" if r["other"] is None else f"{r['other']:,.1f}",
            "" if r["ratio"] is None else f"{r['ratio']:.2f}",
            r["unit"],
            Text(r["versus"], "dim"),
        ]
        for name, r in results.items()
    ]
    machine = f"{processor()}, jax {jax.__version__}, numpy {np.__version__}"
    console.print(
        make_table(f"On {machine}", ["", "ours", "other", "ours / other", "unit", "other is"], rows)
    )
    return 0
