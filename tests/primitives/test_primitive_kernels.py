"""Edges of the kernels that the comparison with the reference states less clearly."""

import jax.numpy as jnp
import numpy as np
import pytest

from primitives import BY_NAME, TreeSpace

SPACE = TreeSpace(((2,), (1,)))
TREE = (jnp.float32([3.0, 0.0]), jnp.float32([-4.0]))  # norm 5
ZERO = (jnp.zeros(2), jnp.zeros(1))
INF, NAN = np.inf, np.nan


def clip(x, bound) -> list[float]:
    return np.concatenate(BY_NAME["clip"].kernel(SPACE, x, jnp.float32(bound))).tolist()


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (10.0, [3, 0, -4]),
        (5.0, [3, 0, -4]),
        (2.5, [1.5, 0, -2]),
        (0.0, [0, 0, 0]),
        (-1.0, [0, 0, 0]),
        (-INF, [0, 0, 0]),
        (INF, [3, 0, -4]),
        (NAN, [NAN, NAN, NAN]),
    ],
)
def test_clip_by_bound(bound, expected):
    np.testing.assert_allclose(clip(TREE, bound), expected)


@pytest.mark.parametrize("bound", [1.0, 0.0, -1.0, INF])
def test_clip_leaves_the_zero_tree_alone(bound):
    assert clip(ZERO, bound) == [0, 0, 0]


@pytest.mark.parametrize(
    ("numbers", "bound", "expected"),
    [
        ([1e25, 0.0, -1e25], 1.0, [0, 0, 0]),  # the norm overflows
        ([1e25, 0.0, -1e25], INF, [1e25, 0, -1e25]),
        ([INF, 1.0, 2.0], 1.0, [NAN, 0, 0]),
        ([INF, 1.0, 2.0], INF, [INF, 1, 2]),
        ([NAN, 1.0, 2.0], 1.0, [NAN, NAN, NAN]),
    ],
)
def test_clip_with_a_norm_that_is_not_finite(numbers, bound, expected):
    x = (jnp.float32(numbers[:2]), jnp.float32(numbers[2:]))
    np.testing.assert_allclose(clip(x, bound), expected, rtol=1e-6)


@pytest.mark.parametrize("bound", [0.01, 0.3, 1.0, 4.9])
def test_clip_keeps_the_norm_within_the_bound(bound):
    assert np.linalg.norm(clip(TREE, bound)) <= bound * (1 + 1e-6)


def test_cosine_with_a_zero_tree_is_zero():
    cosine = BY_NAME["cosine_sim"].kernel
    assert cosine(SPACE, ZERO, TREE) == cosine(SPACE, TREE, ZERO) == cosine(SPACE, ZERO, ZERO) == 0
    np.testing.assert_allclose(cosine(SPACE, TREE, TREE), 1, rtol=1e-6)


def test_log1p_is_accurate_where_its_size_is_small():
    x = np.float32([1e-7, -1e-7, -2 + 2.0**-22, -2 - 2.0**-22])
    exact = np.log(np.abs(1 + x.astype(np.float64)))
    np.testing.assert_allclose(BY_NAME["log1p"].elementwise(x), exact, rtol=1e-6)


@pytest.mark.parametrize(("name", "base"), [("exp2", 2.0), ("exp10", 10.0)])
def test_exponentials_keep_their_accuracy_for_large_arguments(name, base):
    x = np.linspace(-37, 38, 1000, dtype=np.float32)
    np.testing.assert_allclose(BY_NAME[name].elementwise(x), base ** x.astype(np.float64), rtol=2e-7)
