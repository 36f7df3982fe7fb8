"""The masked language model: say which tokens were hidden, from those on both sides (Devlin et al., 2019).

Of the chosen tokens 80 % are shown as a mask, 10 % as another token, 10 % as they are; only they count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from proxy_tasks.data.text import load_windows
from proxy_tasks.knobs import data_of, number, whole
from proxy_tasks.language import (
    FAMILY,
    TransformerKnobs,
    draw_windows,
    heads_divide,
    transformer,
    transformer_init,
    windows,
)
from proxy_tasks.layers import cross_entropy, in_type, mean_over, part, smoothed
from proxy_tasks.protocol import Batch, Data, Key, Params, Scalar, Split, Task, TaskData

METRIC = "validation loss (nats a masked token)"
MASK_SEED = 20_230_214
"""Of the masks on which programs are scored: arbitrary."""


@dataclass(frozen=True)
class MaskedKnobs(TransformerKnobs):
    """A task of guessing hidden tokens.

    Attributes:
        masked: share of the tokens that are to be guessed.
    """

    steps: int = whole(400, most=10_000_000)
    context: int = whole(16, most=4096)
    masked: float = number(0.2, 0.01, 0.9)


def build_char_masked(knobs: MaskedKnobs) -> Task:
    """A transformer that looks both ways."""
    heads_divide(knobs)
    losses = in_type(knobs.dtype, partial(_losses, knobs))
    return Task(
        name="char_masked",
        family=FAMILY,
        metric=METRIC,
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load, knobs)),
        init=partial(transformer_init, knobs, knobs.symbols + 1),
        draw=partial(draw_windows, knobs, knobs.context, True),
        loss=partial(_loss, knobs, losses),
        evaluate=partial(_evaluate, losses),
    )


def _load(knobs: MaskedKnobs) -> TaskData:
    """Windows as for the other language tasks, each with the fixed numbers that decide what is hidden."""
    data = load_windows(knobs, predicted=max(1, round(knobs.masked * knobs.context)), window=knobs.context)
    splits = {}
    for split in Split:
        arrays = data.splits[split]
        rng = np.random.RandomState(MASK_SEED)
        fate = rng.random_sample((len(arrays["starts"]), knobs.context, 2)).astype(np.float32)
        other = rng.randint(0, knobs.symbols, fate.shape[:2]).astype(np.int32)
        splits[split] = {**arrays, "fate": fate, "other": other}
    return TaskData(splits, data.identity, data.chance)


def _losses(
    knobs: MaskedKnobs,
    params: Params,
    codes: jax.Array,
    starts: jax.Array,
    fate: jax.Array,
    other: jax.Array,
    key: Key | None,
    smoothing: float,
) -> tuple[jax.Array, jax.Array]:
    """Summed nats and number of the hidden tokens of each window.

    Args:
        starts: int32 (n,).
        fate: float32 (n, context, 2) in [0, 1): whether a token is chosen, and what it is shown as.
        other: int32 (n, context), the token that may be shown instead.
    """
    tokens = windows(codes, starts, knobs.context)
    chosen = fate[..., 0] < knobs.masked
    shown = jnp.where(fate[..., 1] < 0.8, knobs.symbols, jnp.where(fate[..., 1] < 0.9, other, tokens))
    logits = transformer(knobs, False, params, jnp.where(chosen, shown, tokens), key)
    targets = smoothed(jax.nn.one_hot(tokens, knobs.symbols, dtype=jnp.float32), smoothing)
    # Multiplied and not selected, so that a loss that is not finite shows.
    return jnp.sum(cross_entropy(logits, targets) * chosen, axis=1), jnp.sum(chosen, axis=1)


def _loss(
    knobs: MaskedKnobs,
    losses: Callable[..., tuple[jax.Array, jax.Array]],
    params: Params,
    data: Data,
    batch: Batch,
) -> Scalar:
    fates, others, drop = (part(batch["key"], place) for place in range(3))
    shape = (knobs.batch, knobs.context)
    nats, counts = losses(
        params,
        data["codes"],
        batch["start"],
        jax.random.uniform(fates, (*shape, 2)),
        jax.random.randint(others, shape, 0, knobs.symbols, jnp.int32),
        drop if knobs.dropout else None,
        knobs.smoothing,
    )
    return jnp.sum(nats) / jnp.maximum(jnp.sum(counts), 1)


def _evaluate(losses: Callable[..., tuple[jax.Array, jax.Array]], params: Params, data: Data) -> Scalar:
    examples = {name: data[name] for name in ("starts", "fate", "other")}

    def each(which: int) -> Callable[[Data], jax.Array]:
        return lambda e: losses(params, data["codes"], e["starts"], e["fate"], e["other"], None, 0.0)[which]

    return mean_over(examples, each(0)) / mean_over(examples, each(1))
