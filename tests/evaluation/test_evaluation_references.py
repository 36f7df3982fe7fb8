"""Every reference against optax called directly, one contract for all rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from evosearch.evaluation import Evaluator, Job, Plan, Schedule, TaskPlan, Tuned
from evosearch.evaluation.evaluator import _RULES
from evosearch.evaluation.references import (
    MUON_RMS,
    REFERENCES,
    Grid,
    Reference,
    ReferenceRule,
    logarithmic,
    state_bytes_per_parameter,
)
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 8
ROWS = pytest.mark.parametrize("reference", REFERENCES.values(), ids=list(REFERENCES))


def decayed(optimizer: optax.GradientTransformation, lr: float, decay: float) -> optax.GradientTransformation:
    """An optimizer of optax without weight decay, decayed in the decoupled way."""

    def update(g: Any, state: Any, w: Any) -> Any:
        updates, state = optimizer.update(g, state, w)
        return jax.tree.map(lambda u, x: u - lr * decay * x, updates, w), state

    return optax.GradientTransformation(optimizer.init, update)


Direct = Callable[[float, float, float, float], optax.GradientTransformation]

DIRECT: dict[str, Direct] = {
    "sgd": lambda lr, wd, b1, b2: decayed(optax.sgd(lr, momentum=b1), lr, wd),
    "nesterov": lambda lr, wd, b1, b2: decayed(optax.sgd(lr, momentum=b1, nesterov=True), lr, wd),
    "adamw": lambda lr, wd, b1, b2: optax.adamw(lr, b1, b2, weight_decay=wd),
    "nadam": lambda lr, wd, b1, b2: optax.nadamw(lr, b1, b2, weight_decay=wd),
    "radam": lambda lr, wd, b1, b2: decayed(optax.radam(lr, b1, b2), lr, wd),
    "amsgrad": lambda lr, wd, b1, b2: decayed(optax.amsgrad(lr, b1, b2), lr, wd),
    "adabelief": lambda lr, wd, b1, b2: decayed(optax.adabelief(lr, b1, b2), lr, wd),
    "adafactor": lambda lr, wd, b1, b2: decayed(optax.adafactor(lr), lr, wd),
    "lion": lambda lr, wd, b1, b2: optax.lion(lr, b1, b2, weight_decay=wd),
    "rmsprop": lambda lr, wd, b1, b2: decayed(optax.rmsprop(lr, decay=b2), lr, wd),
    "adagrad": lambda lr, wd, b1, b2: decayed(optax.adagrad(lr), lr, wd),
    "muon": lambda lr, wd, b1, b2: optax.contrib.muon(
        lr, beta=b1, weight_decay=wd, adam_weight_decay=wd, consistent_rms=MUON_RMS
    ),
}


def problem() -> tuple[Any, list[Any]]:
    """Weights with a matrix large enough to be factored, and gradients for some steps."""
    rng = np.random.Generator(np.random.Philox(key=0))

    def tree(scale: float) -> Any:
        return {
            "w": jnp.asarray(rng.normal(size=(130, 128)) * scale, jnp.float32),
            "b": jnp.asarray(rng.normal(size=7) * scale, jnp.float32),
        }

    return tree(0.3), [tree(0.1) for _ in range(STEPS)]


@ROWS
def test_a_row_is_what_optax_does_at_every_step(reference: Reference) -> None:
    """The schedule's value enters as a constant learning rate of 0.5, so optax needs no schedule."""
    values = {name: grid.values[grid.start] for name, grid in reference.grids.items()}
    rule = ReferenceRule(reference)
    program = (np.full(STEPS, 0.5, np.float32), np.array(list(values.values()), np.float32))
    b1, b2 = (1 - values.get(f"one_minus_{b}", 0.1) for b in ("b1", "b2"))
    direct = DIRECT[reference.name](0.5 * values["lr"], values["decay"], b1, b2)
    w, gradients = problem()
    ours = theirs = w
    state, their_state = rule.start(w), direct.init(w)
    our_step, their_step = jax.jit(rule.step), jax.jit(direct.update)
    for step, g in enumerate(gradients):
        before = ours
        ours, state, finite = our_step(program, state, ours, g, jnp.float32(1), jnp.int32(step))
        updates, their_state = their_step(g, their_state, theirs)
        for leaf in w:
            np.testing.assert_allclose(ours[leaf] - before[leaf], updates[leaf], rtol=2e-4, atol=1e-6)
        assert finite
        theirs = optax.apply_updates(theirs, updates)
    assert all(np.abs(ours[leaf] - w[leaf]).max() > 1e-4 for leaf in w)


@ROWS
def test_weight_decay_is_decoupled_in_every_row(reference: Reference) -> None:
    """With decay the first update is the one without it, plus lr * decay * w."""
    values = [grid.values[grid.start] for grid in reference.grids.values()]
    rule = ReferenceRule(reference)
    w, (g, *_) = problem()

    def first(decay: float) -> Any:
        program = (np.ones(1, np.float32), np.array([values[0], decay, *values[2:]], np.float32))
        moved, *_ = rule.step(program, rule.start(w), w, g, jnp.float32(1), jnp.int32(0))
        return jax.tree.map(jnp.subtract, w, moved)

    without, with_ = first(0.0), first(0.25)
    for leaf in w:
        expected = without[leaf] + values[0] * 0.25 * w[leaf]
        np.testing.assert_allclose(with_[leaf], expected, rtol=1e-5, atol=1e-6)


