"""Known optimizers, as the programs that ship with evosearch, against optax: every step of a real training.

Two comparisons for each. *Side by side*: optax is fed the weights and gradients of the program's own
training, so that only the arithmetic of the update differs. *On its own*: optax trains from the same start,
and rounding errors may grow through the training.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.interpreters import make_interpreter
from evosearch.evaluation.schedule import Schedule
from evosearch.language import builtin
from proxy_tasks import Split, build

STEPS = 200
SCHEDULE = Schedule().values(STEPS)
TASK = build("char_mlp", steps=STEPS)
TRAIN = jax.device_put(TASK.data().splits[Split.TRAIN])


def _adamw(lr: Any, t: Any) -> optax.GradientTransformation:
    """AdamW whose bias correction is undone: by the rate, epsilon, and the decay that the rate scales."""
    undo1, undo2 = 1 - 0.9 ** (t + 1), jnp.sqrt(1 - 0.999 ** (t + 1))
    undo = undo1 / undo2
    return optax.adamw(lr * 1e-3 * undo, b1=0.9, b2=0.999, eps=1e-8 / undo2, weight_decay=0.01 / undo)


@dataclass(frozen=True)
class Known:
    """One optimizer of optax: how it is built, and whether its updates jump where rounding errors differ."""

    build: Callable[[Any, Any], optax.GradientTransformation]
    jumps: bool = False


KNOWN = {
    "adamw": Known(_adamw),
    "lion": Known(lambda lr, _: optax.lion(lr * 1e-4, b1=0.9, b2=0.99, weight_decay=0.1), jumps=True),
    "momentum": Known(lambda lr, _: optax.sgd(lr * 0.01, momentum=0.9)),
    "nesterov": Known(lambda lr, _: optax.sgd(lr * 0.01, momentum=0.9, nesterov=True)),
    "rmsprop": Known(lambda lr, _: optax.rmsprop(lr * 1e-3, decay=0.9, eps=1e-8, eps_in_sqrt=False)),
    "signum": Known(
        lambda lr, _: optax.chain(
            optax.ema(0.9, debias=False), optax.scale_by_sign(), optax.scale_by_learning_rate(lr * 1e-3)
        ),
        jumps=True,
    ),
}


def start() -> tuple[Any, Any]:
    weights, order = jax.random.split(jax.random.key(0))
    return TASK.init(weights, TRAIN), TASK.draw(order, TRAIN, STEPS)


def gradient(w: Any, batch: Any, train: Any) -> Any:
    return jax.grad(TASK.loss)(w, train, batch)


FAR = 2.0**40
"""Weights moved by so many updates are all update: that is how one is read off."""


@cache
def _train_interpreted(interpreter: str) -> Callable[..., Any]:
    params, _ = start()
    rule = make_interpreter(interpreter, params, Capacity())

    def run(program: Any, params: Any, batches: Any, train: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            (t, batch), (w, state) = now, carry
            g = gradient(rule.unpack(w), batch, train)
            far, *_ = rule.step(program, state, w, g, jnp.float32(FAR), t)
            update = jax.tree.map(lambda x, y: (x - y) / FAR, w, far)
            moved, state, _ = rule.step(program, state, w, g, jnp.float32(1), t)
            return (moved, state), (rule.unpack(w), g, rule.unpack(update))

        w = rule.pack(params)
        (w, _), walk = lax.scan(step, (w, rule.start(w)), (jnp.arange(STEPS), batches))
        return rule.unpack(w), walk

    return jax.jit(run)


def train_program(name: str, interpreter: str) -> Any:
    """The last weights, and weights, gradient and update of every step."""
    params, _ = start()
    program = make_interpreter(interpreter, params, Capacity()).encode(builtin(name).statements, SCHEDULE)
    return _train_interpreted(interpreter)(program, *start(), TRAIN)


def updates_side_by_side(known: Known, walk: Any) -> Any:
    """Optax's updates on another training's weights and gradients."""

    def run(walk: Any) -> Any:
        def step(state: Any, now: Any) -> Any:
            t, (w, g, _) = now
            updates, state = known.build(jnp.asarray(SCHEDULE)[t], t).update(g, state, w)
            return state, jax.tree.map(jnp.negative, updates)

        first = jax.tree.map(lambda leaf: leaf[0], walk[0])
        return lax.scan(step, known.build(0.0, 0).init(first), (jnp.arange(STEPS), walk))[1]

    return jax.jit(run)(walk)


def train_optax(known: Known) -> Any:
    """The last weights of optax's own training."""

    def run(params: Any, batches: Any, train: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            (t, batch), (w, state) = now, carry
            g = gradient(w, batch, train)
            updates, state = known.build(jnp.asarray(SCHEDULE)[t], t).update(g, state, w)
            return (optax.apply_updates(w, updates), state), None

        begin = (params, known.build(0.0, 0).init(params))
        return lax.scan(step, begin, (jnp.arange(STEPS), batches))[0][0]

    return jax.jit(run)(*start(), TRAIN)


def flat(tree: Any, lead: int) -> np.ndarray[Any, Any]:
    """A tree as one array; `lead` axes are kept."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(*leaf.shape[:lead], -1) for leaf in leaves], axis=lead)


@pytest.mark.parametrize("interpreter", ["native", "xla"])
@pytest.mark.parametrize("name", KNOWN)
def test_a_shipped_program_is_what_its_name_says(name: str, interpreter: str) -> None:
    known = KNOWN[name]
    last, walk = train_program(name, interpreter)
    ours, optaxs = flat(walk[2], 1), flat(updates_side_by_side(known, walk), 1)
    size = np.abs(ours).max(axis=1, keepdims=True)
    differ = np.abs(ours - optaxs) > 1e-5 * size
    # A sign can only differ where its argument is a rounding error away from zero.
    assert differ.mean() <= (1e-5 if known.jumps else 0.0)
    w, begin = flat(last, 0), flat(start()[0], 0)
    moved, apart = np.linalg.norm(w - begin), np.linalg.norm(w - flat(train_optax(known), 0))
    assert moved > 0.01 * np.linalg.norm(begin)
    assert apart < 1e-5 * moved
