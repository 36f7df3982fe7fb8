"""Learning curves, gradient clipping, tasks that a job leaves out, and what is kept."""

from __future__ import annotations

from math import inf, isfinite

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evosearch.evaluation import Evaluator, Job, Plan, Schedule, Status, TaskPlan, Tuned
from evosearch.evaluation.evaluator import _Recent
from evosearch.evaluation.training import clipped, curve_steps
from evosearch.language import Statement, builtin, parse
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

KNOBS = (("steps", 20), ("batch", 8))
TASK = TaskPlan("quadratic", KNOBS, Schedule("constant", 0.5))
OTHER = TaskPlan("teacher_student", KNOBS, Schedule("constant", 0.5))
SGD = builtin("sgd").statements
REFERENCE = Tuned("sgd", (0.1, 0.0, 0.1))


def body(*lines: str) -> tuple[Statement, ...]:
    return parse(
        "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"]) + "\n"
    ).statements


# ---------------------------------------------------------------- curves


@pytest.fixture(scope="module")
def curved() -> Evaluator:
    """One task, two factors, four points; lr rises by 0.05 a step."""
    return Evaluator(Plan((TaskPlan("quadratic", KNOBS, Schedule("linear", 0.999), curve=4),), (1.0, 0.5)))


@pytest.mark.parametrize("candidate", [SGD, REFERENCE], ids=["program", "reference"])
def test_the_last_point_of_a_curve_is_the_metric(
    curved: Evaluator, candidate: tuple[Statement, ...] | Tuned
) -> None:
    outcome = curved.evaluate(Job(0, candidate, ((0, 1),)))
    assert [[len(row) for row in task] for task in outcome.curves] == [[2, 2]]
    for row, points in zip(outcome.metrics[0], outcome.curves[0], strict=True):
        assert tuple(p[-1] for p in points) == row
        assert all(len(p) == 4 and len(set(p)) == 4 for p in points)
    assert outcome.steps == 80


def test_a_curve_changes_no_training() -> None:
    """And with a constant learning rate its first half is a training of half the steps."""
    steady, half = Schedule("constant", 0.0), (("steps", 10), *KNOBS[1:])
    plans = [
        Plan((TaskPlan("quadratic", knobs, steady, curve=curve),), way="compiled")
        for knobs, curve in ((KNOBS, 2), (KNOBS, 0), (half, 0))
    ]
    ours, plain, short = (Evaluator(plan).evaluate(Job(0, SGD, ((0,),))) for plan in plans)
    assert (plain.curves, ours.steps) == ((), plain.steps)
    assert ours.metrics[0][0][0] == pytest.approx(plain.metrics[0][0][0], rel=1e-5)
    assert ours.curves[0][0][0][0] == pytest.approx(short.metrics[0][0][0], rel=1e-5)


@pytest.mark.parametrize("bad_step", [1, 5, 6, 20])
def test_a_curve_is_infinite_after_a_failure(curved: Evaluator, bad_step: int) -> None:
    # arcsin is NaN from where lr * limit exceeds 1, and lr is bad_step / 20 in that step.
    program = body(f"s = lr * {20 / (bad_step - 0.5)}", "s = arcsin(s)", "s = s * 0.0", "update = g * s")
    outcome = curved.evaluate(Job(0, program, ((0,),)))
    assert outcome.status is Status.DIVERGED
    assert outcome.steps == 2 * bad_step
    for points in outcome.curves[0][0]:
        assert [isfinite(p) for p in points] == [end < bad_step for end in (5, 10, 15, 20)]
    assert outcome.metrics == (((inf, inf),),)


def test_where_the_points_of_a_curve_lie() -> None:
    for steps, points in ((200, 40), (7, 7), (10, 3), (100, 1)):
        found = curve_steps(steps, points)
        assert found[-1] == steps
        assert found[0] > 0
        assert len(set(found.tolist())) == points
        assert np.ptp(np.diff([0, *found])) <= 1
    assert curve_steps(10, 0).shape == (0,)


