"""The interpreter for many programs at once: which primitive comes next is the same for all of them.

`jax.vmap` over a `lax.switch` whose index differs between programs computes every branch for every
instruction. Here the index comes from the merged sequence, which `vmap` does not touch, so it stays a switch;
each program has its own operands and destinations. Where it is not a program's turn, the result goes to a row
that nobody reads.

The state between steps is m and v alone, and the register file is made anew in each step: `vmap` freezes the
state of trainings that have ended by selecting between old and new in every step, which would copy the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from evosearch.evaluation.batched.schedule import merged
from evosearch.evaluation.encode import G_ROW, M_ROW, V_ROW, W_ROW, assign_rows, line_of, row_count
from evosearch.evaluation.flow import Flow, M, V
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.rule import moved
from primitives import OPCODES

Array = jax.Array


class Batch(NamedTuple):
    """The programs of many trainings as arrays of fixed shape.

    Attributes:
        opcodes: int32 (the longest sequence,), shared by all.
        length: int32 (), how many of them count.
        turns: int32 (trainings, the longest sequence), which line is computed at each place.
        lines: int32 (trainings, statements + 1, 5): as in `encode.Encoded.instructions`; the last line is for
            places where it is not the program's turn.
        outputs: int32 (trainings, 3), the rows of update, m and v after the last instruction.
        scalars: float32 (trainings, steps, columns).
    """

    opcodes: Any
    length: Any
    turns: Any
    lines: Any
    outputs: Any
    scalars: Any


AXES = Batch(opcodes=None, length=None, turns=0, lines=0, outputs=0, scalars=0)
"""The axis of the trainings, for `jax.vmap`."""


@dataclass(frozen=True)
class BatchedInterpreter(Interpreter):
    """How one of many programs does one update, under `jax.vmap` with `AXES`; see `training.Rule`."""

    def encode_all(self, flows: Sequence[Flow], lanes: Sequence[int], steps: int) -> Batch:
        """Programs as data for one call.

        Args:
            flows: different programs, each within the capacity.
            lanes: for each training of the call, the index of its program.
            steps: of the training.
        """
        sequence = merged(flows)
        statements, trash = self.capacity.statements, row_count(self.capacity)
        opcodes = np.zeros(len(lanes) * statements, np.int32)
        opcodes[: len(sequence.primitives)] = [OPCODES[name] for name in sequence.primitives]
        turns = np.full((len(flows), len(opcodes)), statements, np.int32)
        lines = np.zeros((len(flows), statements + 1, 5), np.int32)
        lines[:, -1, 1] = trash
        outputs = np.zeros((len(flows), 3), np.int32)
        for p, (flow, own) in enumerate(zip(flows, sequence.turns, strict=True)):
            ordered = flow._replace(instructions=[flow.instructions[index] for _, index in own])
            rows, _ = assign_rows(ordered)
            for place, instruction in enumerate(ordered.instructions):
                line = line_of(instruction, rows, self.capacity)
                lines[p, place, : len(line)] = line
            turns[p, [step for step, _ in own]] = range(len(own))
            carried = dict(flow.carried)
            numbers = (flow.update, carried.get(M, M), carried.get(V, V))
            outputs[p] = [rows[number] for number in numbers]
        scalars = np.stack([flow.scalars(steps, self.capacity) for flow in flows])
        length = np.array(len(sequence.primitives), np.int32)
        index = np.asarray(lanes)
        return Batch(opcodes, length, turns[index], lines[index], outputs[index], scalars[index])

    def start(self, w: Array) -> Array:
        """Zeros for m and v, float32 (2, P)."""
        return jnp.zeros((2, w.shape[0]), jnp.float32)

    def step(
        self, program: Any, state: Array, w: Array, g: Any, factor: Array, step: Array
    ) -> tuple[Array, Array, Array]:
        """One run of the program: new weights, the new m and v, all finite or not."""
        registers = self._registers(state, w, g)
        scalars = lax.dynamic_index_in_dim(program.scalars, step, keepdims=False)
        branches = self._branches(w.shape[0])

        def execute(index: Array, registers: Array) -> Array:
            line = program.lines[program.turns[index]]
            result = lax.switch(program.opcodes[index], branches, registers, scalars, line)
            updated: Array = lax.dynamic_update_index_in_dim(registers, result, line[1], 0)
            return updated

        registers = lax.fori_loop(0, program.length, execute, registers)
        update, m, v = (lax.dynamic_index_in_dim(registers, row, keepdims=False) for row in program.outputs)
        w, finite = moved(w, update, factor)
        return w, jnp.stack([m, v]), finite

    def _registers(self, state: Array, w: Array, g: Any) -> Array:
        """A register file with the values that a step begins with; its last row is never read."""
        registers = jnp.zeros((row_count(self.capacity) + 1, w.shape[0]), jnp.float32)
        for row, values in ((W_ROW, w), (M_ROW, state[0]), (V_ROW, state[1])):
            registers = lax.dynamic_update_slice(registers, values[None], (row, 0))
        offset = 0
        for leaf in jax.tree.leaves(g):
            registers = lax.dynamic_update_slice(registers, leaf.reshape(1, -1), (G_ROW, offset))
            offset += leaf.size
        return registers
