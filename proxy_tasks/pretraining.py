"""Networks trained beforehand: weights that a task starts from or keeps frozen.

They are kept on disk (`kept`) under a digest of all that they follow from: data, settings and versions.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from importlib.metadata import version

import jax
import numpy as np
import optax

from proxy_tasks.kept import Arrays, kept
from proxy_tasks.protocol import Batch, Data, Key, Params, Scalar

RECIPE = 1
"""Part of every digest; to be raised when what this file computes changes."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
SEED = 20_230_216


def pretrained(
    what: Mapping[str, object],
    data: Data,
    init: Callable[[Key], Params],
    draw: Callable[[Key], Batch],
    loss: Callable[[Params, Data, Batch], Scalar],
    steps: int,
) -> Params:
    """Weights after `steps` steps of AdamW with a cosine schedule, from the cache where it has them.

    Args:
        what: settings that the weights follow from besides the data, as JSON can hold them.
        data: arrays that `loss` reads.
        init: key -> weights.
        draw: key -> one batch.
        loss: (weights, data, batch) -> what is minimised.
        steps: how many.

    Returns:
        The tree of `init` as numpy arrays.
    """
    shapes = jax.eval_shape(init, jax.random.key(0))
    leaves = zip(_names(shapes), jax.tree.leaves(shapes), strict=True)
    stored = kept(
        "pretrained",
        _digest(what, data, steps),
        {name: (leaf.shape, leaf.dtype) for name, leaf in leaves},
        lambda: _flat(jax.device_get(_train(data, init, draw, loss, steps))),
    )
    return jax.tree.unflatten(jax.tree.structure(shapes), [stored[name] for name in _names(shapes)])


def _digest(what: Mapping[str, object], data: Data, steps: int) -> str:
    digest = hashlib.sha256()
    versions = {"jax": version("jax"), "jaxlib": version("jaxlib"), "threads": _threads()}
    facts = {**what, "steps": steps, "recipe": RECIPE, **versions}
    digest.update(json.dumps(facts, sort_keys=True).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(data):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)}:{array.dtype.str}{array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def _threads() -> str:
    """How many threads XLA may use: it splits sums among them, so the weights depend on it."""
    if hasattr(os, "sched_getaffinity"):
        return os.environ.get("NPROC") or str(len(os.sched_getaffinity(0)))
    return os.environ.get("NPROC") or str(os.cpu_count())


def _train(
    data: Data,
    init: Callable[[Key], Params],
    draw: Callable[[Key], Batch],
    loss: Callable[[Params, Data, Batch], Scalar],
    steps: int,
) -> Params:
    schedule = optax.warmup_cosine_decay_schedule(0.0, LEARNING_RATE, max(1, steps // 10), steps)
    optimizer = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)

    def train(key: Key, data: Data) -> Params:
        start, batches = jax.random.split(key)
        params = init(start)

        def step(
            carry: tuple[Params, optax.OptState], key: Key
        ) -> tuple[tuple[Params, optax.OptState], None]:
            params, state = carry
            gradient = jax.grad(loss)(params, data, draw(key))
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        begin = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, begin, jax.random.split(batches, steps))
        return params

    return jax.jit(train)(jax.random.key(SEED), data)


def _names(tree: Params) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree)]


def _flat(tree: Params) -> Arrays:
    return {name: np.asarray(leaf) for name, leaf in zip(_names(tree), jax.tree.leaves(tree), strict=True)}
