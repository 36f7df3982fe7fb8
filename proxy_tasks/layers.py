"""The few parts of which the models are made. Weights are nested dicts, layers are functions.

A layer computes in the type of its weights and brings its input to that type, so a model whose weights are
cast computes in that type throughout; norms, losses and metrics are float32 in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, overload

import jax
import jax.numpy as jnp
from jax import lax

from proxy_tasks.protocol import Data, Key, Params, Scalar

BLOCK = 1024
"""Examples that `mean_over` evaluates at once: bounds the memory on splits and layers of any size."""

T = TypeVar("T")


def in_type(dtype: str, function: Callable[..., T]) -> Callable[..., T]:
    """A function of (weights, ...) that sees float32 weights in another type; gradients stay float32.

    Args:
        dtype: the name of a floating type.
        function: its first argument is a tree of weights.
    """
    if dtype == "float32":
        return function

    def cast(params: Params, *args: object) -> T:
        return function(jax.tree.map(lambda leaf: leaf.astype(dtype), params), *args)

    return cast


def normal(key: Key, shape: tuple[int, ...], scale: float) -> jax.Array:
    """Normal with mean zero and standard deviation `scale`, float32."""
    return scale * jax.random.normal(key, shape, jnp.float32)


def dense_init(key: Key, inputs: int, outputs: int, scale: float = 1.0, bias: bool = True) -> Params:
    """Weights of a dense layer: normal with standard deviation `scale / sqrt(inputs)`, biases zero.

    Returns:
        {"w": float32 (inputs, outputs), "b": float32 (outputs,)}, without "b" where there is no bias.
    """
    w = normal(key, (inputs, outputs), scale * inputs**-0.5)
    return {"w": w, "b": jnp.zeros(outputs, jnp.float32)} if bias else {"w": w}


def dense(layer: Params, x: jax.Array) -> jax.Array:
    """The affine map x w + b of the last axis: (..., inputs) -> (..., outputs)."""
    out: jax.Array = x.astype(layer["w"].dtype) @ layer["w"]
    return out + layer["b"] if "b" in layer else out


def conv_init(key: Key, inputs: int, outputs: int, width: int = 3, scale: float = 1.0) -> Params:
    """Weights of a convolution over `width` x `width` pixels: as of a dense layer; no bias.

    Returns:
        {"w": float32 (width, width, inputs, outputs)}
    """
    return {"w": normal(key, (width, width, inputs, outputs), scale * (width * width * inputs) ** -0.5)}


def conv(layer: Params, x: jax.Array, stride: int = 1) -> jax.Array:
    """Convolution with zeros around the image: (n, h, w, inputs) -> (n, h / stride, w / stride, outputs).

    One matrix product over the shifted images side by side: for images of a few pixels and channels that is
    about four times as fast on a CPU as XLA's convolution and its gradient (jaxlib 0.10; README).
    """
    w = layer["w"]
    width, _, inputs, outputs = w.shape
    if width == 1:
        return jnp.matmul(x[:, ::stride, ::stride].astype(w.dtype), w[0, 0])
    before = (width - 1) // 2
    around = (before, width - 1 - before)
    height, breadth = x.shape[1:3]
    padded = jnp.pad(x.astype(w.dtype), ((0, 0), around, around, (0, 0)))
    rows = jnp.concatenate([padded[:, i : i + height : stride] for i in range(width)], axis=-1)
    views = jnp.concatenate([rows[:, :, i : i + breadth : stride] for i in range(width)], axis=-1)
    # The channels of a view are ordered by column, row, channel.
    flat = w.transpose(1, 0, 2, 3).reshape(width * width * inputs, outputs)
    out: jax.Array = views @ flat
    return out


def rms_norm(gain: jax.Array, x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """X / sqrt(mean(x^2) + epsilon) * gain over the last axis (Zhang & Sennrich, 2019)."""
    wide = x.astype(jnp.float32)
    scaled = wide * lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)
    out: jax.Array = scaled.astype(x.dtype) * gain
    return out


def group_norm_init(channels: int) -> Params:
    """Gain one and offset zero: {"gain", "offset"}, float32 (channels,)."""
    return {"gain": jnp.ones(channels, jnp.float32), "offset": jnp.zeros(channels, jnp.float32)}


def group_norm(layer: Params, x: jax.Array, groups: int = 2, epsilon: float = 1e-5) -> jax.Array:
    """Each image's groups of channels with mean zero and variance one, then gain and offset (Wu & He, 2018).

    Unlike batch norm it keeps no running statistics: the only state of a task is its weights.
    """
    n, h, w, channels = x.shape
    split = x.astype(jnp.float32).reshape(n, h * w, groups, channels // groups)
    centred = split - jnp.mean(split, axis=(1, 3), keepdims=True)
    scaled = centred * lax.rsqrt(jnp.mean(centred * centred, axis=(1, 3), keepdims=True) + epsilon)
    out: jax.Array = scaled.reshape(x.shape).astype(x.dtype) * layer["gain"] + layer["offset"]
    return out


def dropout(key: Key | None, rate: float, x: jax.Array) -> jax.Array:
    """X with a share `rate` of its elements zero and the others scaled up; x itself without a key or rate."""
    if key is None or rate == 0:
        return x
    kept = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(kept, x / (1 - rate), 0).astype(x.dtype)


@overload
def part(key: Key, place: int) -> Key: ...
@overload
def part(key: None, place: int) -> None: ...
def part(key: Key | None, place: int) -> Key | None:
    """The key of one place in a model; None, at evaluation, stays None."""
    return None if key is None else jax.random.fold_in(key, place)


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """-sum_c t_c log softmax(z)_c over the last axis, in nats.

    Args:
        logits: (..., c).
        targets: (..., c) of any type, rows that sum to one.

    Returns:
        float32 (...). Not finite where a logit is not: divergence shows.
    """
    logits = logits.astype(jnp.float32)
    top = lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    shifted = logits - top
    return jnp.log(jnp.sum(jnp.exp(shifted), axis=-1)) - jnp.sum(shifted * targets, axis=-1)


def smoothed(targets: jax.Array, share: float) -> jax.Array:
    """Targets (..., c) of which a share goes to all classes alike (Szegedy et al., 2016)."""
    return (1 - share) * targets + share / targets.shape[-1] if share else targets


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
