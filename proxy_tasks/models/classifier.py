"""What a classifier of images is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import jax

from proxy_tasks.protocol import Key, Params

Shape: TypeAlias = tuple[int, int, int]
"""Height, width and channels of an image."""


@dataclass(frozen=True)
class Classifier:
    """A network from images to logits.

    Attributes:
        init: (key, shape of an image, number of classes) -> weights.
        apply: (weights, images (n, h, w, c), key for dropout or None) -> logits (n, classes).
        fits: what is wrong with a shape of images, in words, or None.
    """

    init: Callable[[Key, Shape, int], Params]
    apply: Callable[[Params, jax.Array, Key | None], jax.Array]
    fits: Callable[[Shape], str | None] = lambda _: None


def cuts_into_patches(shape: Shape, patch: int) -> str | None:
    """What is wrong with images of this shape for square patches, or None."""
    height, width, _ = shape
    if height % patch or width % patch:
        return f"a height and width that patch={patch} divides"
    return None


def patches(images: jax.Array, patch: int) -> jax.Array:
    """Square patches as rows of numbers: (n, h, w, c) -> (n, h w / patch^2, patch^2 c)."""
    n, h, w, c = images.shape
    grid = images.reshape(n, h // patch, patch, w // patch, patch, c)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, (h // patch) * (w // patch), patch * patch * c)
