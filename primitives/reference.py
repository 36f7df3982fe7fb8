"""A second opinion on every primitive, in NumPy: what tests compare with, and what folds constants.

Written apart from the kernels and without JAX. Every reference follows the same conventions:
- a tensor is a tuple of arrays (the leaves), a leafwise value a tuple of 0-d arrays or NumPy numbers, a
  scalar a number or a 0-d array;
- elementwise references also take plain arrays of any shape that broadcast against each other;
- the dtype of the result is that of the arguments: float32 gives float32, float64 gives float64. Python
  numbers adapt to the arrays beside them and count as float64 when alone (NumPy's own rule);
- nothing warns: NaN and infinity are ordinary results here.

The constants give plain Python floats, which adapt to whatever they are combined with.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Value: TypeAlias = Any
"""A number, an array or a tuple of arrays, as told above."""

Reference: TypeAlias = Callable[..., Value]


def _leaves(value: Value) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _as_floats(args: tuple[Value, ...]) -> list[Value]:
    """Give all arguments the one floating dtype that NumPy's promotion finds for them."""
    dtype = np.result_type(*(leaf for arg in args for leaf in _leaves(arg)), 0.0)
    return [
        tuple(np.asarray(leaf, dtype) for leaf in arg) if isinstance(arg, tuple) else np.asarray(arg, dtype)
        for arg in args
    ]


def _quiet(f: Reference) -> Reference:
    """Make `f` see arrays of one floating dtype, and keep NumPy's warnings silent."""

    @functools.wraps(f)
    def reference(*args: Value) -> Value:
        with np.errstate(all="ignore"):
            return f(*_as_floats(args))

    return reference


def _elementwise(f: Reference) -> Reference:
    """Make a reference out of a function on arrays: leaf by leaf if any argument is a tuple."""

    @_quiet
    @functools.wraps(f)
    def reference(*args: Value) -> Value:
        counts = [len(arg) for arg in args if isinstance(arg, tuple)]
        if not counts:
            return f(*args)
        columns = [arg if isinstance(arg, tuple) else (arg,) * counts[0] for arg in args]
        return tuple(f(*leaves) for leaves in zip(*columns, strict=True))

    return reference


def _constant(number: float) -> Reference:
    return lambda: number


def _as_vector(x: Value) -> Any:
    return np.concatenate([leaf.ravel() for leaf in x])


# ---------------------------------------------------------------- one argument

absolute = _elementwise(np.abs)
cos = _elementwise(np.cos)
sin = _elementwise(np.sin)
tan = _elementwise(np.tan)
arcsin = _elementwise(np.arcsin)
arccos = _elementwise(np.arccos)
arctan = _elementwise(np.arctan)
sinh = _elementwise(np.sinh)
cosh = _elementwise(np.cosh)
tanh = _elementwise(np.tanh)
arcsinh = _elementwise(np.arcsinh)
arccosh = _elementwise(np.arccosh)
arctanh = _elementwise(np.arctanh)
exp = _elementwise(np.exp)
exp2 = _elementwise(np.exp2)
expm1 = _elementwise(np.expm1)
square = _elementwise(np.square)
cbrt = _elementwise(np.cbrt)
negative = _elementwise(np.negative)


@_elementwise
def exp10(x: Value) -> Value:
    """10 ** x."""
    return np.power(x.dtype.type(10), x)


@_elementwise
def log(x: Value) -> Value:
    """Natural logarithm of the size of x; -inf at 0."""
    return np.log(np.where(x < 0, -x, x))


@_elementwise
def log10(x: Value) -> Value:
    """Decimal logarithm of the size of x."""
    return np.log10(np.where(x < 0, -x, x))


@_elementwise
def log2(x: Value) -> Value:
    """Binary logarithm of the size of x."""
    return np.log2(np.where(x < 0, -x, x))


@_elementwise
def log1p(x: Value) -> Value:
    """log(1 + x) from -1 upwards, log(-(1 + x)) below."""
    return np.where(x < -1, np.log(-(1 + x)), np.log1p(x))


@_elementwise
def sqrt(x: Value) -> Value:
    """Square root of the size of x; never -0."""
    return np.sqrt(np.where(x > 0, x, 0 - x))


@_elementwise
def cube(x: Value) -> Value:
    """Third power of x."""
    return np.power(x, 3)


@_elementwise
def sign(x: Value) -> Value:
    """-1, 0 or 1; zero keeps its sign, NaN stays NaN."""
    return np.where((x == 0) | np.isnan(x), x, np.copysign(np.ones_like(x), x))


@_elementwise
def reciprocal(x: Value) -> Value:
    """1 / x."""
    return np.reciprocal(x)


# ---------------------------------------------------------------- two arguments

add = _elementwise(np.add)
subtract = _elementwise(np.subtract)
multiply = _elementwise(np.multiply)
power = _elementwise(np.power)


@_elementwise
def divide(x: Value, y: Value) -> Value:
    """Quotient of x and y + 1e-8."""
    return np.true_divide(x, y + 1e-8)


@_elementwise
def maximum(x: Value, y: Value) -> Value:
    """The larger one; NaN if either is NaN; 0 is larger than -0 (NumPy's own answer depends on the order)."""
    takes_x = (x > y) | np.isnan(x) | ((x == y) & np.signbit(y))
    return np.where(takes_x, x, y)


@_elementwise
def minimum(x: Value, y: Value) -> Value:
    """The smaller one; NaN if either is NaN; -0 is smaller than 0."""
    takes_x = (x < y) | np.isnan(x) | ((x == y) & np.signbit(x))
    return np.where(takes_x, x, y)


# ---------------------------------------------------------------- linear algebra


@_quiet
def norm(x: Value) -> Value:
    """Euclidean length of each array."""
    return tuple(np.linalg.norm(leaf.ravel()) for leaf in x)


@_quiet
def global_norm(x: Value) -> Value:
    """Euclidean length of the whole tree."""
    return np.linalg.norm(_as_vector(x))


@_quiet
def dot(x: Value, y: Value) -> Value:
    """Inner product of two trees."""
    return np.vdot(_as_vector(x), _as_vector(y))


@_quiet
def cosine_sim(x: Value, y: Value) -> Value:
    """Inner product over the product of the lengths + 1e-8; 0 if either tree is zero."""
    u, v = _as_vector(x), _as_vector(y)
    return np.vdot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v) + 1e-8)


@_quiet
def clip(x: Value, a: Value) -> Value:
    """The tree itself if its length is within a, else scaled to it; a < 0 counts as 0. See `kernels.clip`."""
    length = np.linalg.norm(_as_vector(x))
    bound = np.zeros_like(a) if a < 0 else a
    return x if length <= bound else tuple(leaf * (bound / length) for leaf in x)


@_elementwise
def interp(x: Value, y: Value, a: Value) -> Value:
    """Mean of x with weight 1 - a and y with weight a."""
    return x * (1 - a) + y * a


@_quiet
def rms(x: Value) -> Value:
    """Root of the mean square of each array."""
    return tuple(np.sqrt(np.mean(np.square(leaf))) for leaf in x)


# ---------------------------------------------------------------- constants

get_pi = _constant(math.pi)
get_e = _constant(math.e)
get_eps = _constant(1e-8)
