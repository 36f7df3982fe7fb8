"""What one process compiles the next one loads, where programs are interpreted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCORE = """
import jax
from evosearch.evaluation import Job, Plan, TaskPlan, make_evaluator
from evosearch.language import builtin

hits, events = [], []
jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
plan = Plan((TaskPlan("digits_mlp", (("steps", 3),)),), way={way!r})
outcome = make_evaluator(plan).evaluate(Job(0, builtin("adamw").statements, ((0,),)))
print(outcome.metrics, events.count("/jax/compilation_cache/cache_hits"))
"""


@pytest.mark.parametrize(("way", "kept"), [("interpreter", True), ("compiled", False)])
def test_the_next_process_starts_with_what_was_compiled(tmp_path: Path, way: str, kept: bool) -> None:
    environment = {**os.environ, "EVOSEARCH_CACHE": str(tmp_path), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    for name in list(environment):
        if name.startswith("JAX_PERSISTENT") or name == "JAX_COMPILATION_CACHE_DIR":
            del environment[name]

    def score() -> tuple[str, int]:
        command = [sys.executable, "-c", SCORE.format(way=way)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        metrics, hits = done.stdout.rsplit(maxsplit=1)
        return metrics, int(hits)

    first, second = score(), score()
    assert first[0] == second[0]
    assert first[1] == 0
    assert (second[1] > 0) == kept
    assert (tmp_path / "compilations").exists() == kept
