"""Convolutions first, attention after: edges by convolution, what they make by attention (CoAtNet, 2021)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from proxy_tasks.layers import (
    conv,
    conv_init,
    dense,
    dense_init,
    group_norm,
    group_norm_init,
    normal,
    rms_norm,
)
from proxy_tasks.models.attention import blocks, blocks_init
from proxy_tasks.models.classifier import Classifier, Shape
from proxy_tasks.models.resnet import residual, residual_init
from proxy_tasks.protocol import Key, Params


def hybrid(width: int, depth: int, heads: int, drop: float = 0.0) -> Classifier:
    """A stem and a residual block of convolutions, then `depth` blocks of attention on 1/16 of the pixels."""
    return Classifier(init=partial(_init, width, depth), apply=partial(_apply, heads, drop), fits=_fits)


def _fits(shape: Shape) -> str | None:
    return "a height and width that 4 divides" if shape[0] % 4 or shape[1] % 4 else None


def _init(width: int, depth: int, key: Key, shape: Shape, classes: int) -> Params:
    stem, block, down, positions, body, head = jax.random.split(key, 6)
    half = width // 2
    tokens = (shape[0] // 4) * (shape[1] // 4)
    return {
        "stem": conv_init(stem, shape[2], half),
        "block": residual_init(block, half, half),
        "norm0": group_norm_init(half),
        "down": conv_init(down, half, width),
        "positions": normal(positions, (tokens, width), 0.1),
        "body": blocks_init(body, depth, width, 4 * width),
        "norm": jnp.ones(width, jnp.float32),
        "head": dense_init(head, width, classes, 0.1, bias=False),
    }


def _apply(heads: int, drop: float, params: Params, images: jax.Array, key: Key | None) -> jax.Array:
    x = residual(params["block"], conv(params["stem"], images, stride=2))
    x = conv(params["down"], jax.nn.relu(group_norm(params["norm0"], x)), stride=2)
    tokens = x.reshape(len(x), -1, x.shape[-1]) + params["positions"]
    tokens = blocks(params["body"], tokens, heads, drop=drop, key=key)
    return dense(params["head"], jnp.mean(rms_norm(params["norm"], tokens), axis=1))