@ROWS
def test_grids(reference: Reference) -> None:
    names = list(reference.grids)
    assert names[:2] == ["lr", "decay"]
    assert all(name.startswith("one_minus_b") for name in names[2:])
    lr, decay, *rest = reference.grids.values()
    ratios = np.diff(np.log10(lr.values))
    np.testing.assert_allclose(ratios, 0.25, atol=0.003)
    assert decay.values[0] == 0
    np.testing.assert_allclose(np.diff(np.log10(decay.values[1:])), 0.5, atol=0.003)
    assert all(grid.values[-1] == 1 and grid.closed for grid in rest)
    # Far from the ends, so that tuning has somewhere to go.
    assert all(2 <= grid.start < len(grid.values) - 2 for grid in reference.grids.values())


def test_edges_of_grids() -> None:
    assert [Grid((0.1, 1.0), 0).is_edge(place) for place in (0, 1)] == [True, True]
    assert [Grid((0.0, 1.0), 0).is_edge(place) for place in (0, 1)] == [False, True]
    assert [Grid((0.1, 1.0), 0, closed=True).is_edge(place) for place in (0, 1)] == [True, False]
    with pytest.raises(ValueError, match="expected rising values and a start among them"):
        Grid((1.0, 1.0), 0)
    with pytest.raises(ValueError, match="expected rising values and a start among them"):
        Grid((1.0, 2.0), 2)
    assert logarithmic(-2, 0, 1, -1, zero=True) == Grid((0.0, 0.01, 0.1, 1.0), 2)


@ROWS
def test_no_setting_is_compiled_anew(reference: Reference) -> None:
    rule = ReferenceRule(reference)
    w, (g, *_) = problem()
    state, step = rule.start(w), jax.jit(rule.step)
    results = []
    for place in (1, 2, -1):
        values = np.array([grid.values[place] for grid in reference.grids.values()], np.float32)
        program = (np.ones(1, np.float32), values)
        results.append(step(program, state, w, g, jnp.float32(1), jnp.int32(0))[0])
    assert step._cache_size() == 1
    assert len({float(result["b"][0]) for result in results}) == 3


def test_an_evaluator_keeps_every_reference_compiled() -> None:
    assert len(REFERENCES) <= _RULES
    evaluator = Evaluator(Plan((TaskPlan("quadratic", (("steps", 3),)),)))
    compilations: list[str] = []

    def listen(event: str, _: float, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compilations.append(event)

    def run(lr: float, seed: int) -> None:
        for split in (Split.SEARCH, Split.REPORT):
            for name, more in (("sgd", (0.1,)), ("lion", (0.1, 0.01))):
                evaluator.evaluate(Job(0, Tuned(name, (lr, 0.1, *more)), ((seed,),), split))

    run(0.1, 0)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        run(0.2, 1)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert compilations == []


BYTES = {
    "sgd": 4,
    "nesterov": 4,
    "adamw": 8,
    "nadam": 8,
    "radam": 8,
    "amsgrad": 12,  # the largest second moment beside the running one
    "adabelief": 8,
    "adafactor": 4 * (130 + 128 + 7 + 3) / (130 * 128 + 7),
    "lion": 4,
    "rmsprop": 4,
    "adagrad": 4,
    "muon": 4 * (130 * 128 + 2 * 7) / (130 * 128 + 7),
}


@ROWS
def test_memory_of_the_state(reference: Reference) -> None:
    w, _ = problem()
    shapes = jax.eval_shape(lambda: w)
    found = state_bytes_per_parameter(reference, shapes)
    assert found == state_bytes_per_parameter(reference, w)
    # A few bytes for counters and coefficients.
    assert BYTES[reference.name] - 1e-9 <= found <= BYTES[reference.name] + 60 / (130 * 128)


def test_a_reference_trains_alike_whether_its_metric_is_compiled_in_or_apart() -> None:
    """With a curve the metric is taken inside the training, without one beside it."""
    task = TaskPlan("quadratic", (("steps", 30),), Schedule("constant", 0.0))
    apart, inside = Evaluator(Plan((task,))), Evaluator(Plan((replace(task, curve=3),)))
    for lr in (0.0316, 1e30):
        job = Job(0, Tuned("adamw", (lr, 0.1, 0.1, 0.01)), ((0,),), Split.REPORT)
        ours, theirs = apart.evaluate(job), inside.evaluate(job)
        assert ours.status is theirs.status
        assert ours.metrics[0][0] == pytest.approx(theirs.metrics[0][0], rel=1e-5)
        assert ours.steps == theirs.steps
    assert math.isinf(ours.metrics[0][0][0])
