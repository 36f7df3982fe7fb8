"""Patches of the two photographs that come with scikit-learn, with the regions that they were cut from."""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.data.image_files import grey
from proxy_tasks.errors import TaskError
from proxy_tasks.kept import Arrays, kept

NAMES, SHAPE = ("china", "flower"), (427, 640, 3)
"""The photographs, and the shape of each."""

LARGEST_REGION = 64
"""A region is the largest square of at most so many pixels a side that patches fill without a rest."""


@dataclass(frozen=True)
class Patches:
    """Square pieces of photographs.

    Attributes:
        pixels: float32 (n, size, size, 1), grey, from 0 (black) to 1.
        regions: int64 (n,), the number of the square of the photograph that holds the patch. Patches of two
            regions share no pixel. Neighbours look alike, so cut splits by region, not by patch.
    """

    pixels: NDArray[np.float32]
    regions: NDArray[np.int64]


def load_patches(size: int) -> Patches:
    """Every `size` x `size` patch of the photographs, without overlap.

    They are china.jpg by danielbuechele and flower.jpg by vultilion, 427 x 640 pixels, CC BY 2.0. Patches and
    regions go from the top left, row by row, first through the one photograph and then through the other;
    what is left over at the right and at the bottom is not used.

    Args:
        size: pixels a side, from 1 to `LARGEST_REGION`.

    Raises:
        TaskError: there are no such patches.

    Example:
        patches = load_patches(8)
        patches.pixels.shape, patches.regions.max()            # (7680, 8, 8, 1), 119
    """
    if not 1 <= size <= LARGEST_REGION:
        raise TaskError(f"knob 'size': expected a whole number from 1 to {LARGEST_REGION}, found {size}")
    across = LARGEST_REGION // size
    pixels, regions, first = [], [], 0
    shapes = dict.fromkeys(NAMES, (SHAPE, np.uint8))
    stored = kept("data", f"photographs-{version('scikit-learn')}", shapes, _photographs)
    for photograph in (stored[name] for name in NAMES):
        down, right = (length // (across * size) for length in photograph.shape[:2])
        whole = grey(photograph[: down * across * size, : right * across * size]) / 255
        tiles = whole.reshape(down * across, size, right * across, size, 1).swapaxes(1, 2)
        pixels.append(tiles.reshape(-1, size, size, 1).astype(np.float32))
        numbers = first + np.arange(down * right).reshape(down, right)
        regions.append(numbers.repeat(across, 0).repeat(across, 1).ravel())
        first += down * right
    return Patches(np.concatenate(pixels), np.concatenate(regions))


def _photographs() -> Arrays:
    from sklearn.datasets import load_sample_images  # takes a second to import

    return dict(zip(NAMES, load_sample_images().images, strict=True))
