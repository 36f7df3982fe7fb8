"""Every row of the table keeps the same contract; a new row is tested with no new test code.

Tolerances and what the processor may do with denormal numbers are stated here, once.
"""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from primitives import TABLE, FlatSpace, Primitive, TreeSpace, ValueType
from primitives.reference import Value

RTOL = 2e-6
"""Relative error allowed between the float32 kernel and the float32 reference (about 17 ulp)."""

TINY = float(np.finfo(np.float32).tiny)
"""Below this lie the denormal numbers. XLA's CPU backend reads and writes them as zero, other backends keep
them, and the contract allows both: results closer than TINY are equal, and the reference may see each
denormal argument as zero. A reduction squares its argument: an absolute error of sqrt(TINY) an element."""

CONDITION = 4.0
"""Where sums may cancel (the linear algebra group), the error may also reach this many times the change of
the reference when each number moves by one ulp."""

# Where float32 overflows on the way to the result (the float64 reference gives another one), a compiler may
# still find that result, by fusing a product and a sum or by taking |x| for sqrt(x * x). In the linear
# algebra group a kernel may then give it, or infinity, or NaN; see `overflowed`.

TREE = {"bias": np.zeros(4), "heads": [np.zeros((3, 2)), np.zeros(())]}
SHAPES = tuple(leaf.shape for leaf in jax.tree.flatten(TREE)[0])
TREE_SPACE = TreeSpace(SHAPES)
FLAT_SPACE = FlatSpace(TREE_SPACE.sizes)

SPECIAL = np.array(
    [0.0, -0.0, 1e-40, -1e-40, 1e-20, -1e-20, 1e25, -1e25, np.inf, -np.inf, np.nan], np.float32
)
NUMBERS = np.concatenate(
    [
        SPECIAL,
        np.float32(
            [1, -1, 0.5, -0.5, 2, -2, 3, -3, 1 / 3, 0.1, -0.999, 1.0001, 7.3, -20.5, 37.5, 88, -88, 100]
        ),
        np.float32([1e-3, -1e-3, 1e-8, -1e-8, 1e-10, TINY, -TINY, 1e10, -1e10, 3e38, -3e38]),
    ]
)

every_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
every_function = pytest.mark.parametrize("row", [row for row in TABLE if row.arity], ids=lambda row: row.name)
every_elementwise = pytest.mark.parametrize(
    "row", [row for row in TABLE if row.elementwise], ids=lambda r: r.name
)


# ---------------------------------------------------------------- how results are compared


def leaves(value: Value) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in (value if isinstance(value, tuple) else (value,))]


def like(value: Value, f) -> Value:
    """Apply `f` to each array of a value."""
    return tuple(f(np.asarray(leaf)) for leaf in value) if isinstance(value, tuple) else f(np.asarray(value))


def flush(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < TINY, np.copysign(np.zeros_like(x), x), x)


def flushed_ways(args: tuple[Value, ...]) -> list[tuple[Value, ...]]:
    """The arguments as they are, and with denormals of each argument read as zero."""
    options = [[arg, like(arg, flush)] if _has_denormal(arg) else [arg] for arg in args]
    return list(product(*options))


def _has_denormal(arg: Value) -> bool:
    return any(((leaf != 0) & (np.abs(leaf) < TINY)).any() for leaf in leaves(arg))


