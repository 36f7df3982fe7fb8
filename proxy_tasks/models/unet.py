"""A small U-Net that knows the time (Ronneberger et al., 2015; Ho et al., 2020): down once, up once."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from proxy_tasks.layers import conv, conv_init, dense, dense_init, group_norm, group_norm_init
from proxy_tasks.models.resnet import residual, residual_init
from proxy_tasks.protocol import Key, Params

WAVES = 8
"""Sines, and as many cosines, of the time, each of twice the frequency of the one before."""


def unet_init(key: Key, channels: int, width: int, depth: int) -> Params:
    """Weights for images of `channels`; `depth` residual blocks at the bottom, of twice the width."""
    stem, down, up, merge, out, time1, time2, *middle = jax.random.split(key, 7 + depth)
    return {
        "stem": conv_init(stem, channels, width),
        "time1": dense_init(time1, 2 * WAVES, width),
        "time2": dense_init(time2, 2 * WAVES, 2 * width),
        "down": conv_init(down, width, 2 * width),
        **{f"middle{i}": residual_init(k, 2 * width, 2 * width) for i, k in enumerate(middle)},
        "up": conv_init(up, 2 * width, width, width=1),
        "merge": conv_init(merge, 2 * width, width),
        "norm": group_norm_init(width),
        "out": conv_init(out, width, channels, scale=0.1),
    }


def unet(params: Params, x: jax.Array, time: jax.Array) -> jax.Array:
    """Images of even height and width, and times in [0, 1]: (n, h, w, c), (n,) -> (n, h, w, c)."""
    angles = time[:, None] * (jnp.pi * 2.0 ** jnp.arange(WAVES) / 2)
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)
    top = conv(params["stem"], x) + dense(params["time1"], waves)[:, None, None]
    bottom = conv(params["down"], jax.nn.relu(top), stride=2) + dense(params["time2"], waves)[:, None, None]
    for i in range(sum(name.startswith("middle") for name in params)):
        bottom = residual(params[f"middle{i}"], bottom)
    risen = jnp.repeat(jnp.repeat(conv(params["up"], bottom), 2, axis=1), 2, axis=2)
    merged = conv(params["merge"], jnp.concatenate([top, risen], axis=3))
    return conv(params["out"], jax.nn.relu(group_norm(params["norm"], merged)))
