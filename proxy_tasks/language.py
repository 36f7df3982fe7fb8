"""The family of language: predict the next token from those before it, with a few kinds of network.

`char_mlp` predicts one token from a window; the others predict each token of a window from those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp

from proxy_tasks.batches import draw_batches
from proxy_tasks.data.text import TextKnobs, load_windows
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import data_of, number, whole
from proxy_tasks.layers import (
    cross_entropy,
    dense,
    dense_init,
    dropout,
    in_type,
    mean_over,
    normal,
    part,
    rms_norm,
    smoothed,
)
from proxy_tasks.models.attention import blocks, blocks_init
from proxy_tasks.models.gru import gru, gru_init
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Task, TaskData

FAMILY = "language"
METRIC = "validation loss (nats a token)"
EMBEDDING_SIZE = 0.5
"""Standard deviation of the embeddings at the start; at 1 char_mlp ends 0.03 nats higher after 200 steps."""

Network: TypeAlias = Callable[[Params, jax.Array, Key | None], jax.Array]
"""(weights, tokens int32 (n, context), key for dropout or None) -> logits (n, predicted, symbols) of the last
`predicted` next tokens."""


@dataclass(frozen=True)
class LanguageKnobs(TextKnobs):
    """A task of predicting tokens.

    Attributes:
        width: numbers that stand for a token or a state inside the network.
        depth: hidden layers or blocks.
        dropout: share of the activations that are dropped in training.
        smoothing: share of the target that is spread over all tokens in training.
    """

    width: int = whole(64, most=8192)
    depth: int = whole(1, most=64)
    dropout: float = number(0.0, 0.0, 0.9)
    smoothing: float = number(0.0, 0.0, 0.9)


@dataclass(frozen=True)
class CharMlpKnobs(LanguageKnobs):
    """The same with an embedding for each token and one number for each of its coordinates and place.

    Attributes:
        embedding: numbers that stand for a token.
    """

    embedding: int = whole(8, most=8192)


@dataclass(frozen=True)
class GruKnobs(LanguageKnobs):
    """The same with a recurrent network."""

    batch: int = whole(16)
    context: int = whole(24, most=4096)
    width: int = whole(32, most=8192)


@dataclass(frozen=True)
class TransformerKnobs(LanguageKnobs):
    """The same with attention.

    Attributes:
        heads: of attention; they divide the width.
    """

    batch: int = whole(16)
    context: int = whole(24, most=4096)
    width: int = whole(24, most=8192)
    heads: int = whole(2, most=64)


def heads_divide(knobs: TransformerKnobs) -> None:
    """Refuse a number of heads that does not divide the width."""
    if knobs.width % knobs.heads:
        raise TaskError(f"knob 'heads': expected a divisor of width={knobs.width}, found {knobs.heads}")


# ---------------------------------------------------------------------------------------------- char_mlp


def build_char_mlp(knobs: CharMlpKnobs) -> Task:
    """p(x_c+1) = softmax(silu(... silu(E[x_1 ... x_c] W1 + b1) ...) W + b).

    SiLU and not tanh, ReLU or GELU: it learned most in 200 steps, and costs about what tanh does.
    """
    return language_task("char_mlp", knobs, partial(_mlp_init, knobs), partial(_mlp, knobs), predicted=1)


def _mlp_init(knobs: CharMlpKnobs, key: Key, _data: Data) -> Params:
    table, *hidden, out = jax.random.split(key, 2 + knobs.depth)
    sizes = [knobs.context * knobs.embedding] + [knobs.width] * knobs.depth
    layers = {f"hidden{i}": dense_init(k, sizes[i], knobs.width) for i, k in enumerate(hidden)}
    return {
        "embedding": normal(table, (knobs.symbols, knobs.embedding), EMBEDDING_SIZE),
        **layers,
        "out": dense_init(out, knobs.width, knobs.symbols),
    }


def _mlp(knobs: CharMlpKnobs, params: Params, tokens: jax.Array, key: Key | None) -> jax.Array:
    x = params["embedding"][tokens].reshape(len(tokens), -1)
    for i in range(knobs.depth):
        x = dropout(part(key, i), knobs.dropout, jax.nn.silu(dense(params[f"hidden{i}"], x)))
    return dense(params["out"], x)[:, None]


# -------------------------------------------------------------------------------------- char_transformer


def build_char_transformer(knobs: TransformerKnobs) -> Task:
    """A decoder-only transformer."""
    heads_divide(knobs)
    init, apply = partial(transformer_init, knobs, knobs.symbols), partial(transformer, knobs, True)
    return language_task("char_transformer", knobs, init, apply, predicted=knobs.context)


def transformer_init(knobs: TransformerKnobs, symbols: int, key: Key, _data: Data) -> Params:
    """Embeddings, learned positions, blocks, norm, and a head of its own."""
    table, positions, body, head = jax.random.split(key, 4)
    return {
        "embedding": normal(table, (symbols, knobs.width), EMBEDDING_SIZE),
        "positions": normal(positions, (knobs.context, knobs.width), 0.1),
        "body": blocks_init(body, knobs.depth, knobs.width, 4 * knobs.width),
        "norm": jnp.ones(knobs.width, jnp.float32),
        "head": dense_init(head, knobs.width, knobs.symbols, 0.1),
    }


def transformer(
    knobs: TransformerKnobs, causal: bool, params: Params, tokens: jax.Array, key: Key | None
) -> jax.Array:
    """Logits at each place: int32 (n, context) -> (n, context, symbols)."""
    x = params["embedding"][tokens] + params["positions"]
    x = blocks(params["body"], x, knobs.heads, causal, knobs.dropout, key)
    return dense(params["head"], rms_norm(params["norm"], x))


# ---------------------------------------------------------------------------------------------- char_gru


def build_char_gru(knobs: GruKnobs) -> Task:
    """A recurrent network with gates."""
    return language_task(
        "char_gru", knobs, partial(_gru_init, knobs), partial(_gru, knobs), predicted=knobs.context
    )


def _gru_init(knobs: GruKnobs, key: Key, _data: Data) -> Params:
    table, head, *layers = jax.random.split(key, 2 + knobs.depth)
    return {
        "embedding": normal(table, (knobs.symbols, knobs.width), EMBEDDING_SIZE),
        **{f"gru{i}": gru_init(k, knobs.width, knobs.width) for i, k in enumerate(layers)},
        "head": dense_init(head, knobs.width, knobs.symbols, 0.1),
    }


def _gru(knobs: GruKnobs, params: Params, tokens: jax.Array, key: Key | None) -> jax.Array:
    x = params["embedding"][tokens]
    for i in range(knobs.depth):
        x = dropout(part(key, i), knobs.dropout, gru(params[f"gru{i}"], x))
    return dense(params["head"], x)


# ------------------------------------------------------------------------------------------------ shared


def language_task(
    name: str,
    knobs: LanguageKnobs,
    init: Callable[[Key, Data], Params],
    network: Network,
    predicted: int,
    load: Callable[[], TaskData] | None = None,
    family: str = FAMILY,
) -> Task:
    """A task of predicting the last `predicted` tokens of each window.

    Args:
        name: its row.
        knobs: its settings.
        init: as of a task.
        network: see `Network`.
        predicted: how many tokens of a window count.
        load: its data; by default the text of the knobs.
        family: what kind of task it is.
    """
    nats = in_type(knobs.dtype, partial(_nats, knobs, network, predicted))
    return Task(
        name=name,
        family=family,
        metric=METRIC,
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, load or partial(load_windows, knobs, predicted, knobs.context + 1)),
        init=init,
        draw=partial(draw_windows, knobs, knobs.context + 1, knobs.dropout > 0),
        loss=partial(_loss, nats, knobs.smoothing),
        evaluate=partial(_evaluate, nats),
    )


def draw_windows(
    knobs: LanguageKnobs, window: int, chance: bool, key: Key, data: Data, steps: int
) -> Batches:
    """Where windows start, int32 (steps, batch), uniform with replacement."""
    starts = data["codes"].shape[0] - window + 1
    return draw_batches(key, starts, steps, knobs.batch, chance, name="start")


def windows(codes: jax.Array, starts: jax.Array, length: int) -> jax.Array:
    """Consecutive tokens: (n,) starts -> int32 (n, length)."""
    return codes[starts[:, None] + jnp.arange(length)].astype(jnp.int32)


def _nats(
    knobs: LanguageKnobs,
    network: Network,
    predicted: int,
    params: Params,
    codes: jax.Array,
    starts: jax.Array,
    key: Key | None,
    smoothing: float,
) -> jax.Array:
    """Mean nats of the predicted tokens of each window: int32 (n,) -> float32 (n,)."""
    tokens = windows(codes, starts, knobs.context + 1)
    logits = network(params, tokens[:, : knobs.context], key)
    targets = smoothed(jax.nn.one_hot(tokens[:, -predicted:], knobs.symbols, dtype=jnp.float32), smoothing)
    return jnp.mean(cross_entropy(logits, targets), axis=1)


def _loss(
    nats: Callable[..., jax.Array], smoothing: float, params: Params, data: Data, batch: Batch
) -> Scalar:
    return jnp.mean(nats(params, data["codes"], batch["start"], batch.get("key"), smoothing))


def _evaluate(nats: Callable[..., jax.Array], params: Params, data: Data) -> Scalar:
    return mean_over(data["starts"], lambda starts: nats(params, data["codes"], starts, None, 0.0))
