"""Patches of photographs: where they come from, and that regions share nothing."""

import re

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from proxy_tasks.data.photographs import LARGEST_REGION, load_patches
from proxy_tasks.errors import TaskError

LUMA = [photograph @ [0.299, 0.587, 0.114] / 255 for photograph in load_sample_images().images]


@pytest.mark.parametrize("size", [3, 8, 12, 28, 64])
def test_patches_lie_side_by_side(size):
    patches = load_patches(size)
    side = LARGEST_REGION // size * size
    found = iter(patches.pixels)
    for image in LUMA:
        height, width = (length // side * side for length in image.shape)
        for top in range(0, height, size):
            for left in range(0, width, size):
                expected = image[top : top + size, left : left + size]
                assert np.abs(next(found)[..., 0] - expected).max() < 1e-6
    assert next(found, None) is None


@pytest.mark.parametrize("size", [3, 8, 28, 64])
def test_regions_are_squares_of_one_photograph(size):
    across = LARGEST_REGION // size
    regions = load_patches(size).regions
    grids = [[length // (across * size) for length in image.shape] for image in LUMA]
    first = 0
    for down, right in grids:
        numbers = regions[first * across**2 :][: down * right * across**2]
        blocks = numbers.reshape(down, across, right, across).swapaxes(1, 2).reshape(down * right, -1)
        assert (blocks == first + np.arange(down * right)[:, None]).all()
        first += down * right
    assert regions.max() == first - 1
    assert len(regions) == first * across**2


def test_patches_are_as_documented():
    patches = load_patches(8)
    assert (patches.pixels.shape, patches.pixels.dtype) == ((7680, 8, 8, 1), np.float32)
    assert (patches.regions.shape, patches.regions.dtype) == ((7680,), np.int64)
    assert (patches.pixels.min(), patches.pixels.max()) == (0, 1)
    assert patches.regions.max() == 119
    again = load_patches(8)
    assert (patches.pixels == again.pixels).all()
    assert (patches.regions == again.regions).all()


@pytest.mark.parametrize("size", [0, -8, 65])
def test_a_size_that_cannot_be(size):
    message = f"knob 'size': expected a whole number from 1 to 64, found {size}"
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        load_patches(size)
