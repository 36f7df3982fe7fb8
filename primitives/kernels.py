"""The JAX side of every primitive that `jax.numpy` does not already have in the form we want.

Two kinds of functions live here. *Elementwise* functions take arrays and broadcast like NumPy's. *Kernels*
take a space first (see `spaces.py`) and can also look at whole arrays or the whole tree; `lift` makes one out
of an elementwise function. float32 goes in, float32 comes out.

Protection, in one place: division adds 1e-8 to the divisor, square root and logarithms look at the size of
their argument only. Nothing else is guarded: arcsin(2), arccosh(0), reciprocal(0) and power(-1, 0.5) give
NaN or infinity as IEEE arithmetic says, and evolution has to live with that.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from primitives.spaces import Space, Value

EPSILON = 1e-8
"""Added to every divisor by `divide`, and the value of `get_eps`."""


def lift(f: Callable[..., jax.Array]) -> Callable[..., Value]:
    """Turn an elementwise function on arrays into a kernel.

    Args:
        f: a function of broadcastable float32 arrays.

    Returns:
        `kernel(space, *args)`, which maps `f` over values in the layout of `space`.
    """

    def kernel(space: Space, *args: Value) -> Value:
        return space.map(f, *args)

    return kernel


def constant(number: float) -> Callable[[], jax.Array]:
    """Return a function without arguments that gives `number` as a 0-d float32 array."""
    return lambda: jnp.float32(number)


def _settled(x: jax.Array) -> jax.Array:
    """Make denormal numbers true zeros of the same sign.

    XLA's CPU backend computes as if denormals were zero, but its cube root and its power take their bits
    apart and then give neither that answer nor the exact one: cbrt(1e-40) is -5.6e-16 and power(1e-40, 0.5)
    is 2.6e-23 (jaxlib 0.10). The test is on the size because XLA compiles `where(x == 0, x * 0, x)` to x
    there, although x == 0 is true.
    """
    return jnp.where(jnp.abs(x) < np.finfo(np.float32).tiny, x * 0, x)


# ---------------------------------------------------------------- elementwise, one argument


def exp2(x: jax.Array) -> jax.Array:
    """2 ** x, as a power: XLA's own exp2 rounds x * log(2) first, which costs 2e-6 for large x."""
    return jnp.power(np.float32(2), x)


def exp10(x: jax.Array) -> jax.Array:
    """10 ** x, as a power, for the reason given at `exp2`."""
    return jnp.power(np.float32(10), x)


def log(x: jax.Array) -> jax.Array:
    """Natural logarithm of |x|."""
    return jnp.log(jnp.abs(x))


def log2(x: jax.Array) -> jax.Array:
    """Binary logarithm of |x|."""
    return jnp.log2(jnp.abs(x))


def log10(x: jax.Array) -> jax.Array:
    """Decimal logarithm of |x|."""
    return jnp.log10(jnp.abs(x))


def log1p(x: jax.Array) -> jax.Array:
    """Natural logarithm of |1 + x|, accurate near x = 0 and x = -2: |1 + x| = 1 + max(x, -2 - x)."""
    return jnp.log1p(jnp.maximum(x, -2 - x))


def sqrt(x: jax.Array) -> jax.Array:
    """Square root of |x|."""
    return jnp.sqrt(jnp.abs(x))


def square(x: jax.Array) -> jax.Array:
    """Second power: x * x."""
    return x * x


def cube(x: jax.Array) -> jax.Array:
    """Third power: x * x * x."""
    return x * x * x


def cbrt(x: jax.Array) -> jax.Array:
    """Real cube root, negative for negative x."""
    return jnp.cbrt(_settled(x))


def reciprocal(x: jax.Array) -> jax.Array:
    """1 / x, unguarded; 1 / 0 is infinite."""
    return 1 / x


# ---------------------------------------------------------------- elementwise, two or three arguments


def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """Protected quotient: x / (y + 1e-8)."""
    return x / (y + EPSILON)


def power(x: jax.Array, y: jax.Array) -> jax.Array:
    """Power x ** y, unguarded; NaN for negative x and fractional y."""
    return jnp.power(_settled(x), y)


def interp(x: jax.Array, y: jax.Array, a: jax.Array) -> jax.Array:
    """Weighted mean: (1 - a) * x + a * y."""
    return (1 - a) * x + a * y


# ---------------------------------------------------------------- kernels that look at whole arrays


def norm(space: Space, x: Value) -> Value:
    """Euclidean norm, sqrt(sum(x**2)), of each array by itself."""
    return space.map(jnp.sqrt, space.leaf_sum(space.map(square, x)))


def rms(space: Space, x: Value) -> Value:
    """Root mean square, sqrt(mean(x**2)), of each array by itself."""
    mean = space.map(jnp.divide, space.leaf_sum(space.map(square, x)), space.leaf_size())
    return space.map(jnp.sqrt, mean)


def global_norm(space: Space, x: Value) -> Value:
    """Euclidean norm, sqrt(sum(x**2)), over the whole tree.

    Squares are not rescaled: beyond about 1.8e19 they overflow and the norm is infinite; elements below about
    1e-19 count as zero.
    """
    return jnp.sqrt(space.total(space.map(square, x)))


def dot(space: Space, x: Value, y: Value) -> Value:
    """Inner product, sum(x * y), over the whole tree."""
    return space.total(space.map(jnp.multiply, x, y))


def cosine_sim(space: Space, x: Value, y: Value) -> Value:
    """Cosine similarity, dot(x, y) / (|x| |y| + 1e-8), over the whole tree as one vector.

    The division is the protected one, so the similarity with a zero tree is 0, not NaN, and that of two very
    small trees (|x| |y| not far above 1e-8) is drawn towards 0.
    """
    return divide(dot(space, x, y), global_norm(space, x) * global_norm(space, y))


def clip(space: Space, x: Value, a: Value) -> Value:
    """Scale the whole tree so that its global norm is at most a: x * min(1, max(a, 0) / |x|).

    The edges, all in one place:
    - a tree whose norm is within the bound comes back unchanged; so does the zero tree, whatever the bound;
    - a bound of zero or below gives the zero tree (no norm is negative, and the sign of x never flips);
    - an infinite bound never clips;
    - a norm that overflows although x is finite gives the zero tree for a finite bound;
    - an infinite element then becomes NaN and the finite ones zero;
    - NaN in x or in the bound gives NaN everywhere.
    """
    size = global_norm(space, x)
    bound = jnp.maximum(a, 0)
    factor = jnp.where(size <= bound, 1, bound / size)
    return space.map(jnp.multiply, x, factor)
