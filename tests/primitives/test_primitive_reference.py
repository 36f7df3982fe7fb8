"""The conventions of the NumPy references: dtypes, plain arrays, silence, independence of JAX."""

import subprocess
import sys

import numpy as np
import pytest

from primitives import TABLE, ValueType

every_elementwise = pytest.mark.parametrize(
    "row", [row for row in TABLE if row.elementwise and row.arity], ids=lambda row: row.name
)
every_function = pytest.mark.parametrize("row", [row for row in TABLE if row.arity], ids=lambda row: row.name)
NUMBERS = [0.0, -0.0, 1.0, -3.0, 1e-30, 1e30, np.inf, -np.inf, np.nan]


@every_elementwise
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_plain_arrays_keep_dtype_and_shape(row, dtype):
    args = [np.roll(np.array(NUMBERS, dtype), i) for i in range(row.arity)]
    result = row.reference(*args)
    assert result.dtype == dtype
    assert result.shape == (len(NUMBERS),)


@every_elementwise
def test_numbers_follow_numpy_promotion(row):
    """A Python number alone is float64; beside float32 it is float32. Nothing raises, not even 1 / 0."""
    for number in NUMBERS:
        assert np.result_type(row.reference(*[number] * row.arity)) == np.float64
        assert np.result_type(row.reference(*[np.float32(number)] * row.arity)) == np.float32
        mixed = row.reference(np.float32([number, 1.0]), *[number] * (row.arity - 1))
        assert mixed.dtype == np.float32


@every_function
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_trees_keep_their_dtype(row, dtype):
    tensor = (np.array(NUMBERS, dtype), np.array(2.0, dtype))
    expects = row.rule.expects or (None,) * row.arity
    args = [0.5 if kind == ValueType.SCALAR else tensor for kind in expects]
    result = row.reference(*args)
    assert {np.result_type(leaf) for leaf in (result if isinstance(result, tuple) else (result,))} == {
        np.dtype(dtype)
    }


@every_elementwise
def test_leaf_by_leaf_equals_plain_arrays(row):
    leaves = (np.float32([0.3, -0.7]), np.float32(0.9))
    result = row.reference(leaves, *[0.4] * (row.arity - 1))
    for leaf, found in zip(leaves, result, strict=True):
        np.testing.assert_array_equal(found, row.reference(leaf, *[0.4] * (row.arity - 1)))


def test_types_and_reference_do_not_load_jax():
    program = "import sys, primitives, primitives.types, primitives.reference; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
