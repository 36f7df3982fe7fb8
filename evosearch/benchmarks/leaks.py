"""What many candidates leave behind in a worker: compilations and memory."""

from __future__ import annotations

import os
import random
from pathlib import Path

import jax

from evosearch.benchmarks.engine import RULES
from evosearch.benchmarks.measuring import Result
from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.language import AbstractExecution, Judged, builtin
from evosearch.language.mutation import mutate
from evosearch.language.program import Statements

CANDIDATES = 10_000
COMPILATION = "/jax/core/compile/backend_compile_duration"


def bench_leaks() -> dict[str, Result]:
    """Compilations after the first candidate, and memory from the first twentieth on."""
    compilations: list[str] = []

    def count(event: str, duration_secs: float, **_: str | int) -> None:  # noqa: ARG001
        if event == COMPILATION:
            compilations.append(event)

    evaluator = Evaluator(Plan((TaskPlan("digits_mlp", (("steps", 10),)),)))
    rng, abstract = random.Random(0), AbstractExecution(memo_limit=1_000)  # its memo is no worker's
    statements = builtin("adamw").statements
    memory = {}
    for number in range(CANDIDATES + 1):
        evaluator.evaluate(Job(number, statements, ((0,),)))
        if number == 0:
            jax.monitoring.register_event_duration_secs_listener(count)
        if number in (CANDIDATES // 20, CANDIDATES):
            memory[number] = _resident_megabytes()
        statements = _other_program(rng, abstract, statements)
    jax.monitoring.unregister_event_duration_listener(count)
    first, last = memory.values()
    note = f"{CANDIDATES:,} candidates after the first"
    since = f"from candidate {min(memory):,} on, of {first:.0f} MB"
    return {
        "leaks/compilations": Result(len(compilations), None, "compilations", note),
        "leaks/memory": Result(last - first, None, "MB", since),
    }


def _other_program(rng: random.Random, abstract: AbstractExecution, statements: Statements) -> Statements:
    """A valid program some mutations away."""
    steps = 0
    while steps < 5:
        changed = mutate(rng, statements, RULES.mutation)
        if changed is not None and isinstance(abstract.judge(changed[0]), Judged):
            statements, steps = changed[0], steps + 1
    return statements


def _resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
