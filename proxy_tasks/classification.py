"""The family of image classification: which class an image shows, with any network of `models`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp

from proxy_tasks.batches import draw_batches
from proxy_tasks.data.images import TIE_BREAK, ImageKnobs, load_classification
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import data_of, number, whole
from proxy_tasks.layers import cross_entropy, in_type, mean_over, part, smoothed
from proxy_tasks.models.classifier import Classifier
from proxy_tasks.models.hybrid import hybrid
from proxy_tasks.models.mixer import mixer
from proxy_tasks.models.mlp import mlp
from proxy_tasks.models.resnet import resnet
from proxy_tasks.models.vit import vit
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Split, Task, TaskData

FAMILY = "image"
Apply: TypeAlias = Callable[[Params, jax.Array, Key | None], jax.Array]
"""As `Classifier.apply`."""
METRIC = f"validation error + {TIE_BREAK} x validation loss"


@dataclass(frozen=True)
class ClassificationKnobs(ImageKnobs):
    """A task of telling classes of images apart.

    Attributes:
        width: numbers that stand for a token, a pixel or the whole image inside the network.
        depth: blocks, or hidden layers.
        smoothing: share of the target that is spread over all classes in training.
        dropout: share of the activations that are dropped in training.
        shift: training images are moved by up to so many pixels each way.
    """

    width: int = whole(64, most=8192)
    depth: int = whole(1, most=64)
    smoothing: float = number(0.0, 0.0, 0.9)
    dropout: float = number(0.0, 0.0, 0.9)
    shift: int = whole(0, most=64, least=0)


@dataclass(frozen=True)
class TokenKnobs(ClassificationKnobs):
    """The same with images cut into square patches.

    Attributes:
        patch: height and width of a patch.
    """

    patch: int = whole(4, most=64)


@dataclass(frozen=True)
class AttentionKnobs(TokenKnobs):
    """The same with attention between the patches.

    Attributes:
        heads: of attention; they divide the width.
    """

    width: int = whole(16, most=8192)
    depth: int = whole(2, most=64)
    heads: int = whole(2, most=64)


@dataclass(frozen=True)
class MixerKnobs(TokenKnobs):
    """The same with dense layers across the patches."""

    width: int = whole(16, most=8192)
    depth: int = whole(2, most=64)


@dataclass(frozen=True)
class ResnetKnobs(ClassificationKnobs):
    """A residual network; `width` channels at full size, even for its norms."""

    batch: int = whole(32)
    width: int = whole(8, most=1024, least=2, multiple=2)
    depth: int = whole(2, most=64)


@dataclass(frozen=True)
class HybridKnobs(ClassificationKnobs):
    """Convolutions on a quarter of the pixels, attention on a sixteenth.

    Attributes:
        heads: of attention; they divide the width.
    """

    width: int = whole(16, most=8192, least=4, multiple=4)
    depth: int = whole(1, most=64)
    heads: int = whole(2, most=64)


def build_mlp(knobs: ClassificationKnobs) -> Task:
    """Hidden layers on the pixels."""
    return classification_task("digits_mlp", knobs, mlp(knobs.width, knobs.depth, knobs.dropout))


def build_vit(knobs: AttentionKnobs) -> Task:
    """A vision transformer."""
    heads_divide(knobs.heads, knobs.width)
    network = vit(knobs.width, knobs.depth, knobs.heads, knobs.patch, knobs.dropout)
    return classification_task("digits_vit", knobs, network)


def build_mixer(knobs: MixerKnobs) -> Task:
    """An MLP-Mixer."""
    return classification_task(
        "digits_mixer", knobs, mixer(knobs.width, knobs.depth, knobs.patch, knobs.dropout)
    )


def build_resnet(knobs: ResnetKnobs) -> Task:
    """A small residual network of convolutions."""
    return classification_task("digits_resnet", knobs, resnet(knobs.width, knobs.depth, knobs.dropout))


def build_hybrid(knobs: HybridKnobs) -> Task:
    """Convolutions first, attention after."""
    heads_divide(knobs.heads, knobs.width)
    return classification_task(
        "digits_hybrid", knobs, hybrid(knobs.width, knobs.depth, knobs.heads, knobs.dropout)
    )


def heads_divide(heads: int, width: int) -> None:
    """Refuse a number of heads that does not divide the width."""
    if width % heads:
        raise TaskError(f"knob 'heads': expected a divisor of width={width}, found {heads}")


def classification_task(
    name: str,
    knobs: ClassificationKnobs,
    network: Classifier,
    load: Callable[[], TaskData] | None = None,
    init: Callable[[Key, Data], Params] | None = None,
    family: str = FAMILY,
) -> Task:
    """A task of telling classes of images apart.

    Args:
        name: its row.
        knobs: its settings.
        network: a classifier.
        load: its data, `inputs` and `targets`; by default those of the knobs.
        init: as of a task; by default the network's own.
        family: what kind of task it is.
    """
    apply = in_type(knobs.dtype, network.apply)
    return Task(
        name=name,
        family=family,
        metric=METRIC,
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load, load or partial(load_classification, knobs), network)),
        init=init or partial(_init, network),
        draw=partial(_draw, knobs),
        loss=partial(_loss, knobs, apply),
        evaluate=partial(_evaluate, apply),
    )


def _load(load: Callable[[], TaskData], network: Classifier) -> TaskData:
    data = load()
    shape = data.splits[Split.TRAIN]["inputs"].shape[1:]
    expected = network.fits(shape)
    if expected:
        raise TaskError(f"expected images of {expected}, found {shape[0]} x {shape[1]} pixels")
    return data


def _init(network: Classifier, key: Key, data: Data) -> Params:
    return network.init(key, data["inputs"].shape[1:], data["targets"].shape[1])


def _draw(knobs: ClassificationKnobs, key: Key, data: Data, steps: int) -> Batches:
    chance = knobs.dropout > 0 or knobs.shift > 0
    return draw_batches(key, data["inputs"].shape[0], steps, knobs.batch, chance)


def _loss(knobs: ClassificationKnobs, apply: Apply, params: Params, data: Data, batch: Batch) -> Scalar:
    inputs, targets = (data[name][batch["index"]] for name in ("inputs", "targets"))
    key = batch.get("key")
    if knobs.shift:
        inputs = _shifted(part(batch["key"], 0), inputs, knobs.shift)
    logits = apply(params, inputs, part(key, 1))
    return jnp.mean(cross_entropy(logits, smoothed(targets, knobs.smoothing)))


def _shifted(key: Key, images: jax.Array, most: int) -> jax.Array:
    """Each image moved by up to `most` pixels each way; what comes in repeats the border."""
    n, *shape = images.shape
    padded = jnp.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    offsets = jax.random.randint(key, (n, 2), 0, 2 * most + 1)

    def move(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), shape)

    return jax.vmap(move)(padded, offsets)


def _evaluate(apply: Apply, params: Params, data: Data) -> Scalar:
    def each(examples: Data) -> jax.Array:
        logits = apply(params, examples["inputs"], None)
        wrong = jnp.argmax(logits, axis=1) != jnp.argmax(examples["targets"], axis=1)
        return wrong + TIE_BREAK * cross_entropy(logits, examples["targets"])

    return mean_over({name: data[name] for name in ("inputs", "targets")}, each)
