"""Candidates per second in batches, against one after the other."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import jax

from evosearch.benchmarks.measuring import Result, compiling_anew
from evosearch.evaluation import BatchedEvaluator, Evaluator, Job, Plan, TaskPlan
from evosearch.evaluation.interpreters import choose
from evosearch.language import Statement, analyze, builtin
from evosearch.language.mutation import MutationRules, mutate
from evosearch.language.vocabulary import vocabulary

TASK = "digits_mlp"
KNOBS: tuple[tuple[str, object], ...] = ()
WIDTHS = (16, 64, 256)
WIDTHS_ON_CPU = (16, 64)
"""Trainings at once; a CPU does the work of a batch bit by bit, and is no faster for it."""
COMPILED = 3
"""How many candidates are compiled, a second each."""


def bench_batched() -> dict[str, Result]:
    """Candidates per second, each trained once: in batches of several widths, against one after the other and
    against a compilation for each, all on the device that JAX computes on.
    """
    device = jax.devices()[0]
    cpu = device.platform == "cpu"
    interpreter = choose("auto").name if cpu else "xla"
    plan = Plan((TaskPlan(TASK, KNOBS),), interpreter=interpreter)
    widths = WIDTHS_ON_CPU if cpu else WIDTHS
    jobs = [Job(i, program, ((0,),)) for i, program in enumerate(mutants(max(widths)))]
    alone = _per_second(Evaluator(plan), jobs)
    with compiling_anew():
        compiled = _per_second(Evaluator(replace(plan, way="compiled")), jobs[:COMPILED])
    results = {}
    for width in widths:
        batched = BatchedEvaluator(replace(plan, interpreter="batched", batch=width))
        ours = _per_second(batched, jobs[:width])
        for name, other, versus in (
            ("alone", alone, f"one after the other, {interpreter}"),
            ("compiled", compiled, "one compilation each"),
        ):
            note = f"{versus}; on {device.device_kind}"
            results[f"batched/{width}/{name}"] = Result(ours, other, "candidates/s", note)
    return results


def mutants(count: int) -> list[tuple[Statement, ...]]:
    """Descendants of AdamW by 5 to 30 mutations, as a search has them under way."""
    rng = random.Random(0)
    rules = MutationRules((("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper"))
    found = []
    for _ in range(count):
        statements = builtin("adamw").statements
        for _ in range(rng.randint(5, 30)):
            changed = mutate(rng, statements, rules)
            if changed is not None and analyze(changed[0]).valid:
                statements = changed[0]
        found.append(statements)
    return found


def _per_second(evaluator: Evaluator, jobs: Sequence[Job]) -> float:
    """Candidates per second, after a first one."""
    evaluator.evaluate(Job(0, builtin("sgd").statements, ((0,),)))
    begin = time.perf_counter()
    if isinstance(evaluator, BatchedEvaluator):
        evaluator.evaluate_many(jobs)
    else:
        for job in jobs:
            evaluator.evaluate(job)
    return len(jobs) / (time.perf_counter() - begin)
