"""The family of generation: denoising diffusion, and an autoencoder of image patches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from proxy_tasks.batches import draw_batches
from proxy_tasks.data.images import (
    SHUFFLE_SEED,
    SIZES,
    ImageKnobs,
    cut,
    labelled_images,
    less_training,
    scaled,
)
from proxy_tasks.data.photographs import load_patches
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import data_of, number, whole
from proxy_tasks.layers import dense, dense_init, dropout, in_type, mean_over
from proxy_tasks.models.unet import unet, unet_init
from proxy_tasks.protocol import Batch, Batches, Data, Key, Params, Scalar, Split, Task, TaskData

FAMILY = "generation"
NOISE_SEED = 20_230_215
"""Of the noise on which programs are scored: arbitrary."""


def _draw(knobs: ImageKnobs, chance: bool, key: Key, data: Data, steps: int) -> Batches:
    return draw_batches(key, data["inputs"].shape[0], steps, knobs.batch, chance)


# ---------------------------------------------------------------------------------------- digits_diffusion


@dataclass(frozen=True)
class DiffusionKnobs(ImageKnobs):
    """A task of telling noise from image.

    Attributes:
        width: channels of the U-Net at full size, even for its norms.
        depth: residual blocks at half size.
    """

    batch: int = whole(16)
    width: int = whole(8, most=1024, least=2, multiple=2)
    depth: int = whole(1, most=64)


def build_digits_diffusion(knobs: DiffusionKnobs) -> Task:
    """Denoising diffusion: the network is shown x cos(a) + e sin(a), a in [0, pi/2], and says what e was."""
    errors = in_type(knobs.dtype, _diffusion_errors)
    return Task(
        name="digits_diffusion",
        family=FAMILY,
        metric="validation denoising loss (squared error of the noise)",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load_diffusion, knobs)),
        init=lambda key, data: unet_init(key, data["inputs"].shape[3], knobs.width, knobs.depth),
        draw=partial(_draw, knobs, True),
        loss=partial(_diffusion_loss, errors),
        evaluate=lambda params, data: mean_over(
            data, lambda e: errors(params, e["inputs"], e["time"], e["noise"])
        ),
    )


def _load_diffusion(knobs: DiffusionKnobs) -> TaskData:
    """Images, and the times and noise of the validation: times evenly spread over each split."""
    images = labelled_images(knobs)
    if images.pixels.shape[1] % 2 or images.pixels.shape[2] % 2:
        found = " x ".join(str(n) for n in images.pixels.shape[1:3])
        raise TaskError(f"expected images of an even height and width, found {found} pixels")
    parts = less_training(cut(images.labels), knobs.fraction)
    inputs = scaled(images.pixels, parts[Split.TRAIN], knobs.path)
    splits: dict[Split, Data] = {}
    for split, index in parts.items():
        rng = np.random.RandomState(NOISE_SEED)
        times = (rng.permutation(len(index)) + 0.5) / len(index)
        noise = rng.standard_normal((len(index), *inputs.shape[1:]))
        splits[split] = {
            "inputs": inputs[index],
            "time": times.astype(np.float32),
            "noise": noise.astype(np.float32),
        }
    return TaskData(splits, parts, chance=1.0)


def _diffusion_errors(params: Params, inputs: jax.Array, time: jax.Array, noise: jax.Array) -> jax.Array:
    """Mean squared error of the noise, float32 (n,)."""
    angle = (time * (math.pi / 2))[:, None, None, None]
    guess = unet(params, inputs * jnp.cos(angle) + noise * jnp.sin(angle), time)
    return jnp.mean((guess.astype(jnp.float32) - noise) ** 2, axis=(1, 2, 3))


def _diffusion_loss(errors: Callable[..., jax.Array], params: Params, data: Data, batch: Batch) -> Scalar:
    inputs = data["inputs"][batch["index"]]
    times, noises = jax.random.split(batch["key"])
    time = jax.random.uniform(times, (len(inputs),))
    return jnp.mean(errors(params, inputs, time, jax.random.normal(noises, inputs.shape)))


# -------------------------------------------------------------------------------------- patches_autoencoder


@dataclass(frozen=True)
class AutoencoderKnobs(ImageKnobs):
    """A task of squeezing patches of photographs through a few numbers.

    Attributes:
        path: Parquet, .npz or IDX files with images; None for patches of scikit-learn's two photographs.
        size: height and width of a patch; None for 8, or for a file's own.
        width: of the hidden layers.
        depth: hidden layers on each side.
        code: numbers in the middle.
        dropout: share of the hidden activations that are dropped in training.
    """

    width: int = whole(64, most=8192)
    depth: int = whole(1, most=64)
    code: int = whole(16, most=8192)
    dropout: float = number(0.0, 0.0, 0.9)


def build_patches_autoencoder(knobs: AutoencoderKnobs) -> Task:
    """Dense layers down to a code and up again."""
    errors = in_type(knobs.dtype, partial(_autoencoder_errors, knobs))
    return Task(
        name="patches_autoencoder",
        family=FAMILY,
        metric="validation squared error, relative to the variance of a pixel",
        steps=knobs.steps,
        batch_size=knobs.batch,
        data=data_of(knobs, partial(_load_patches, knobs)),
        init=partial(_autoencoder_init, knobs),
        draw=partial(_draw, knobs, knobs.dropout > 0),
        loss=lambda params, data, batch: jnp.mean(
            errors(params, data["inputs"][batch["index"]], batch.get("key"))
        ),
        evaluate=lambda params, data: mean_over(data["inputs"], lambda x: errors(params, x, None)),
    )


def _load_patches(knobs: AutoencoderKnobs) -> TaskData:
    """`inputs`, float32 (n, h, w, c); a region of a photograph is in one split only."""
    if knobs.path is None:
        if knobs.colour:
            raise TaskError("the bundled patches are grey: expected a 'path' with colour=true")
        patches = load_patches(knobs.size or 8)
        pixels, parts = patches.pixels, _by_region(patches.regions)
    else:
        images = labelled_images(knobs)
        pixels, parts = images.pixels, cut(images.labels)
    parts = less_training(parts, knobs.fraction)
    inputs = scaled(pixels, parts[Split.TRAIN], knobs.path)
    splits: dict[Split, Data] = {split: {"inputs": inputs[index]} for split, index in parts.items()}
    return TaskData(splits, parts, chance=1.0)


def _by_region(region: NDArray[np.int64]) -> dict[Split, NDArray[np.int64]]:
    """Shuffled regions in the proportions of `SIZES`; within a split the patches are shuffled."""
    rng = np.random.RandomState(SHUFFLE_SEED)
    regions = rng.permutation(np.unique(region))
    ends = np.cumsum(list(SIZES.values()))
    groups = np.split(regions, [round(len(regions) * end / ends[-1]) for end in ends[:-1]])
    return {
        split: rng.permutation(np.flatnonzero(np.isin(region, group)))
        for split, group in zip(SIZES, groups, strict=True)
    }


def _autoencoder_init(knobs: AutoencoderKnobs, key: Key, data: Data) -> Params:
    pixels = math.prod(data["inputs"].shape[1:])
    hidden = [knobs.width] * knobs.depth
    sizes = [pixels, *hidden, knobs.code, *hidden, pixels]
    keys = jax.random.split(key, len(sizes) - 1)
    layers = {f"layer{i}": dense_init(k, sizes[i], sizes[i + 1]) for i, k in enumerate(keys[:-1])}
    return {**layers, "out": dense_init(keys[-1], sizes[-2], pixels, 0.1)}


def _autoencoder_errors(
    knobs: AutoencoderKnobs, params: Params, inputs: jax.Array, key: Key | None
) -> jax.Array:
    """Mean squared error of the pixels, float32 (n,)."""
    wanted = inputs.reshape(len(inputs), -1)
    x = wanted
    for i in range(2 * knobs.depth + 1):
        x = dense(params[f"layer{i}"], x)
        if i != knobs.depth:  # the code itself is linear
            x = dropout(key if key is None else jax.random.fold_in(key, i), knobs.dropout, jax.nn.relu(x))
    return jnp.mean((dense(params["out"], x).astype(jnp.float32) - wanted) ** 2, axis=1)
