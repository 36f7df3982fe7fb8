"""What a step costs."""

from __future__ import annotations

import jax
import pytest

from evosearch.evaluation import TaskPlan, Tuned
from evosearch.evaluation.cost import seconds_per_step, shapes_of, state_bytes
from evosearch.language import builtin

pytestmark = pytest.mark.usefixtures("quick_compile")

TASK = TaskPlan("quadratic", (("steps", 50),))


def test_memory_of_programs_and_references() -> None:
    shapes = shapes_of(TASK.build())
    weights = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    expected = {"sgd": 0, "lion": 4, "momentum": 4, "adamw": 8, "program8": 4}
    found = {name: state_bytes(builtin(name).statements, shapes) for name in expected}
    assert found == expected
    adamw = state_bytes(Tuned("adamw", (0.1, 0.0, 0.1, 0.01)), shapes)
    assert adamw == pytest.approx(8 + 4 / weights)  # and a counter


def test_time_of_a_step() -> None:
    found = seconds_per_step(
        TASK, [builtin("lion").statements, Tuned("lion", (0.01, 0.1, 0.1, 0.1))], rounds=2
    )
    assert len(found) == 2
    assert all(0 < seconds < 1 for seconds in found)


def test_who_diverges_is_timed_by_the_steps_it_did() -> None:
    (found,) = seconds_per_step(TASK, [Tuned("sgd", (1e30, 0.0, 0.1))], rounds=1)
    assert 0 < found < 1
