"""The parts of the benchmark, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evosearch.benchmarks.batched import bench_batched
from evosearch.benchmarks.candidate import bench_candidate
from evosearch.benchmarks.engine import bench_engine
from evosearch.benchmarks.leaks import bench_leaks
from evosearch.benchmarks.measuring import Result
from evosearch.benchmarks.saved import bench_saved
from evosearch.benchmarks.scaling import bench_scaling, bench_start
from evosearch.benchmarks.step import bench_step

TASKED: Mapping[str, Callable[[Sequence[str]], dict[str, Result]]] = {
    "step": bench_step,
    "candidate": bench_candidate,
}
"""Parts that can be measured on other tasks than their own; no tasks for those."""

PARTS: Mapping[str, Callable[[], dict[str, Result]]] = {
    "step": bench_step,
    "candidate": bench_candidate,
    "engine": bench_engine,
    "saved": bench_saved,
    "scaling": bench_scaling,
    "start": bench_start,
    "batched": bench_batched,
    "leaks": bench_leaks,
}
"""Each gives its results by name."""
