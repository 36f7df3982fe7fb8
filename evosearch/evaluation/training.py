"""One training, compiled: the loop that every way of updating weights shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from numpy.typing import NDArray

from evosearch.evaluation.rule import Rule
from proxy_tasks import Task

Array = jax.Array


class Trained(NamedTuple):
    """The result of one training, all float32.

    Attributes:
        metric: the validation metric; infinite if training did not reach the end.
        steps: training steps done.
        finite: 1 if loss and weights stayed finite.
        cut: 1 if training was cut at a hurdle.
        hurdles: (number of hurdles,) running loss at each hurdle; infinite where it was not reached.
        curve: (points of the curve,) the validation metric after `curve_steps`; infinite where training did
            not get there. Its last point is `metric`.
    """

    metric: Array
    steps: Array
    finite: Array
    cut: Array
    hurdles: Array
    curve: Array


class Inputs(NamedTuple):
    """What a training reads besides the program.

    Attributes:
        params: initial parameters.
        batches: the minibatches of every step, as the task drew them.
        train: arrays of the training split.
        validation: arrays of the split that the metric is taken on.
        factor: float32, multiplies every update (the learning-rate factor).
        hurdle_steps: int32 (hurdles,), after how many steps each hurdle stands.
        thresholds: float32 (hurdles,), running losses above which training is cut; infinite for none.
    """

    params: Any
    batches: Any
    train: Any
    validation: Any
    factor: Any
    hurdle_steps: Any
    thresholds: Any


RUNNING = 0.9
"""Weight of the past in the running loss that hurdles look at."""


def curve_steps(steps: int, points: int) -> NDArray[np.int32]:
    """After how many training steps each point of a learning curve lies; evenly spaced, the last at the end.

    >>> curve_steps(10, 4).tolist()
    [2, 5, 8, 10]
    """
    return np.array([round(steps * (k + 1) / points) for k in range(points)], np.int32)


def training(
    task: Task,
    steps: int,
    rule: Rule,
    curve: int = 0,
    clip: float | None = None,
    evaluate: Callable[[Any, Any], Array] | None = None,
) -> Callable[[Any, Inputs], Trained]:
    """The compiled training of a task under a rule.

    Training stops as soon as the loss or a weight is not finite, or at a hurdle.

    Args:
        task: what is trained.
        steps: the number of training steps.
        rule: how weights are updated.
        curve: points of the learning curve, at most `steps`; 0 for none, at no cost.
        clip: gradients are scaled down to this global norm before the rule sees them; None for never, at no
            cost.
        evaluate: the task's own, jitted, for trainings without a curve. Then the training is compiled without
            it, once for all splits, whose arrays differ in shape: for rules that cost a compilation each.

    Returns:
        A function of (program, inputs). It compiles once for each shape of its arguments.
    """
    if evaluate is not None and curve:
        raise ValueError("a curve is measured inside the training, not by a function of its own")

    def run(program: Any, inputs: Inputs) -> tuple[Trained, Any]:
        hurdles = inputs.thresholds.shape[0]
        w = rule.pack(inputs.params)

        def measure(w: Any, good: Array) -> Array:
            metric: Array = lax.cond(
                good,
                lambda w: jnp.float32(task.evaluate(rule.unpack(w), inputs.validation)),
                lambda _: jnp.float32(jnp.inf),
                w,
            )
            return metric

        def go_on(carry: Any) -> Any:
            step, *_, finite, cut = carry
            return (step < steps) & finite & ~cut

        def advance(carry: Any) -> Any:
            step, w, state, running, reached, _, _ = carry
            batch = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, step, keepdims=False), inputs.batches)
            value, g = jax.value_and_grad(task.loss)(rule.unpack(w), inputs.train, batch)
            if clip is not None:
                g = clipped(g, clip)
            w, state, finite = rule.step(program, state, w, g, inputs.factor, step)
            finite = finite & jnp.isfinite(value)
            cut = jnp.bool_(False)
            if hurdles:
                running = jnp.where(step == 0, value, RUNNING * running + (1 - RUNNING) * value)
                here = inputs.hurdle_steps == step + 1
                reached = jnp.where(here, running, reached)
                cut = jnp.any(here & (running > inputs.thresholds))
            return step + 1, w, state, running, reached, finite, cut

        begin = (
            jnp.int32(0),
            w,
            rule.start(w),
            jnp.float32(0),
            jnp.full((hurdles,), jnp.inf, jnp.float32),
            jnp.bool_(True),
            jnp.bool_(False),
        )
        if not curve:
            step, w, _, _, reached, finite, cut = lax.while_loop(go_on, advance, begin)
            metric = measure(w, finite & ~cut) if evaluate is None else jnp.float32(jnp.inf)
            points = jnp.zeros((0,), jnp.float32)
        else:

            def stretch(carry: Any, end: Array) -> tuple[Any, Array]:
                """Train up to the next point of the curve."""
                carry = lax.while_loop(lambda c: go_on(c) & (c[0] < end), advance, carry)
                _, w, *_, finite, cut = carry
                return carry, measure(w, finite & ~cut)

            ends = jnp.asarray(curve_steps(steps, curve))
            (step, w, _, _, reached, finite, cut), points = lax.scan(stretch, begin, ends)
            metric = points[-1]
        trained = Trained(metric, jnp.float32(step), jnp.float32(finite), jnp.float32(cut), reached, points)
        return trained, w

    if evaluate is None:
        return jax.jit(lambda program, inputs: run(program, inputs)[0])
    loop = jax.jit(run)

    def run_apart(program: Any, inputs: Inputs) -> Trained:
        trained: Trained
        trained, w = loop(program, inputs._replace(validation=None))
        if trained.finite and not trained.cut:
            trained = trained._replace(metric=evaluate(rule.unpack(w), inputs.validation))
        return trained

    return run_apart


def clipped(g: Any, norm: float) -> Any:
    """A gradient scaled down to a global norm, if it is longer.

    >>> clipped({"a": jnp.array([3.0]), "b": jnp.array([4.0])}, 1.0)["b"].round(3).tolist()
    [0.8]
    """
    scaled, _ = optax.clip_by_global_norm(norm).update(g, optax.EmptyState())
    return scaled
