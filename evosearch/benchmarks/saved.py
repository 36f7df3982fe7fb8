"""Trainings and steps that a real search does not have to do: hash, fingerprint, early stop, hurdles."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from evosearch.benchmarks.measuring import Result
from evosearch.config.yaml_file import parse_yaml
from evosearch.evaluation import Status
from evosearch.records import RunReader
from evosearch.search.config import make_config
from evosearch.search.run import run_search

SEARCH = """\
name: saved
seed: 0
tasks: [{name: digits_mlp, seeds: 4}]
search: {population: 200, budget: {programs: 10000, minutes: 0.5}}
evaluation: {hurdles: {}}
workers: {backend: in_process}
report: {references: false}
"""


def bench_saved() -> dict[str, Result]:
    """A search of half a minute at most, and what its record says."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        config = make_config(parse_yaml(SEARCH, "bench"), "bench")
        run_search(config, run)
        table = RunReader(run).candidates(["hash", "outcome", "steps"])
    rows, distinct = table.num_rows, len(set(table["hash"].to_pylist()))
    outcomes, steps = np.array(table["outcome"].to_pylist()), table["steps"].to_numpy()
    trained = int((steps > 0).sum())
    (task,) = config.plan().tasks
    whole = task.build().steps * len(config.tasks[0].pool)
    full, total = whole * trained, int(steps.sum())
    diverged = (outcomes == Status.DIVERGED.name) & (steps > 0)
    stopped = full - int((whole - steps[diverged]).sum())
    cut = int(((outcomes == Status.CUT.name) & (steps > 0)).sum())
    return {
        "saved/hash": Result(distinct, rows, "evaluations", f"without; {rows:,} programs on digits_mlp"),
        "saved/fingerprint": Result(trained, distinct, "evaluations", "with the hash alone"),
        "saved/early stop": Result(stopped, full, "steps", "every training to its end"),
        "saved/hurdles": Result(total, stopped, "steps", f"without; {cut:,} candidates cut"),
    }
