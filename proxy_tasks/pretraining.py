"""Networks trained beforehand: weights that a task starts from or keeps frozen, cached by content.

The cache is the folder `EVOSEARCH_CACHE`, or `~/.cache/evosearch`. A file's name is a digest of all that its
weights follow from: data, settings and versions. So nothing in it can be out of date, and it may be deleted
at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from proxy_tasks.protocol import Batch, Data, Key, Params, Scalar

RECIPE = 1
"""Part of every digest; to be raised when what this file computes changes."""
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
SEED = 20_230_216

Flat = dict[str, NDArray[np.float32]]


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
    place = cache_folder() / "pretrained" / f"{_digest(what, data, steps)}.npz"
    shapes = jax.eval_shape(init, jax.random.key(0))
    stored = _read(place, shapes)
    if stored is None:
        stored = _flat(jax.device_get(_train(data, init, draw, loss, steps)))
        _write(place, stored)
    leaves = [stored[name] for name in _names(shapes)]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def cache_folder() -> Path:
    """Where weights are kept."""
    named = os.environ.get("EVOSEARCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "evosearch"


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


def _flat(tree: Params) -> Flat:
    return {name: np.asarray(leaf) for name, leaf in zip(_names(tree), jax.tree.leaves(tree), strict=True)}


def _read(place: Path, shapes: Params) -> Flat | None:
    """The stored weights; None where there are none, or the file is not whole and they are made again."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
    except Exception:  # a damaged archive can raise almost anything, and what to do is the same
        return None
    leaves = zip(_names(shapes), jax.tree.leaves(shapes), strict=True)
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in leaves}
    found = {name: (array.shape, array.dtype) for name, array in stored.items()}
    return stored if found == expected else None


def _write(place: Path, flat: Flat) -> None:
    """Write in one move, so that another process sees all of it or nothing.

    A cache that can't be written to is no reason to fail: the weights are made again the next time.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            np.savez(Path(folder) / place.name, **flat)  # type: ignore[arg-type]
            os.replace(Path(folder) / place.name, place)
    except OSError:
        return
