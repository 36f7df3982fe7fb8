"""The algebraic flags of the table, as property tests over every row that raises a flag.

Real arithmetic is modelled by the float64 references, which the contract tests tie to the kernels. What a
flag claims bit for bit is tested on both.
"""

import functools
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from primitives import TABLE, Primitive, TreeSpace, ValueType
from primitives.reference import Value

SHAPES = ((2, 2), (3,))
SPACE = TreeSpace(SHAPES)
SIZE = sum(SPACE.sizes)
few = settings(max_examples=40, deadline=None)
LIMITS = {"rtol": 1e-9, "atol": 1e-9}

moderate = st.floats(-20, 20).filter(lambda x: x == 0 or abs(x) > 1e-6)
anything = st.floats(width=32)


def rows_with(law: str):
    return pytest.mark.parametrize(
        "row", [row for row in TABLE if getattr(row, law)], ids=lambda row: row.name
    )


def trees(elements, dtype=np.float64) -> st.SearchStrategy[Value]:
    """Tensors whose numbers come from `elements`."""

    def build(numbers: list[float]) -> Value:
        first = math.prod(SHAPES[0])
        parts = (np.array(numbers[:first], dtype), np.array(numbers[first:], dtype))
        return tuple(part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True))

    return st.lists(elements, min_size=SIZE, max_size=SIZE).map(build)


def draw_arguments(data: st.DataObject, row: Primitive, elements=moderate) -> list[Value]:
    """One argument a place: a scalar where the rule asks for one, a tensor elsewhere."""
    expects = row.rule.expects or (None,) * row.arity
    scalars, tensors = elements.map(np.float64), trees(elements)
    return [data.draw(scalars if kind == ValueType.SCALAR else tensors) for kind in expects]


def negated(x: Value) -> Value:
    return tuple(-leaf for leaf in x) if isinstance(x, tuple) else -x


def assert_equal(found: Value, expected: Value) -> None:
    jax.tree.map(lambda f, e: np.testing.assert_allclose(f, e, **LIMITS), found, expected)


def assert_same_bits(found: Value, expected: Value) -> None:
    """Equal bit for bit, except that any NaN is the same NaN."""

    def bits(leaf: Value) -> np.ndarray:
        leaf = np.asarray(leaf, np.float32)
        return np.where(np.isnan(leaf), np.float32(np.nan), leaf).view(np.uint32)

    jax.tree.map(lambda f, e: np.testing.assert_array_equal(bits(f), bits(e)), found, expected)


@functools.cache
def compiled(row: Primitive):
    return jax.jit(functools.partial(row.kernel, SPACE))


@rows_with("commutative")
@few
@given(x=trees(anything, np.float32), y=trees(anything, np.float32))
def test_commutative_bit_for_bit_in_kernel_and_reference(row, x, y):
    assert_same_bits(compiled(row)(x, y), compiled(row)(y, x))
    assert_same_bits(row.reference(x, y), row.reference(y, x))


@rows_with("associative")
@few
@given(x=trees(moderate), y=trees(moderate), z=trees(moderate))
def test_associative(row, x, y, z):
    f = row.reference
    assert_equal(f(f(x, y), z), f(x, f(y, z)))


@rows_with("odd")
@few
@given(data=st.data())
def test_odd_in_the_first_argument(row, data):
    x, *rest = draw_arguments(data, row)
    assert_equal(row.reference(negated(x), *rest), negated(row.reference(x, *rest)))


@rows_with("even")
@few
@given(data=st.data())
def test_even_in_the_first_argument(row, data):
    x, *rest = draw_arguments(data, row)
    assert_equal(row.reference(negated(x), *rest), row.reference(x, *rest))


@rows_with("idempotent")
@few
@given(data=st.data())
def test_idempotent_in_the_first_argument(row, data):
    x, *rest = draw_arguments(data, row)
    once = row.reference(x, *rest)
    assert_equal(row.reference(once, *rest), once)


@rows_with("involution")
@few
@given(data=st.data())
def test_involution(row, data):
    (x,) = draw_arguments(data, row)
    assert_equal(row.reference(row.reference(x)), x)


@rows_with("diagonal")
@few
@given(data=st.data())
def test_diagonal_gives_back_equal_arguments(row, data):
    x, _, *rest = draw_arguments(data, row)
    assert_equal(row.reference(x, x, *rest), x)


@rows_with("nonnegative")
@few
@given(data=st.data())
def test_nonnegative_on_all_numbers(row, data):
    result = row.reference(*draw_arguments(data, row, anything))
    assert not any((np.asarray(leaf) < 0).any() for leaf in jax.tree.leaves(result))


# ---------------------------------------------------------------- what a flag that is missing would mean

UNFLAGGED = np.float64([-2.5, -0.7, 0.3, 1.9])


@pytest.mark.parametrize(
    "row", [r for r in TABLE if r.elementwise and r.arity and not (r.odd or r.even)], ids=lambda row: row.name
)
def test_a_row_without_parity_has_none(row):
    """Flags are complete as well as true: neither law holds on these four numbers."""
    rest = [np.float64(0.8)] * (row.arity - 1)
    plus, minus = row.reference(UNFLAGGED, *rest), row.reference(-UNFLAGGED, *rest)
    assert not np.allclose(plus, minus, equal_nan=True)
    assert not np.allclose(plus, -minus, equal_nan=True)


@pytest.mark.parametrize(
    "row", [r for r in TABLE if r.arity == 2 and not r.commutative], ids=lambda row: row.name
)
def test_a_row_that_is_not_commutative_depends_on_the_order(row):
    expects = row.rule.expects or (None, None)
    if expects[0] == expects[1]:
        assert not np.allclose(row.reference(2.0, 3.0), row.reference(3.0, 2.0))
