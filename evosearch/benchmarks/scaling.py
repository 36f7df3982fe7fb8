"""Candidates a second in this process, and with one, two and more Ray workers; how fast a worker starts."""

from __future__ import annotations

import os
import statistics
import time

from evosearch.benchmarks.measuring import Result, program
from evosearch.evaluation import Job, Plan, TaskPlan
from evosearch.language.program import Statement
from evosearch.workers import InProcessPool, Pool

TASK = TaskPlan("char_mlp", (("steps", 400),))
PORTFOLIO = tuple(TaskPlan(name) for name in ("char_mlp", "digits_mlp", "digits_vit", "modular_addition"))
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
    """Seconds until a new worker has scored its first candidate on four tasks, its compilations included.

    Ray and its workers' processes are there already; the compilations are those of a new process, which the
    cache of compilations on disk knows the second time.
    """
    from evosearch.workers.ray_pool import RayPool

    seconds = []
    for _ in range(2):
        with RayPool(Plan(PORTFOLIO), count=1) as pool:
            begin = time.perf_counter()
            pool.submit([Job(0, program("adamw"), ((0,),) * len(PORTFOLIO))])
            pool.collect(None)
            seconds.append(time.perf_counter() - begin)
    return {"start/worker": Result(seconds[1], seconds[0], "s", "the time before; four tasks, one candidate")}


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
