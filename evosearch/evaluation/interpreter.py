"""The interpreter: runs an encoded program inside a compiled training loop.

The program is an argument of the compiled loop, so a new candidate costs no compilation. All weights lie in
one flat vector; a register file holds such vectors as rows and stays in place from step to step. Each
instruction is one branch of a `lax.switch`: it reads its operands from the rows, and its result is written to
the destination row.

Leafwise values and scalars that depend on tensors lie in a row too, repeated over the elements they stand
for; scalars that are known ahead come from the table in `encode`.

Two habits keep XLA from copying the register file: the weights are carried beside it and written into it at
the start of a step, and branches return a row, not the file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from evosearch.evaluation.encode import G_ROW, W_ROW, Encoded, encode, row_count
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.rule import moved
from evosearch.language.program import Statement
from primitives import TABLE, FlatSpace, Primitive, ValueType

Array = jax.Array


@dataclass(frozen=True)
class Interpreter:
    """How the interpreter lays out weights and does one update; see `training.Rule`.

    Args:
        params: an example of the parameters, for shapes.
        capacity: the largest program.
    """

    params: Any
    capacity: Capacity

    def encode(self, statements: Sequence[Statement], schedule: NDArray[np.float32]) -> Encoded:
        """A valid program as data; see `encode.encode`."""
        return encode(statements, schedule, self.capacity)

    def pack(self, params: Any) -> Array:
        """The parameters as one float32 vector (P,)."""
        return ravel_pytree(params)[0]

    def unpack(self, w: Array) -> Any:
        """The parameter tree of a flat vector."""
        return ravel_pytree(self.params)[1](w)

    def start(self, w: Array) -> Array:
        """An empty register file, float32 (rows, P): m and v are zero."""
        return jnp.zeros((row_count(self.capacity), w.shape[0]), jnp.float32)

    def step(
        self, program: Encoded, registers: Array, w: Array, g: Any, factor: Array, step: Array
    ) -> tuple[Array, Array, Array]:
        """One run of the program: new weights, the registers with the new m and v, all finite or not."""
        registers = _put_leaves(_put(registers, W_ROW, w), G_ROW, g)
        scalars = lax.dynamic_index_in_dim(program.scalars, step, keepdims=False)
        branches = self._branches(w.shape[0])

        def execute(index: Array, registers: Array) -> Array:
            line = lax.dynamic_index_in_dim(program.instructions, index, keepdims=False)
            return _put(registers, line[1], lax.switch(line[0], branches, registers, scalars, line))

        registers = lax.fori_loop(0, program.length, execute, registers)
        w, finite = moved(w, _row(registers, jnp.asarray(program.update_row)), factor)
        return w, registers, finite

    def _branches(self, size: int) -> list[Callable[[Array, Array, Array], Array]]:
        sizes = tuple(leaf.size for leaf in jax.tree.leaves(self.params))
        space = FlatSpace(sizes)
        rows = row_count(self.capacity)
        copy = lambda registers, _, line: _row(registers, line[2])  # noqa: E731
        return [_branch(primitive, space, rows, size) for primitive in TABLE] + [copy]


def _row(registers: Array, index: Array) -> Array:
    row: Array = lax.dynamic_index_in_dim(registers, index, keepdims=False)
    return row


def _put(registers: Array, index: Array | int, row: Array) -> Array:
    updated: Array = lax.dynamic_update_index_in_dim(registers, row, index, 0)
    return updated


def _put_leaves(registers: Array, index: int, tree: Any) -> Array:
    """Write a tree's leaves one after the other into a row.

    Not as one concatenation: XLA's CPU backend (jaxlib 0.10) builds that from masked loads which point
    outside their arrays, and where such an address is not mapped each load costs hundreds of cycles on some
    processors.
    """
    offset = 0
    for leaf in jax.tree.leaves(tree):
        registers = lax.dynamic_update_slice(registers, leaf.reshape(1, -1), (index, offset))
        offset += leaf.size
    return registers


def _branch(
    primitive: Primitive, space: FlatSpace, rows: int, size: int
) -> Callable[[Array, Array, Array], Array]:
    """One primitive as a branch: operands from rows or scalars, the result as a row."""
    expects = primitive.rule.expects or (None,) * primitive.arity

    def branch(registers: Array, scalars: Array, line: Array) -> Array:
        args = [
            _operand(registers, scalars, line[2 + position], rows, expected, primitive.arity)
            for position, expected in enumerate(expects)
        ]
        return jnp.broadcast_to(primitive.kernel(space, *args), (size,))

    return branch


def _operand(
    registers: Array, scalars: Array, index: Array, rows: int, expected: ValueType | None, arity: int
) -> Array:
    """An operand as a row, or as a number where the primitive's rule wants a scalar."""
    if expected is ValueType.TENSOR or arity == 1:
        return _row(registers, index)  # never a scalar that is known ahead: such results are no instructions
    known = scalars[jnp.maximum(index - rows, 0)]
    row = jnp.minimum(index, rows - 1)
    if expected is ValueType.SCALAR:
        return jnp.where(index >= rows, known, registers[row, 0])
    return jnp.where(index >= rows, known, _row(registers, row))
