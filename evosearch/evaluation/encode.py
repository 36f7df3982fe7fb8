"""A program as data: instructions, scalars and registers for the interpreter.

What has to be computed works on rows of a register file, one flat vector of all weights each. Rows are
reused as soon as nobody reads their value any more, so the rows in use stay in the processor's cache; the new
`m` and `v` are written to the rows where the next step expects them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.flow import (
    FIRST_COMPUTED,
    Capacity,
    Flow,
    G,
    Instruction,
    M,
    V,
    W,
    flow_of,
)
from evosearch.language.program import Statement
from primitives import OPCODES

W_ROW, G_ROW, M_ROW, V_ROW = W, G, M, V
FIRST_FREE_ROW = FIRST_COMPUTED

COPY = len(OPCODES)
"""The opcode after those of the table: row x to row d."""


def row_count(capacity: Capacity) -> int:
    """The four inputs that are tensors, and a row for each statement at worst."""
    return FIRST_FREE_ROW + capacity.statements


def instruction_count(capacity: Capacity) -> int:
    """One for each statement, and a copy for each state slot."""
    return capacity.statements + 2


class Encoded(NamedTuple):
    """A program as arrays of fixed shape.

    Attributes:
        instructions: int32 (instruction_count, 5): opcode, destination row, operands x, y, z. An operand
            below row_count is a row; others are columns of `scalars`.
        length: int32 (), how many instructions there are.
        update_row: int32 (), the row that holds `update` after the last instruction.
        scalars: float32 (steps, capacity.scalars).
    """

    instructions: NDArray[np.int32]
    length: NDArray[np.int32]
    update_row: NDArray[np.int32]
    scalars: NDArray[np.float32]


def encode(statements: Sequence[Statement], schedule: NDArray[np.float32], capacity: Capacity) -> Encoded:
    """Encode a valid program for trainings with this schedule.

    Args:
        statements: a valid program; dead statements are left out.
        schedule: float32 (steps,), the value of `lr` at each step.
        capacity: what the interpreter was compiled for.

    Raises:
        ValueError: the program is invalid, or larger than the capacity.
    """
    flow = flow_of(statements, schedule, capacity)
    rows, copies = assign_rows(flow)
    code: list[tuple[int, ...]] = []
    code += [line_of(instruction, rows, capacity) for instruction in flow.instructions]
    code += [(COPY, to, source) for to, source in copies]
    table = np.zeros((instruction_count(capacity), 5), np.int32)
    for index, line in enumerate(code):
        table[index, : len(line)] = line
    scalars = flow.scalars(len(schedule), capacity)
    return Encoded(table, np.array(len(code), np.int32), np.array(rows[flow.update], np.int32), scalars)


def line_of(instruction: Instruction, rows: Mapping[int, int], capacity: Capacity) -> tuple[int, ...]:
    """One line of `Encoded.instructions`, without the operands that the primitive does not take."""
    operands = [
        row_count(capacity) + number if is_column else rows[number]
        for is_column, number in instruction.operands
    ]
    return OPCODES[instruction.primitive], rows[instruction.result], *operands


def assign_rows(flow: Flow) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """The row of each value, and the copies that are left to bring the slots home."""
    last_read = dict.fromkeys(range(FIRST_FREE_ROW), -1)
    for index, instruction in enumerate(flow.instructions):
        last_read.update({number: index for is_column, number in instruction.operands if not is_column})
    end = len(flow.instructions)
    last_read.update(dict.fromkeys((flow.update, *[number for _, number in flow.carried]), end))
    homes = {number: row for row, number in flow.carried if number >= FIRST_FREE_ROW}
    rows = {row: row for row in range(FIRST_FREE_ROW)}
    free: list[int] = []
    next_row = FIRST_FREE_ROW
    dying: dict[int, list[int]] = {}
    for index, instruction in enumerate(flow.instructions):
        # A row that is read for the last time here can take the result: reading comes before writing.
        free += dying.pop(index, [])
        home = homes.get(instruction.result)
        if home is not None and last_read[home] <= index:
            rows[instruction.result] = home
            continue
        if free:
            rows[instruction.result] = free.pop()
        else:
            rows[instruction.result] = next_row
            next_row += 1
        dying.setdefault(last_read[instruction.result], []).append(rows[instruction.result])
    return rows, [(row, rows[number]) for row, number in flow.carried if rows[number] != row]
