"""Hidden layers on the pixels of an image.

p = softmax(relu(... relu(x W1 + b1) ...) Wn + bn)
"""

from __future__ import annotations

from functools import partial
from math import prod

import jax

from proxy_tasks.layers import dense, dense_init, dropout, part
from proxy_tasks.models.classifier import Classifier, Shape
from proxy_tasks.protocol import Key, Params


def mlp(width: int, depth: int, drop: float = 0.0) -> Classifier:
    """`depth` hidden layers of `width`."""
    return Classifier(init=partial(_init, width, depth), apply=partial(_apply, depth, drop))


def _init(width: int, depth: int, key: Key, shape: Shape, classes: int) -> Params:
    sizes = [prod(shape)] + [width] * depth
    *hidden, out = jax.random.split(key, depth + 1)
    layers = {f"hidden{i}": dense_init(k, sizes[i], width) for i, k in enumerate(hidden)}
    return {**layers, "out": dense_init(out, width, classes)}


def hidden_layers(
    params: Params, depth: int, images: jax.Array, drop: float = 0.0, key: Key | None = None
) -> jax.Array:
    """What the last hidden layer says: (n, h, w, c) -> (n, width)."""
    x = images.reshape(len(images), -1)
    for i in range(depth):
        x = dropout(part(key, i), drop, jax.nn.relu(dense(params[f"hidden{i}"], x)))
    return x


def _apply(depth: int, drop: float, params: Params, images: jax.Array, key: Key | None) -> jax.Array:
    return dense(params["out"], hidden_layers(params, depth, images, drop, key))
