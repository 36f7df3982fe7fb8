"""The two layouts by themselves; the contract tests run every kernel in both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from primitives import FlatSpace, TreeSpace

TREE = TreeSpace(((2, 2), (), (3,)))
FLAT = FlatSpace((4, 1, 3))
VECTOR = np.float32([1, 2, 3, 4, 10, 5, 6, 7])
LEAVES = (VECTOR[:4].reshape(2, 2), VECTOR[4], VECTOR[5:])


def test_leaf_sum():
    np.testing.assert_array_equal(TREE.leaf_sum(LEAVES), [10, 10, 18])
    np.testing.assert_array_equal(FLAT.leaf_sum(VECTOR), [10, 10, 10, 10, 10, 18, 18, 18])


def test_leaf_size():
    np.testing.assert_array_equal(TREE.leaf_size(), [4, 1, 3])
    np.testing.assert_array_equal(FLAT.leaf_size(), [4, 4, 4, 4, 1, 3, 3, 3])
    np.testing.assert_array_equal(FlatSpace((2,)).leaf_size(), [2, 2])


def test_total():
    assert TREE.total(LEAVES) == FLAT.total(VECTOR) == 38


def test_map_broadcasts_narrower_values():
    leafwise, scalar = (jnp.float32(1), jnp.float32(2), jnp.float32(3)), jnp.float32(100)
    result = TREE.map(lambda x, y, z: x + y + z, LEAVES, leafwise, scalar)
    np.testing.assert_array_equal(result[0], [[102, 103], [104, 105]])
    assert result[1] == 112
    np.testing.assert_array_equal(result[2], [108, 109, 110])
    assert TREE.map(jnp.add, scalar, scalar).shape == FLAT.map(jnp.add, scalar, scalar).shape == ()


def test_sums_under_vmap_and_jit():
    batch = np.stack([VECTOR, 2 * VECTOR])
    sums = jax.jit(jax.vmap(FLAT.leaf_sum))(batch)
    np.testing.assert_array_equal(sums[1], 2 * sums[0])


def test_one_leaf_is_not_sliced():
    text = jax.jit(FlatSpace((8,)).leaf_sum).lower(VECTOR).as_text()
    assert "slice" not in text
    assert "concatenate" not in text


def test_spaces_are_values():
    assert hash(FLAT) == hash(FlatSpace((4, 1, 3)))
    assert TreeSpace(((2, 2), (), (3,))) == TREE
    assert TREE.sizes == FLAT.sizes


@pytest.mark.parametrize("sizes", [(), (3, 0)])
def test_empty_leaves_are_refused(sizes):
    message = r"expected one or more leaves of at least one element each, found sizes \("
    with pytest.raises(ValueError, match=message):
        FlatSpace(sizes)
    with pytest.raises(ValueError, match=message):
        TreeSpace(tuple((size,) for size in sizes))
