"""An MLP-Mixer: dense layers over the tokens, then over the channels (Tolstikhin et al., 2021).

x <- x + (gelu(rms_norm(x)^T W1 + b1) W2 + b2)^T
x <- x + gelu(rms_norm(x) W3 + b3) W4 + b4
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from proxy_tasks.layers import dense, dense_init, dropout, part, rms_norm
from proxy_tasks.models.classifier import Classifier, Shape, cuts_into_patches, patches
from proxy_tasks.protocol import Key, Params


def mixer(width: int, depth: int, patch: int, drop: float = 0.0) -> Classifier:
    """`depth` blocks; hidden layers are twice the tokens and four times the width."""
    return Classifier(
        init=partial(_init, width, depth, patch),
        apply=partial(_apply, depth, patch, drop),
        fits=partial(cuts_into_patches, patch=patch),
    )


def _mlp_init(key: Key, size: int, hidden: int) -> Params:
    up, down = jax.random.split(key)
    return {
        "norm": jnp.ones(size, jnp.float32),
        "up": dense_init(up, size, hidden),
        "down": dense_init(down, hidden, size),
    }


def _init(width: int, depth: int, patch: int, key: Key, shape: Shape, classes: int) -> Params:
    embed, head, *body = jax.random.split(key, 2 + 2 * depth)
    height, breadth, channels = shape
    tokens = (height // patch) * (breadth // patch)
    blocks = {}
    for i in range(depth):
        across = _mlp_init(body[2 * i], tokens, 2 * tokens)
        across["norm"] = jnp.ones(width, jnp.float32)
        blocks[f"block{i}"] = {"tokens": across, "channels": _mlp_init(body[2 * i + 1], width, 4 * width)}
    return {
        "embed": dense_init(embed, patch * patch * channels, width),
        "norm": jnp.ones(width, jnp.float32),
        "head": dense_init(head, width, classes, 0.1),
        **blocks,
    }


def _feed(layer: Params, x: jax.Array) -> jax.Array:
    return dense(layer["down"], jax.nn.gelu(dense(layer["up"], x)))


def _apply(
    depth: int, patch: int, drop: float, params: Params, images: jax.Array, key: Key | None
) -> jax.Array:
    x = dense(params["embed"], patches(images, patch))
    for i in range(depth):
        block = params[f"block{i}"]
        normed = rms_norm(block["tokens"]["norm"], x).swapaxes(1, 2)
        x = x + dropout(part(key, 2 * i), drop, _feed(block["tokens"], normed).swapaxes(1, 2))
        mixed = _feed(block["channels"], rms_norm(block["channels"]["norm"], x))
        x = x + dropout(part(key, 2 * i + 1), drop, mixed)
    return dense(params["head"], jnp.mean(rms_norm(params["norm"], x), axis=1))
