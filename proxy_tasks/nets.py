"""The few parts of which the models are made. Weights are nested dicts, layers are functions."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from proxy_tasks.protocol import Data, Key, Params, Scalar

BLOCK = 1024
"""Examples that `mean_over` evaluates at once: bounds the memory on splits and layers of any size."""


def dense_init(key: Key, inputs: int, outputs: int, scale: float = 1.0) -> Params:
    """Weights of a dense layer: normal with standard deviation `scale / sqrt(inputs)`, biases zero.

    Returns:
        {"w": float32 (inputs, outputs), "b": float32 (outputs,)}
    """
    w = jax.random.normal(key, (inputs, outputs), jnp.float32) * (scale * inputs**-0.5)
    return {"w": w, "b": jnp.zeros(outputs, jnp.float32)}


def dense(layer: Params, x: jax.Array) -> jax.Array:
    """The affine map x w + b: float32 (n, inputs) -> (n, outputs)."""
    out: jax.Array = x @ layer["w"] + layer["b"]
    return out


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """-sum_c t_c log softmax(z)_c of each example, in nats.

    Args:
        logits: float32 (n, c).
        targets: (n, c) of any type, rows that sum to one.

    Returns:
        float32 (n,). Not finite where a logit is not: divergence shows.
    """
    top = lax.stop_gradient(jnp.max(logits, axis=1, keepdims=True))
    shifted = logits - top
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=1)) - jnp.sum(shifted * targets, axis=1)


def mean_over(examples: Data, each: Callable[[Data], jax.Array]) -> Scalar:
    """The mean of `each` over all examples, `BLOCK` of them at a time.

    Args:
        examples: a pytree of arrays with one leading axis of n examples.
        each: maps a pytree of k examples to float32 (k,).
    """
    count = jax.tree.leaves(examples)[0].shape[0]
    blocks, rest = divmod(count, BLOCK)
    if blocks == 0:
        return jnp.mean(each(examples))
    head = jax.tree.map(lambda a: a[: blocks * BLOCK].reshape(blocks, BLOCK, *a.shape[1:]), examples)
    total = jnp.sum(lax.map(lambda block: jnp.sum(each(block)), head))
    if rest:
        total += jnp.sum(each(jax.tree.map(lambda a: a[blocks * BLOCK :], examples)))
    mean: jax.Array = total / count
    return mean