def nudged(args: tuple[Value, ...]) -> list[tuple[Value, ...]]:
    """Each argument in turn moved by one ulp up or down, element by element at random; two draws each."""
    rng = np.random.default_rng(0)

    def nudge(x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return (x * (1 + 2.0**-23 * rng.choice([-1, 1], x.shape))).astype(np.float32)

    return [(*args[:i], like(args[i], nudge), *args[i + 1 :]) for i in range(len(args)) for _ in range(2)]


def allowance(row: Primitive, args: tuple[Value, ...], expected: list[np.ndarray]) -> list[np.ndarray]:
    """The absolute error allowed at each element of the result."""
    floor = TINY if row.elementwise else np.sqrt(TINY) * sum(TREE_SPACE.sizes)
    with np.errstate(all="ignore"):
        allowed = [RTOL * np.abs(e) + floor for e in expected]
        if row.group == "linear_algebra":
            for moved in nudged(args):
                changes = [
                    np.abs(m - e) for m, e in zip(leaves(row.reference(*moved)), expected, strict=True)
                ]
                allowed = [
                    a + CONDITION * np.where(np.isfinite(c), c, 0)
                    for a, c in zip(allowed, changes, strict=True)
                ]
    return allowed


def overflowed(row: Primitive, args: tuple[Value, ...], found: list[np.ndarray], expected: list[np.ndarray]):
    """Where float32 overflows on the way, and `found` is the exact result or not finite."""
    if row.group != "linear_algebra":
        return [np.zeros(e.shape, bool) for e in expected]
    exact = leaves(row.reference(*(like(arg, np.float64) for arg in args)))
    return [
        ~np.isfinite(e)
        & (e != x)
        & ~(np.isnan(e) & np.isnan(x))
        & (~np.isfinite(f) | np.isclose(f, x, rtol=RTOL))
        for f, e, x in zip(found, expected, exact, strict=True)
    ]


def agreement(row: Primitive, found: Value, args: tuple[Value, ...]) -> list[np.ndarray]:
    """Where `found` matches the reference, for one way to read denormal arguments at least."""
    found = leaves(found)
    good = [np.zeros(leaf.shape, bool) for leaf in found]
    for way in flushed_ways(args):
        expected = [leaf.astype(np.float32) for leaf in leaves(row.reference(*way))]
        fits = map(matches, found, expected, allowance(row, way, expected))
        good = [g | m | o for g, m, o in zip(good, fits, overflowed(row, way, found, expected), strict=True)]
    return good


def matches(found: np.ndarray, expected: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        near = np.isfinite(expected) & (np.abs(found.astype(np.float64) - expected) <= allowed)
    return near | (found == expected) | (np.isnan(found) & np.isnan(expected))


def assert_matches_reference(row: Primitive, found: Value, args: tuple[Value, ...], where: str) -> None:
    if not all(good.all() for good in agreement(row, found, args)):
        expected = row.reference(*args)
        raise AssertionError(f"{row.name} {where}:\nfound    {found}\nexpected {expected}\narguments {args}")


# ---------------------------------------------------------------- plain elementwise functions


def grid(arity: int) -> tuple[np.ndarray, ...]:
    """All tuples of `arity` numbers, one array an argument; the numbers are fewer for three arguments."""
    numbers = NUMBERS if arity < 3 else NUMBERS[:24]
    return tuple(axis.ravel() for axis in np.meshgrid(*[numbers] * arity, indexing="ij"))


@every_elementwise
def test_elementwise_function_equals_reference_on_ordinary_and_special_numbers(row):
    args = grid(row.arity)
    found = np.asarray(jax.jit(row.elementwise)(*args))
    assert found.dtype == np.float32

    (good,) = agreement(row, found, args)
    expected, bad = np.float32(row.reference(*args)), np.flatnonzero(~good)[:5]
    assert good.all(), [(*(float(arg[i]) for arg in args), float(found[i]), float(expected[i])) for i in bad]


@every_elementwise
def test_zero_has_the_sign_of_the_reference(row):
    """Signed zeros matter to `reciprocal` and `power`; denormal arguments are left out."""
    args = grid(row.arity)
    found, expected = np.asarray(jax.jit(row.elementwise)(*args)), np.float32(row.reference(*args))
    normal = np.all([(arg == 0) | ~(np.abs(arg) < TINY) for arg in args], axis=0) if args else np.array(True)
    both_zero = normal & (found == 0) & (expected == 0)
    wrong = both_zero & (np.signbit(found) != np.signbit(expected))
    assert not wrong.any(), [tuple(float(arg[i]) for arg in args) for i in np.flatnonzero(wrong)[:5]]


# ---------------------------------------------------------------- kernels in both layouts, all types


def cases() -> list[list[dict[ValueType, Value]]]:
    """Arguments for the kernels: a list of cases, each with three arguments in each of the three types."""
    rng = np.random.default_rng(7)
    ordinary = [_case(rng, scale, None) for scale in (1.0, 1.0, 1e-3, 30.0, 1e-9)]
    return ordinary + [_case(rng, 1.0, number) for number in SPECIAL] + [_case(rng, 0.0, None)]


def _case(rng: np.random.Generator, scale: float, special: float | None) -> list[dict[ValueType, Value]]:
    """Three arguments; about a third of their numbers are `special` if that is given."""

    def draw(*shape: int) -> np.ndarray:
        numbers = rng.standard_normal(shape).astype(np.float32) * np.float32(scale)
        chosen = rng.random(shape) < 1 / 3
        return np.asarray(numbers if special is None else np.where(chosen, special, numbers), np.float32)

    return [
        {
            ValueType.SCALAR: draw(),
            ValueType.LEAFWISE: tuple(draw() for _ in SHAPES),
            ValueType.TENSOR: tuple(draw(*shape) for shape in SHAPES),
        }
        for _ in range(3)
    ]


CASES = cases()
STACKED = jax.tree.map(lambda *leaves: np.stack(leaves), *CASES)


def flat(value: Value, kind: ValueType) -> Value:
    """Bring a value from the tree layout into the flat one."""
    if kind == ValueType.SCALAR:
        return value
    parts = [jnp.broadcast_to(leaf, shape).ravel() for leaf, shape in zip(value, SHAPES, strict=True)]
    return jnp.concatenate(parts)


def admitted(row: Primitive) -> list[tuple[ValueType, ...]]:
    kinds = product(ValueType, repeat=row.arity)
    return [kind for kind in kinds if isinstance(row.result_type(kind), ValueType)]


def in_both_layouts(row: Primitive, case: list[dict[ValueType, Value]]) -> list[tuple[Value, Value]]:
    """The results in the tree layout and in the flat one, for every admitted assignment of types."""
    results = []
    for kinds in admitted(row):
        args = [argument[kind] for argument, kind in zip(case, kinds, strict=False)]
        flat_args = [flat(arg, kind) for arg, kind in zip(args, kinds, strict=True)]
        results.append((row.kernel(TREE_SPACE, *args), row.kernel(FLAT_SPACE, *flat_args)))
    return results


@every_function
def test_kernel_equals_reference_in_both_layouts_for_all_types_under_jit_and_vmap(row):
    compiled = jax.jit(jax.vmap(lambda case: in_both_layouts(row, case)))
    for kinds, (tree, vector) in zip(admitted(row), jax.device_get(compiled(STACKED)), strict=True):
        kind = row.result_type(kinds)
        assert {leaf.dtype for leaf in (*leaves(tree), vector)} == {np.dtype(np.float32)}
        for i, case in enumerate(CASES):
            args = tuple(argument[kind] for argument, kind in zip(case, kinds, strict=False))
            found = like(tree, lambda leaf, i=i: leaf[i])
            assert_shape_of_type(found, kind)
            where = f"({', '.join(map(str, kinds))}), case {i}"
            assert_matches_reference(row, found, args, f"tree {where}")
            assert_matches_reference(row, unflat(vector[i], kind), args, f"flat {where}")


def assert_shape_of_type(value: Value, kind: ValueType) -> None:
    """The result of a kernel really has the layout of the type that the rule promises."""
    expected = {ValueType.SCALAR: (), ValueType.LEAFWISE: ((),) * len(SHAPES), ValueType.TENSOR: SHAPES}[kind]
    assert (
        tuple(np.shape(leaf) for leaf in value) if isinstance(value, tuple) else np.shape(value)
    ) == expected


def unflat(vector: np.ndarray, kind: ValueType) -> Value:
    """Bring a value from the flat layout back; a leafwise value must repeat one number over each leaf."""
    if kind == ValueType.SCALAR:
        assert vector.shape == ()
        return vector
    assert vector.shape == (sum(TREE_SPACE.sizes),)
    parts = np.split(vector, np.cumsum(TREE_SPACE.sizes)[:-1])
    if kind == ValueType.LEAFWISE:
        for part in parts:
            np.testing.assert_array_equal(part, np.full_like(part, part[0]))
        return tuple(part[0] for part in parts)
    return tuple(part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True))


@every_row
def test_a_space_with_one_leaf_gives_the_same(row):
    """One leaf is the common case of the flat layout, and it skips the slicing."""
    kinds = admitted(row)[-1]
    args = [np.float32([0.5, -2.0, 3.0]) if kind == ValueType.TENSOR else np.float32(0.7) for kind in kinds]
    boxed = [(arg,) if kind == ValueType.TENSOR else arg for arg, kind in zip(args, kinds, strict=True)]
    flat_result = row.kernel(FlatSpace((3,)), *args)
    tree_result = row.kernel(TreeSpace(((3,),)), *boxed)
    (leaf,) = leaves(tree_result)
    expected = leaf if row.result_type(kinds) == ValueType.SCALAR else np.broadcast_to(leaf, (3,))
    assert flat_result.shape == expected.shape
    np.testing.assert_allclose(flat_result, expected, rtol=RTOL)
