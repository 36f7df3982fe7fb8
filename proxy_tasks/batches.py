"""What is random about the steps of a training, drawn for all steps at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from proxy_tasks.protocol import Batches, Key


def draw_batches(key: Key, count: int, steps: int, batch: int, chance: bool, name: str = "index") -> Batches:
    """Minibatches, uniform with replacement.

    Epochs of shuffles take eight times as long to draw, a third of a short training more, and narrow the
    spread of the scores over seeds by a tenth at best: more seeds do that for less.

    Args:
        key: decides everything.
        count: how many examples there are.
        steps: how many batches.
        batch: examples in each.
        chance: whether the steps need keys of their own, for dropout, noise or augmentation.
        name: of the examples' numbers.

    Returns:
        {name: int32 (steps, batch)}, and with `chance` "key": keys (steps,).
    """
    drawn = {name: jax.random.randint(key, (steps, batch), 0, count, jnp.int32)}
    return {**drawn, "key": jax.random.split(jax.random.fold_in(key, 1), steps)} if chance else drawn
