"""The family of image-text contrast: images and their captions get like vectors (CLIP, 2021; LiT, 2022).

    logits_ij = s <f(image_i), h(caption_j)>,  f and h of length one
    loss = (cross entropy of the rows + cross entropy of the columns) / 2

Captions that are the same word for word are each other's right answers too. What is scored is zero-shot: the
class whose captions, all of them averaged, are nearest to the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from proxy_tasks.batches import draw_batches
from proxy_tasks.classification import heads_divide
from proxy_tasks.data.captions import captions_of
from proxy_tasks.data.images import (
    TIE_BREAK,
    ImageKnobs,
    cut,
    error_of_a_guess,
    labelled_images,
    less_training,
    scaled,
)
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import data_of, number, whole
from proxy_tasks.layers import cross_entropy, dense, dense_init, in_type, mean_over, normal, part, rms_norm
from proxy_tasks.models.attention import blocks, blocks_init
from proxy_tasks.models.classifier import Classifier
from proxy_tasks.models.mlp import hidden_layers, mlp
from proxy_tasks.models.vit import vit
from proxy_tasks.pretraining import pretrained
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Split, Task, TaskData

FAMILY = "image-text"
METRIC = f"zero-shot validation error + {TIE_BREAK} x its loss"
SCALE = 10.0
"""s at the start."""

Tower: TypeAlias = Callable[[Params, jax.Array, Key | None], jax.Array]
"""(weights, images, key for dropout) -> (n, length of the common vectors)."""


@dataclass(frozen=True)
class TowerKnobs(ImageKnobs):
    """A task of matching images and captions, with a transformer for the captions.

    Attributes:
        width: numbers that stand for a word, or a patch, inside the transformers.
        depth: blocks.
        heads: of attention; they divide the width.
        dropout: share of the activations that are dropped in training.
    """

    width: int = whole(16, most=8192)
    depth: int = whole(1, most=64)
    heads: int = whole(2, most=64)
    dropout: float = number(0.0, 0.0, 0.9)


@dataclass(frozen=True)
class ContrastiveKnobs(TowerKnobs):
    """Two towers, both transformers of the same size.

    Attributes:
        patch: height and width of a patch.
        vector: length of the vectors that images and captions become.
    """

    patch: int = whole(4, most=64)
    vector: int = whole(16, most=4096)


@dataclass(frozen=True)
class LockedKnobs(TowerKnobs):
    """The same with an image tower that was trained beforehand and stays so; only the text tower learns.

    Attributes:
        features: numbers that the image tower says of an image.
        pretraining: training steps of the image tower, a classifier with one hidden layer.
    """

    steps: int = whole(100, most=10_000_000)
    features: int = whole(32, most=4096)
    pretraining: int = whole(500, most=10_000_000, least=10)


def build_contrastive(knobs: ContrastiveKnobs) -> Task:
    """Both towers learn."""
    heads_divide(knobs.heads, knobs.width)
    network = vit(knobs.width, knobs.depth, knobs.heads, knobs.patch, knobs.dropout)

    def init(key: Key, data: Data) -> Params:
        image, text = jax.random.split(key)
        return {
            "image": network.init(image, data["inputs"].shape[1:], knobs.vector),
            "text": _text_init(knobs, knobs.vector, text, data),
            "scale": jnp.log(jnp.array([SCALE], jnp.float32)),
        }

    def tower(params: Params, images: jax.Array, key: Key | None) -> jax.Array:
        return network.apply(params["image"], images, key)

    return _task("digits_contrastive", knobs, partial(_load, knobs, network), init, tower)


def build_locked(knobs: LockedKnobs) -> Task:
    """Only the text tower learns."""
    heads_divide(knobs.heads, knobs.width)

    def init(key: Key, data: Data) -> Params:
        return {
            "text": _text_init(knobs, knobs.features, key, data),
            "scale": jnp.log(jnp.array([SCALE], jnp.float32)),
        }

    def tower(_params: Params, features: jax.Array, _key: Key | None) -> jax.Array:
        return features

    return _task("digits_locked", knobs, partial(_load_locked, knobs), init, tower)


def _task(
    name: str,
    knobs: TowerKnobs,
    load: Callable[[], TaskData],
    init: Callable[[Key, Data], Params],
    tower: Tower,
) -> Task:
    return Task(
        name=name,
        family=FAMILY,
        metric=METRIC,
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, load),
        init=init,
        draw=partial(_draw, knobs),
        loss=in_type(knobs.dtype, partial(_loss, knobs, tower)),
        evaluate=in_type(knobs.dtype, partial(_evaluate, knobs, tower)),
    )


def _load(knobs: TowerKnobs, network: Classifier) -> TaskData:
    """`inputs`, `words` int32 (n, length), `label` int32 (n,); `prompts` and `symbols` are in all splits."""
    images = labelled_images(knobs)
    expected = network.fits(images.pixels.shape[1:])
    if expected:
        found = " x ".join(str(n) for n in images.pixels.shape[1:3])
        raise TaskError(f"expected images of {expected}, found {found} pixels")
    parts = less_training(cut(images.labels), knobs.fraction)
    captions = captions_of(images.pixels, images.labels, parts[Split.TRAIN])
    inputs = scaled(images.pixels, parts[Split.TRAIN], knobs.path)
    shared = {"prompts": captions.prompts, "symbols": np.arange(captions.symbols, dtype=np.int32)}
    splits: dict[Split, Data] = {
        split: {
            "inputs": inputs[index],
            "words": captions.words[index],
            "label": images.labels[index].astype(np.int32),
            **shared,
        }
        for split, index in parts.items()
    }
    return TaskData(splits, parts, chance=error_of_a_guess(len(captions.prompts)))


def _load_locked(knobs: LockedKnobs) -> TaskData:
    """As `_load`, with what the locked tower says of each image as `inputs`."""
    network = mlp(knobs.features, 1)
    data = _load(knobs, network)
    train = data.splits[Split.TRAIN]
    classes = len(train["prompts"])
    source = {"inputs": train["inputs"], "targets": np.eye(classes, dtype=np.float32)[train["label"]]}

    def draw(key: Key) -> Batch:
        return jax.random.randint(key, (64,), 0, len(source["inputs"]))

    def loss(params: Params, data: Data, index: Batch) -> Scalar:
        logits = network.apply(params, data["inputs"][index], None)
        return jnp.mean(cross_entropy(logits, data["targets"][index]))

    shape = train["inputs"].shape[1:]
    what = {"network": "mlp", "width": knobs.features}
    weights = pretrained(
        what, source, lambda key: network.init(key, shape, classes), draw, loss, knobs.pretraining
    )
    see = jax.jit(lambda images: hidden_layers(weights, 1, images))
    splits = {s: {**arrays, "inputs": np.asarray(see(arrays["inputs"]))} for s, arrays in data.splits.items()}
    return TaskData(splits, data.identity, data.chance)


def _draw(knobs: TowerKnobs, key: Key, data: Data, steps: int) -> Batches:
    return draw_batches(key, data["inputs"].shape[0], steps, knobs.batch, knobs.dropout > 0)


def _text_init(knobs: TowerKnobs, vector: int, key: Key, data: Data) -> Params:
    table, positions, body, head = jax.random.split(key, 4)
    return {
        "embedding": normal(table, (data["symbols"].shape[0], knobs.width), 0.5),
        "positions": normal(positions, (data["words"].shape[1], knobs.width), 0.1),
        "body": blocks_init(body, knobs.depth, knobs.width, 4 * knobs.width),
        "norm": jnp.ones(knobs.width, jnp.float32),
        "head": dense_init(head, knobs.width, vector, bias=False),
    }


def _text_tower(knobs: TowerKnobs, params: Params, words: jax.Array, key: Key | None) -> jax.Array:
    """int32 (n, length) -> (n, vector)."""
    x = params["embedding"][words] + params["positions"]
    x = blocks(params["body"], x, knobs.heads, drop=knobs.dropout, key=key)
    return dense(params["head"], jnp.mean(rms_norm(params["norm"], x), axis=1))


def _unit(x: jax.Array) -> jax.Array:
    """Vectors of length one; of length zero they stay."""
    x = x.astype(jnp.float32)
    unit: jax.Array = x * jax.lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)
    return unit


def _scale(params: Params) -> jax.Array:
    return jnp.exp(params["scale"][0].astype(jnp.float32))


def _loss(knobs: TowerKnobs, tower: Tower, params: Params, data: Data, batch: Batch) -> Scalar:
    images, words = (data[name][batch["index"]] for name in ("inputs", "words"))
    key = batch.get("key")
    seen = _unit(tower(params, images, part(key, 0)))
    read = _unit(_text_tower(knobs, params["text"], words, part(key, 1)))
    logits = _scale(params) * seen @ read.T
    same = jnp.all(words[:, None] == words[None], axis=2).astype(jnp.float32)
    targets = same / jnp.sum(same, axis=1, keepdims=True)
    return 0.5 * jnp.mean(cross_entropy(logits, targets) + cross_entropy(logits.T, targets))


def _evaluate(knobs: TowerKnobs, tower: Tower, params: Params, data: Data) -> Scalar:
    classes, prompts, length = data["prompts"].shape
    every = _unit(_text_tower(knobs, params["text"], data["prompts"].reshape(-1, length), None))
    means = _unit(jnp.mean(every.reshape(classes, prompts, -1), axis=1))

    def each(examples: Data) -> jax.Array:
        logits = _scale(params) * _unit(tower(params, examples["inputs"], None)) @ means.T
        nats = cross_entropy(logits, jax.nn.one_hot(examples["label"], classes, dtype=jnp.float32))
        wrong = jnp.argmax(logits, axis=1) != examples["label"]
        scores: jax.Array = wrong + TIE_BREAK * nats
        return scores

    return mean_over({name: data[name] for name in ("inputs", "label")}, each)
