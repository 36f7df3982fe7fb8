"""The family of synthetic tasks, whose answers are known: a quadratic, a teacher, modular addition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from proxy_tasks.batches import draw_batches
from proxy_tasks.data.images import SHUFFLE_SEED, TIE_BREAK, error_of_a_guess
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import Knobs, data_of, flag, number, whole
from proxy_tasks.layers import cross_entropy, dense, dense_init, in_type, mean_over, normal
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Split, Task, TaskData

FAMILY = "synthetic"
SHARES = {Split.TRAIN: 0.8, Split.SEARCH: 0.07, Split.SELECTION: 0.06, Split.REPORT: 0.07}


def _parts(count: int, fraction: float) -> dict[Split, np.ndarray]:
    """A fixed shuffle of 0 ... count - 1 in the proportions of `SHARES`, TRAIN cut to `fraction` of it."""
    order = np.random.RandomState(SHUFFLE_SEED).permutation(count)
    ends = np.cumsum([round(share * count) for share in SHARES.values()])
    parts = dict(zip(SHARES, np.split(order, ends[:-1]), strict=True))
    train = parts[Split.TRAIN]
    return {**parts, Split.TRAIN: train[: max(1, round(fraction * len(train)))]}


def _draw(knobs: Knobs, name: str, key: Key, data: Data, steps: int) -> Batches:
    return draw_batches(key, data[name].shape[0], steps, knobs.batch, chance=False)


# ---------------------------------------------------------------------------------------------- quadratic


@dataclass(frozen=True)
class QuadraticKnobs(Knobs):
    """An ill-conditioned quadratic.

    Attributes:
        width: number of weights.
        condition: the largest curvature over the smallest; the largest is 1.
        noise: standard deviation of an example around the answer; with 0 every step sees the whole truth.
        rotated: whether the axes of the quadratic are mixed, so that no weight has a curvature of its own.
        points: examples in all.
        fraction: the share of the training split that is trained on.
    """

    batch: int = whole(16)
    width: int = whole(256, most=4096, least=2)
    condition: float = number(1000.0, 1.0, 1e9)
    noise: float = number(0.1, 0.0, 100.0)
    rotated: bool = flag(True)
    points: int = whole(2000, most=1_000_000, least=100)
    fraction: float = number(1.0, 0.001, 1.0)


def build_quadratic(knobs: QuadraticKnobs) -> Task:
    """L(w) = mean over examples of (w - x)^T H (w - x) / 2, eigenvalues of H from 1 / condition to 1.

    The examples x lie around one answer w*. Gradient descent from w0 follows, without noise,
    w_t - w* = prod_s (1 - lr_s H) (w_0 - w*). The metric is L(w) - L(answer) on the split's examples relative
    to its expected value at the start.
    """
    return Task(
        name="quadratic",
        family=FAMILY,
        metric="validation loss above the split's minimum, relative to the start",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load_quadratic, knobs)),
        init=lambda key, _data: {"w": normal(key, (knobs.width,), 1.0)},
        draw=partial(_draw, knobs, "points"),
        loss=in_type(knobs.dtype, _quadratic_loss),
        evaluate=_quadratic_metric,
    )


def _load_quadratic(knobs: QuadraticKnobs) -> TaskData:
    rng = np.random.RandomState(SHUFFLE_SEED)
    curvature = np.logspace(-np.log10(knobs.condition), 0, knobs.width)
    axes = np.linalg.qr(rng.standard_normal((knobs.width, knobs.width)))[0] if knobs.rotated else None
    answer = 3 * rng.standard_normal(knobs.width)
    points = answer + knobs.noise * rng.standard_normal((knobs.points, knobs.width))
    hessian = np.diag(curvature) if axes is None else axes @ np.diag(curvature) @ axes.T
    # Weights start around 0 with variance 1, the answer has variance 9.
    start = 0.5 * float(np.trace(hessian) + answer @ hessian @ answer)
    shared = {
        "hessian": hessian.astype(np.float32),
        "start": np.array([start], np.float32),
    }
    parts = _parts(knobs.points, knobs.fraction)
    splits: dict[Split, Data] = {
        split: {
            **shared,
            "points": points[index].astype(np.float32),
            "mean": points[index].mean(axis=0).astype(np.float32),
        }
        for split, index in parts.items()
    }
    return TaskData(splits, parts, chance=1.0)


def _quadratic_loss(params: Params, data: Data, batch: Batch) -> Scalar:
    away = params["w"].astype(jnp.float32) - data["points"][batch["index"]]
    return 0.5 * jnp.mean(jnp.sum((away @ data["hessian"]) * away, axis=1))


def _quadratic_metric(params: Params, data: Data) -> Scalar:
    away = params["w"] - data["mean"]
    excess: jax.Array = 0.5 * (away @ data["hessian"] @ away) / data["start"][0]
    return excess


# ---------------------------------------------------------------------------------------- teacher_student


@dataclass(frozen=True)
class TeacherKnobs(Knobs):
    """Regression on what another network says.

    Attributes:
        inputs: numbers that both networks see.
        teacher: hidden units of the teacher.
        width: hidden units of the student.
        depth: hidden layers of the student.
        noise: standard deviation of what is added to the teacher's answers in training.
        points: examples in all.
        fraction: the share of the training split that is trained on.
    """

    inputs: int = whole(16, most=4096)
    teacher: int = whole(8, most=4096)
    width: int = whole(48, most=8192)
    depth: int = whole(2, most=64)
    noise: float = number(0.1, 0.0, 100.0)
    points: int = whole(4000, most=10_000_000, least=100)
    fraction: float = number(1.0, 0.001, 1.0)


def build_teacher_student(knobs: TeacherKnobs) -> Task:
    """Learn y = a^T tanh(2 W x), of variance 1, of a fixed random teacher; who knows it has metric 0."""
    predict = in_type(knobs.dtype, partial(_student, knobs.depth))
    return Task(
        name="teacher_student",
        family=FAMILY,
        metric="validation squared error, relative to the variance of the answers",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load_teacher, knobs)),
        init=partial(_student_init, knobs),
        draw=partial(_draw, knobs, "inputs"),
        loss=partial(_student_loss, predict),
        evaluate=partial(_student_metric, predict),
    )


def _load_teacher(knobs: TeacherKnobs) -> TaskData:
    rng = np.random.RandomState(SHUFFLE_SEED)
    inputs = rng.standard_normal((knobs.points, knobs.inputs))
    hidden = np.tanh(2 * inputs @ rng.standard_normal((knobs.inputs, knobs.teacher)) * knobs.inputs**-0.5)
    answers = hidden @ rng.standard_normal(knobs.teacher)
    answers = (answers - answers.mean()) / answers.std()
    noise = knobs.noise * rng.standard_normal(knobs.points)
    parts = _parts(knobs.points, knobs.fraction)
    splits: dict[Split, Data] = {
        split: {
            "inputs": inputs[index].astype(np.float32),
            "answers": (answers + noise * (split is Split.TRAIN))[index].astype(np.float32),
        }
        for split, index in parts.items()
    }
    return TaskData(splits, parts, chance=1.0)


def _student_init(knobs: TeacherKnobs, key: Key, _data: Data) -> Params:
    sizes = [knobs.inputs] + [knobs.width] * knobs.depth
    out, *hidden = jax.random.split(key, knobs.depth + 1)
    layers = {f"hidden{i}": dense_init(k, sizes[i], knobs.width) for i, k in enumerate(hidden)}
    return {**layers, "out": dense_init(out, knobs.width, 1, 0.1)}


def _student(depth: int, params: Params, inputs: jax.Array) -> jax.Array:
    """float32 (n, inputs) -> (n,)."""
    x = inputs
    for i in range(depth):
        x = jnp.tanh(dense(params[f"hidden{i}"], x))
    return dense(params["out"], x)[:, 0].astype(jnp.float32)


def _student_loss(predict: Callable[..., jax.Array], params: Params, data: Data, batch: Batch) -> Scalar:
    inputs, answers = (data[name][batch["index"]] for name in ("inputs", "answers"))
    return jnp.mean((predict(params, inputs) - answers) ** 2)


def _student_metric(predict: Callable[..., jax.Array], params: Params, data: Data) -> Scalar:
    return mean_over(data, lambda e: (predict(params, e["inputs"]) - e["answers"]) ** 2)


# --------------------------------------------------------------------------------------- modular_addition


@dataclass(frozen=True)
class ModularKnobs(Knobs):
    """Addition modulo a prime, learned from some of the pairs (Power et al., 2022).

    Attributes:
        modulus: numbers are from 0 to it; a network that has learned the rule knows all pairs.
        embedding: numbers that stand for a summand.
        width: of the hidden layer.
        fraction: the share of the training split that is trained on.
    """

    modulus: int = whole(23, most=257, least=11)
    embedding: int = whole(32, most=4096)
    width: int = whole(64, most=8192)
    fraction: float = number(1.0, 0.001, 1.0)


def build_modular_addition(knobs: ModularKnobs) -> Task:
    """p(a + b mod n) = softmax(((E_a + F_b) W1)^2 W2): squares of sums are what turns sums into products."""
    apply = in_type(knobs.dtype, _adder)
    return Task(
        name="modular_addition",
        family=FAMILY,
        metric=f"validation error + {TIE_BREAK} x validation loss",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load_modular, knobs)),
        init=partial(_adder_init, knobs),
        draw=partial(_draw, knobs, "pairs"),
        loss=partial(_adder_loss, apply, knobs.modulus),
        evaluate=partial(_adder_metric, apply, knobs.modulus),
    )


def _load_modular(knobs: ModularKnobs) -> TaskData:
    n = knobs.modulus
    pairs = np.stack(np.divmod(np.arange(n * n), n), axis=1).astype(np.int32)
    parts = _parts(n * n, knobs.fraction)
    if min(len(index) for index in parts.values()) < 5:
        raise TaskError(f"expected 5 pairs or more in each split, found fewer with modulus={n}")
    splits: dict[Split, Data] = {split: {"pairs": pairs[index]} for split, index in parts.items()}
    return TaskData(splits, parts, chance=error_of_a_guess(n))


def _adder_init(knobs: ModularKnobs, key: Key, _data: Data) -> Params:
    first, second, hidden, out = jax.random.split(key, 4)
    return {
        "first": normal(first, (knobs.modulus, knobs.embedding), 0.5),
        "second": normal(second, (knobs.modulus, knobs.embedding), 0.5),
        "hidden": dense_init(hidden, knobs.embedding, knobs.width),
        "out": dense_init(out, knobs.width, knobs.modulus, 0.1),
    }


def _adder(params: Params, pairs: jax.Array) -> jax.Array:
    """int32 (n, 2) -> logits (n, modulus)."""
    summed = params["first"][pairs[:, 0]] + params["second"][pairs[:, 1]]
    return dense(params["out"], dense(params["hidden"], summed) ** 2)


def _adder_losses(
    apply: Callable[..., jax.Array], modulus: int, params: Params, pairs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Whether each answer is wrong, and its nats."""
    logits, answers = apply(params, pairs), jnp.sum(pairs, axis=1) % modulus
    nats = cross_entropy(logits, jax.nn.one_hot(answers, modulus, dtype=jnp.float32))
    return jnp.argmax(logits, axis=1) != answers, nats


def _adder_loss(
    apply: Callable[..., jax.Array], modulus: int, params: Params, data: Data, batch: Batch
) -> Scalar:
    return jnp.mean(_adder_losses(apply, modulus, params, data["pairs"][batch["index"]])[1])


def _adder_metric(apply: Callable[..., jax.Array], modulus: int, params: Params, data: Data) -> Scalar:
    def each(pairs: jax.Array) -> jax.Array:
        wrong, nats = _adder_losses(apply, modulus, params, pairs)
        return wrong + TIE_BREAK * nats

    return mean_over(data["pairs"], each)
