"""Candidates a second in this process, and with one, two and more Ray workers; how fast a worker starts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial

from evosearch.benchmarks.measuring import Result, compared, in_turn, program, timed
from evosearch.evaluation import Job, Plan, TaskPlan
from evosearch.language.program import Statement
from evosearch.runtime import ENVIRONMENT
from evosearch.workers import InProcessPool, Pool

TASK = TaskPlan("char_mlp", (("steps", 400),))
PORTFOLIO = ("char_mlp", "digits_mlp", "digits_vit", "modular_addition")
CANDIDATES = 80
"""For each worker: at the end of a round one waits for the other, half a candidate's time on average."""
ROUNDS = 4


def bench_scaling() -> dict[str, Result]:
    """Medians of several rounds, each with every pool in turn: the machine's speed moves within a minute."""
    from evosearch.workers.ray_pool import RayPool, local_ray  # Ray takes seconds to import

    plan = Plan((TASK,))
    most = len(os.sched_getaffinity(0))
    counts = [count for count in sorted({1, 2, most}) if count <= most]
    with ExitStack() as stack:
        stack.enter_context(local_ray(sum(counts)))
        pools: list[Pool] = [stack.enter_context(InProcessPool(plan))]
        pools += [stack.enter_context(RayPool(plan, count)) for count in counts]
        for pool in pools:
            _drain(pool, 4 * pool.size)
        here, *workers = in_turn([partial(_rate, pool) for pool in pools], ROUNDS)
    cost = 1e3 / statistics.median(here)
    note = f"in this process; {cost:.0f} ms a candidate, one Ray worker"
    results = {"scaling/ray": compared([workers[0], here], "candidates/s", note)}
    for count, rates in list(zip(counts, workers, strict=True))[1:]:
        results[f"scaling/{count} workers"] = compared([rates, workers[0]], "candidates/s", "one Ray worker")
    return results


def bench_start() -> dict[str, Result]:
    """Seconds until a new process has scored its first candidate on four tasks, with all imports and
    compilations: with an empty cache folder, and with what that left there.
    """
    command = [sys.executable, "-c", _START.format(names=PORTFOLIO)]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, **ENVIRONMENT, "EVOSEARCH_CACHE": folder}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        first, second = (
            timed(lambda: subprocess.run(command, env=environment, check=True)) for _ in range(2)
        )
    note = f"with nothing in the cache folder; tasks {', '.join(PORTFOLIO)}"
    return {"start": Result(second, first, "s", note)}


_START = """\
from evosearch.evaluation import Job, Plan, TaskPlan
from evosearch.language import builtin
from evosearch.workers import InProcessPool

tasks = tuple(TaskPlan(name) for name in {names})
with InProcessPool(Plan(tasks)) as pool:
    pool.submit([Job(0, builtin("adamw").statements, ((0,),) * len(tasks))])
    ((_, outcome),) = pool.collect()
    assert outcome.ok, outcome
"""


def _rate(pool: Pool) -> float:
    """Candidates a second."""
    count = CANDIDATES * pool.size
    return count / timed(_drain, pool, count)


def _drain(pool: Pool, count: int) -> None:
    programs = [
        (*program("adamw"), Statement("update", "multiply", ("update", 1 + k / 1000))) for k in range(count)
    ]
    pool.submit([Job(k, statements, ((0,),)) for k, statements in enumerate(programs)])
    done = 0
    while done < count:
        done += len(pool.collect(None))
