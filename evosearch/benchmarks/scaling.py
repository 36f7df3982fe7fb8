"""Candidates a second in this process, and with one, two and more Ray workers; how fast a worker starts."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

from evosearch.benchmarks.measuring import Result, program, timed
from evosearch.evaluation import Job, Plan, TaskPlan
from evosearch.language.program import Statement
from evosearch.runtime import ENVIRONMENT
from evosearch.workers import InProcessPool, Pool

TASK = TaskPlan("char_mlp", (("steps", 400),))
PORTFOLIO = ("char_mlp", "digits_mlp", "digits_vit", "modular_addition")
CANDIDATES = 120
ROUNDS = 3


def bench_scaling() -> dict[str, Result]:
    """Medians of several rounds; every pool is warm."""
    from evosearch.workers.ray_pool import RayPool  # Ray takes seconds to import

    plan = Plan((TASK,))
    with InProcessPool(plan) as pool:
        here = _rate(pool)
        cost = 1e3 / here
    results = {}
    rates = {}
    most = len(os.sched_getaffinity(0))
    for count in sorted({1, 2, most} - {0}):
        if count <= most:
            with RayPool(plan, count=count) as pool:
                rates[count] = _rate(pool)
    results["scaling/ray"] = Result(
        rates[1], here, "candidates/s", f"in this process; {cost:.0f} ms a candidate, one Ray worker"
    )
    for count, rate in rates.items():
        if count > 1:
            results[f"scaling/{count} workers"] = Result(rate, rates[1], "candidates/s", "one Ray worker")
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
    rates = []
    _drain(pool, 4 * pool.size)
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        _drain(pool, CANDIDATES)
        rates.append(CANDIDATES / (time.perf_counter() - begin))
    return statistics.median(rates)


def _drain(pool: Pool, count: int) -> None:
    programs = [
        (*program("adamw"), Statement("update", "multiply", ("update", 1 + k / 1000))) for k in range(count)
    ]
    pool.submit([Job(k, statements, ((0,),)) for k, statements in enumerate(programs)])
    done = 0
    while done < count:
        done += len(pool.collect(None))
