"""What a training step costs, without running it: weights and floating-point operations."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from proxy_tasks.protocol import Split, Task


def weights(task: Task) -> int:
    """How many numbers the optimizer may change."""
    train = task.data().splits[Split.TRAIN]
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(task.init, jax.random.key(0), train)))


def step_flops(task: Task) -> int:
    """Operations of the matrix products in one loss and its gradient; to multiply and add are two.

    That is how papers count; element-wise work, norms and the optimizer are left out.

    Example:
        >>> from proxy_tasks import build
        >>> step_flops(build("digits_mlp"))  # 2 products forward, 3 backward, with 64 images
        1294336
    """
    train = task.data().splits[Split.TRAIN]
    params = jax.eval_shape(task.init, jax.random.key(0), train)
    batches = jax.eval_shape(lambda key, train: task.draw(key, train, 1), jax.random.key(0), train)
    batch = jax.eval_shape(lambda batches: jax.tree.map(lambda leaf: leaf[0], batches), batches)
    return _flops(jax.make_jaxpr(jax.value_and_grad(task.loss))(params, train, batch).jaxpr)


def _flops(jaxpr: Jaxpr) -> int:
    return sum(_flops_of(equation) for equation in jaxpr.eqns)


def _flops_of(equation: Any) -> int:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left, result = equation.invars[0].aval, equation.outvars[0].aval
        return 2 * int(math.prod(result.shape) * math.prod(left.shape[axis] for axis in contracted))
    times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    return int(times) * sum(_flops(inner) for inner in _inner(equation.params))


def _inner(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one
