"""A pre-norm transformer on a sequence of vectors: what ViT, language models and the hybrid share.

x <- x + attention(rms_norm(x)) Wo
x <- x + gelu(rms_norm(x) W1 + b1) W2 + b2
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from proxy_tasks.layers import dense, dense_init, dropout, part, rms_norm
from proxy_tasks.protocol import Key, Params


def block_init(key: Key, width: int, hidden: int) -> Params:
    """Weights of one block; `hidden` is the width of the feed-forward layer."""
    qkv, out, up, down = jax.random.split(key, 4)
    return {
        "norm1": jnp.ones(width, jnp.float32),
        "qkv": dense_init(qkv, width, 3 * width, bias=False),
        "out": dense_init(out, width, width, bias=False),
        "norm2": jnp.ones(width, jnp.float32),
        "up": dense_init(up, width, hidden),
        "down": dense_init(down, hidden, width),
    }


def blocks_init(key: Key, depth: int, width: int, hidden: int) -> Params:
    """Weights of `depth` blocks: {"block0": ..., "block1": ...}."""
    return {f"block{i}": block_init(k, width, hidden) for i, k in enumerate(jax.random.split(key, depth))}


def attention(layer: Params, x: jax.Array, heads: int, causal: bool) -> jax.Array:
    """Softmax attention: (n, length, width) -> the same; with `causal`, nobody looks ahead."""
    n, length, width = x.shape
    query, key, value = jnp.moveaxis(
        dense(layer["qkv"], x).reshape(n, length, 3, heads, width // heads), 2, 0
    )
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, key).astype(jnp.float32) * (width // heads) ** -0.5
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
    mixed = jnp.einsum("nhqk,nkhd->nqhd", weights, value).reshape(n, length, width)
    return dense(layer["out"], mixed)


def blocks(
    params: Params,
    x: jax.Array,
    heads: int,
    causal: bool = False,
    drop: float = 0.0,
    key: Key | None = None,
) -> jax.Array:
    """All blocks one after the other: (n, length, width) -> the same."""
    for i in range(len(params)):
        block = params[f"block{i}"]
        mixed = attention(block, rms_norm(block["norm1"], x), heads, causal)
        x = x + dropout(part(key, 2 * i), drop, mixed)
        hidden = jax.nn.gelu(dense(block["up"], rms_norm(block["norm2"], x)))
        x = x + dropout(part(key, 2 * i + 1), drop, dense(block["down"], hidden))
    return x
