"""A small residual network of 3 x 3 convolutions, pre-activation, with group norm (He et al., 2016).

    x <- shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))

The first block keeps the size of the image, the second halves it and doubles the channels, the others keep
that.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from proxy_tasks.layers import conv, conv_init, dense, dense_init, dropout, group_norm, group_norm_init
from proxy_tasks.models.classifier import Classifier, Shape
from proxy_tasks.protocol import Key, Params


def residual_init(key: Key, inputs: int, outputs: int) -> Params:
    """Weights of one block; with a 1 x 1 convolution as shortcut where the channels change."""
    first, second, shortcut = jax.random.split(key, 3)
    block = {
        "norm1": group_norm_init(inputs),
        "conv1": conv_init(first, inputs, outputs),
        "norm2": group_norm_init(outputs),
        "conv2": conv_init(second, outputs, outputs),
    }
    return (
        block if inputs == outputs else {**block, "shortcut": conv_init(shortcut, inputs, outputs, width=1)}
    )


def residual(block: Params, x: jax.Array, stride: int = 1) -> jax.Array:
    """One block: (n, h, w, inputs) -> (n, h / stride, w / stride, outputs)."""
    active = jax.nn.relu(group_norm(block["norm1"], x))
    shortcut = conv(block["shortcut"], active, stride) if "shortcut" in block else x
    hidden = jax.nn.relu(group_norm(block["norm2"], conv(block["conv1"], active, stride)))
    return shortcut + conv(block["conv2"], hidden)


def resnet(width: int, depth: int, drop: float = 0.0) -> Classifier:
    """`depth` blocks, the first of `width` channels, the others of twice as many on half the size."""
    return Classifier(init=partial(_init, width, depth), apply=partial(_apply, depth, drop), fits=_fits)


def _fits(shape: Shape) -> str | None:
    return "an even height and width" if shape[0] % 2 or shape[1] % 2 else None


def _init(width: int, depth: int, key: Key, shape: Shape, classes: int) -> Params:
    stem, head, *body = jax.random.split(key, 2 + depth)
    channels = [width] + [width if i == 0 else 2 * width for i in range(depth)]
    blocks = {f"block{i}": residual_init(k, channels[i], channels[i + 1]) for i, k in enumerate(body)}
    return {
        "stem": conv_init(stem, shape[2], width),
        **blocks,
        "norm": group_norm_init(channels[-1]),
        "head": dense_init(head, channels[-1], classes, 0.1),
    }


def _apply(depth: int, drop: float, params: Params, images: jax.Array, key: Key | None) -> jax.Array:
    x = conv(params["stem"], images)
    for i in range(depth):
        x = residual(params[f"block{i}"], x, stride=2 if i == 1 else 1)
    pooled = jnp.mean(jax.nn.relu(group_norm(params["norm"], x)), axis=(1, 2))
    return dense(params["head"], dropout(key, drop, pooled))
