"""Where values live: the same kernels run on a tree of arrays and on one flat vector.

A kernel takes a space and its arguments, and touches values through the four methods of the space alone.

| type | `TreeSpace` | `FlatSpace` |
|---|---|---|
| tensor | tuple of arrays, one a leaf | `(P,)`, leaves end to end, P = sum of the sizes |
| leafwise | tuple of 0-d arrays | `(P,)`, each leaf's number repeated over its elements |
| scalar | 0-d array | 0-d array |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol, TypeAlias

import jax
import jax.numpy as jnp

Value: TypeAlias = Any
"""A value in the layout of some space: an array, or a tuple of arrays."""


class Space(Protocol):
    """What a kernel may do with values, whatever their layout. All numbers are float32."""

    def map(self, f: Callable[..., jax.Array], *values: Value) -> Value:
        """Apply `f` element by element; narrower values are broadcast to the widest."""
        ...

    def leaf_sum(self, x: Value) -> Value:
        """Sum each array of the tensor `x` by itself: a leafwise value."""
        ...

    def leaf_size(self) -> Value:
        """Return the number of elements of each array: a leafwise value."""
        ...

    def total(self, x: Value) -> jax.Array:
        """Sum all elements of the tensor `x`: a scalar."""
        ...


@dataclass(frozen=True)
class TreeSpace:
    """Values as the leaves of a parameter tree, in the order of `jax.tree.flatten`.

    Args:
        shapes: the shape of each leaf; every leaf has at least one element.

    Raises:
        ValueError: if there is no leaf, or a leaf without elements.

    Example:
        >>> space = TreeSpace(((2, 3), (4,)))
        >>> space.leaf_sum((jnp.ones((2, 3)), jnp.ones(4)))
        (Array(6., dtype=float32), Array(4., dtype=float32))
    """

    shapes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        _check_sizes("TreeSpace", self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of elements of each leaf."""
        return tuple(math.prod(shape) for shape in self.shapes)

    def map(self, f: Callable[..., jax.Array], *values: Value) -> Value:
        """See `Space.map`."""
        if not any(isinstance(value, tuple) for value in values):
            return f(*values)
        return tuple(f(*(_leaf(value, i) for value in values)) for i in range(len(self.shapes)))

    def leaf_sum(self, x: Value) -> Value:
        """See `Space.leaf_sum`."""
        return tuple(jnp.sum(leaf) for leaf in x)

    def leaf_size(self) -> Value:
        """See `Space.leaf_size`."""
        return tuple(jnp.float32(size) for size in self.sizes)

    def total(self, x: Value) -> jax.Array:
        """See `Space.total`."""
        return jnp.sum(jnp.stack(self.leaf_sum(x)))


@dataclass(frozen=True)
class FlatSpace:
    """Values as one vector in which the leaves follow each other.

    Leaves are cut out with static slices, so the cost of `leaf_sum` grows with the number of leaves; with a
    single leaf nothing is cut.

    Args:
        sizes: the number of elements of each leaf, all at least 1.

    Raises:
        ValueError: if there is no leaf, or a leaf without elements.

    Example:
        >>> FlatSpace((2, 1)).leaf_sum(jnp.array([1.0, 2.0, 5.0]))
        Array([3., 3., 5.], dtype=float32)
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_sizes("FlatSpace", self.sizes)

    def map(self, f: Callable[..., jax.Array], *values: Value) -> Value:
        """See `Space.map`."""
        return f(*values)

    def leaf_sum(self, x: Value) -> Value:
        """See `Space.leaf_sum`."""
        return self._repeat([jnp.sum(leaf) for leaf in self._leaves(x)])

    def leaf_size(self) -> Value:
        """See `Space.leaf_size`."""
        return self._repeat([jnp.float32(size) for size in self.sizes])

    def total(self, x: Value) -> jax.Array:
        """See `Space.total`."""
        return jnp.sum(x)

    def _leaves(self, x: jax.Array) -> list[jax.Array]:
        if len(self.sizes) == 1:
            return [x]
        ends = list(accumulate(self.sizes))
        return [x[end - size : end] for size, end in zip(self.sizes, ends, strict=True)]

    def _repeat(self, numbers: list[jax.Array]) -> jax.Array:
        parts = [jnp.broadcast_to(number, (size,)) for number, size in zip(numbers, self.sizes, strict=True)]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _leaf(value: Value, i: int) -> jax.Array:
    leaf: jax.Array = value[i] if isinstance(value, tuple) else value
    return leaf


def _check_sizes(space: str, sizes: tuple[int, ...]) -> None:
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"{space} expected one or more leaves of at least one element each, found sizes {sizes}"
        )