# ---------------------------------------------------------------- clipping


def test_clipping_has_known_answers() -> None:
    g = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    half = clipped(g, 2.5)
    np.testing.assert_allclose(half["a"], [1.5, 0.0], rtol=1e-6)
    np.testing.assert_allclose(half["b"], [[2.0]], rtol=1e-6)
    for norm in (5.0, 100.0):
        np.testing.assert_allclose(clipped(g, norm)["a"], g["a"], rtol=1e-6)


def test_a_rule_sees_the_clipped_gradient() -> None:
    """The first update of plain SGD is the gradient, of norm 0.01 once clipped."""
    program = body("update = g * 1.0")
    steps = (("steps", 1), *KNOBS[1:])
    clip = 0.01
    metrics = []
    for limit in (None, 1e6, clip):
        plan = Plan((TaskPlan("quadratic", steps, Schedule("constant", 0.0), limit),), way="compiled")
        evaluator = Evaluator(plan)
        metrics.append(evaluator.evaluate(Job(0, program, ((0,),))).metrics[0][0][0])
    free, loose, tight = metrics
    assert free == loose != tight
    task = evaluator.tasks[0]
    train = task.data().splits[Split.TRAIN]
    weights, order = jax.random.split(jax.random.fold_in(jax.random.key(1), 0))
    w, batches = task.init(weights, train), task.draw(order, train, 1)
    g = jax.grad(task.loss)(w, train, jax.tree.map(lambda leaf: leaf[0], batches))
    norm = np.sqrt(sum(float(np.sum(np.square(leaf))) for leaf in jax.tree.leaves(g)))
    assert norm > clip
    moved = jax.tree.map(lambda x, d: x - d * clip / norm, w, g)
    assert tight == pytest.approx(float(task.evaluate(moved, task.data().splits[Split.SEARCH])), rel=1e-5)


def test_references_see_the_clipped_gradient_too() -> None:
    plans = [Plan((TaskPlan("quadratic", KNOBS, clip=clip),)) for clip in (None, 0.01)]
    free, tight = (Evaluator(plan).evaluate(Job(0, REFERENCE, ((0,),))).metrics for plan in plans)
    assert free != tight


# ---------------------------------------------------------------- many tasks


def test_a_task_without_seeds_is_left_out() -> None:
    both = Evaluator(Plan((TASK, OTHER), way="compiled"))
    only = Evaluator(Plan((OTHER,), way="compiled"))
    ours = both.evaluate(Job(0, SGD, ((), (3,))))
    assert ours.metrics == ((), only.evaluate(Job(0, SGD, ((3,),))).metrics[0])
    assert ours.steps == 20


def test_nothing_is_made_ready_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Evaluator._make_bench
    monkeypatch.setattr(Evaluator, "_make_bench", lambda self, i: made.append(i) or make(self, i))
    evaluator = Evaluator(Plan((TASK,) * 50, way="compiled"))
    assert (len(evaluator.tasks), made) == (50, [])
    seeds: list[tuple[int, ...]] = [()] * 50
    seeds[7] = (0,)
    for _ in range(2):
        assert evaluator.evaluate(Job(0, SGD, tuple(seeds))).ok
    assert made == [7]


def test_what_was_used_last_is_kept() -> None:
    recent = _Recent(limit=3, bytes_limit=100)
    made: list[str] = []

    def get(key: str, size: int = 1) -> str:
        return recent.get_or(key, lambda: made.append(key) or key.upper(), lambda _: size)  # type: ignore[func-returns-value]

    assert [get(key) for key in "abcab"] == list("ABCAB")
    assert "".join(made) == "abc"
    get("d")  # c was used longest ago
    get("a")
    get("c")
    assert "".join(made) == "abcdc"
    get("e", 99)  # with one more there are 100 bytes
    get("c")
    assert "".join(made) == "abcdce"
    get("f", 1000)  # alone over the limit, but kept: it is in use
    get("f")
    assert "".join(made) == "abcdcef"
