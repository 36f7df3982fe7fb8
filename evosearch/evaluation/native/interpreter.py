"""The native interpreter: one call into machine code does a whole step of a program, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.native.code import Code, code_of
from evosearch.evaluation.native.library import TARGET, load
from evosearch.language.program import Statement

Array = jax.Array


@dataclass(frozen=True)
class NativeInterpreter:
    """How the native interpreter lays out weights and does one step; see `training.Rule`.

    The weights stay the leaves of the parameter tree, as the gradient wants them; state is one row for m and
    one for v, all leaves one after the other.

    Args:
        params: an example of the parameters, for shapes; all float32.
        capacity: the largest program.
    """

    params: Any
    capacity: Capacity

    def __post_init__(self) -> None:
        load()

    def encode(self, statements: Sequence[Statement], schedule: NDArray[np.float32]) -> Code:
        """A valid program as data; see `code.code_of`."""
        return code_of(statements, schedule, self.capacity)

    def pack(self, params: Any) -> tuple[Array, ...]:
        """The leaves of the parameter tree."""
        return tuple(jax.tree.leaves(params))

    def unpack(self, w: tuple[Array, ...]) -> Any:
        """The parameter tree of these leaves."""
        return jax.tree.unflatten(jax.tree.structure(self.params), w)

    def start(self, w: tuple[Array, ...]) -> Array:
        """Zeros for m and v, float32 (2, P)."""
        return jnp.zeros((2, sum(leaf.size for leaf in w)), jnp.float32)

    def step(
        self, program: Code, state: Array, w: tuple[Array, ...], g: Any, factor: Array, step: Array
    ) -> tuple[tuple[Array, ...], Array, Array]:
        """One run of the program: new weights and state, and whether the weights are finite."""
        gradient = tuple(jax.tree.leaves(g))
        finite, state, *w_new = jax.ffi.ffi_call(
            TARGET,
            [jax.core.ShapedArray((), jnp.int32), *map(jax.typeof, (state, *w))],
            input_output_aliases={5 + k: 1 + k for k in range(1 + len(w))},
        )(*program, jnp.int32(step), jnp.float32(factor), state, *w, *gradient)
        return tuple(w_new), state, finite != 0
