"""A program as data: instructions, scalars and registers for the interpreter.

Only live statements are encoded, and repeated expressions once. Three things keep the run short:

- scalars that depend on nothing but `lr` and constants are known for every step before the training starts;
  they are computed here, for all steps at once, and become columns of a table;
- what remains works on rows of a register file, one flat vector of all weights each; rows are reused as soon
  as nobody reads their value any more, so the rows in use stay in the processor's cache;
- the new `m` and `v` are written to the rows where the next step expects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.language.abstract import DEPENDS, INITIAL, Env, Value, analyze, apply_primitive
from evosearch.language.program import OUTPUTS, Statement
from primitives import BY_NAME, TABLE, ValueType

W_ROW, G_ROW, M_ROW, V_ROW = range(4)
FIRST_FREE_ROW = 4

COPY = len(TABLE)
"""The opcode after those of the table: row x to row d."""

OPCODES = {primitive.name: code for code, primitive in enumerate(TABLE)}

Column = NDArray[np.float32]


@dataclass(frozen=True)
class Capacity:
    """How large a program an interpreter takes; part of what is compiled.

    Attributes:
        statements: the most live statements.
    """

    statements: int = 40

    @property
    def instructions(self) -> int:
        """One for each statement, and a copy for each state slot."""
        return self.statements + 2

    @property
    def rows(self) -> int:
        """The four inputs that are tensors, and a row for each statement at worst."""
        return FIRST_FREE_ROW + self.statements

    @property
    def scalars(self) -> int:
        """At most three arguments a statement."""
        return 3 * self.statements


class Encoded(NamedTuple):
    """A program as arrays of fixed shape.

    Attributes:
        instructions: int32 (capacity.instructions, 5): opcode, destination row, operands x, y, z. An operand
            below capacity.rows is a row; others are columns of `scalars`.
        length: int32 (), how many instructions there are.
        update_row: int32 (), the row that holds `update` after the last instruction.
        scalars: float32 (steps, capacity.scalars).
    """

    instructions: NDArray[np.int32]
    length: NDArray[np.int32]
    update_row: NDArray[np.int32]
    scalars: NDArray[np.float32]


class _Instruction(NamedTuple):
    """Before registers are assigned: results and operands are numbers of values, or scalar columns."""

    opcode: int
    result: int
    operands: tuple[tuple[bool, int], ...]  # (is a scalar column, number)


class _Flow(NamedTuple):
    """A program as a list of distinct computations."""

    instructions: list[_Instruction]
    columns: list[Column]
    update: int
    carried: tuple[tuple[int, int], ...]  # (row where the slot lives, number of its new value)


def encode(statements: Sequence[Statement], schedule: NDArray[np.float32], capacity: Capacity) -> Encoded:
    """Encode a valid program for trainings with this schedule.

    Args:
        statements: a valid program; dead statements are left out.
        schedule: float32 (steps,), the value of `lr` at each step.
        capacity: what the interpreter was compiled for.

    Raises:
        ValueError: the program is invalid, or larger than the capacity.
    """
    analysis = analyze(statements)
    if analysis.refusal is not None:
        raise ValueError(f"only a valid program can be encoded: {analysis.refusal.reason}")
    live = [s for s, flag in zip(statements, analysis.live, strict=True) if flag]
    if len(live) > capacity.statements:
        raise ValueError(f"expected at most {capacity.statements} live statements, found {len(live)}")
    return _pack(_flow(live, analysis.state, schedule), capacity, len(schedule))


def _flow(live: Sequence[Statement], state: tuple[str, ...], schedule: Column) -> _Flow:
    env = Env(INITIAL)
    numbers: dict[bytes, int] = {INITIAL[name].digest: row for row, name in enumerate(("w", "g", "m", "v"))}
    columns: list[Column] = []
    column_of: dict[bytes, int] = {}
    series: dict[bytes, Column] = {INITIAL["lr"].digest: schedule}
    instructions: list[_Instruction] = []

    def column(value: Value) -> int:
        if value.digest not in column_of:
            column_of[value.digest] = len(columns)
            columns.append(_series(value, series))
        return column_of[value.digest]

    for statement in live:
        args = [env[a] for a in statement.args]
        result = apply_primitive(statement.primitive, tuple(args))
        assert isinstance(result, Value)
        env[statement.target] = result
        if _known_ahead(result):
            if result.constant is None and result.digest not in series:
                with np.errstate(all="ignore"):
                    computed = BY_NAME[statement.primitive].reference(*[_series(a, series) for a in args])
                series[result.digest] = np.broadcast_to(np.float32(computed), schedule.shape)
        elif result.digest not in numbers:
            operands = tuple(
                (True, column(a)) if _known_ahead(a) else (False, numbers[a.digest]) for a in args
            )
            numbers[result.digest] = FIRST_FREE_ROW + len(instructions)
            instructions.append(_Instruction(OPCODES[statement.primitive], numbers[result.digest], operands))
    update, m, v = (numbers[env[name].digest] if name in ("update", *state) else -1 for name in OUTPUTS)
    carried = tuple((row, number) for row, number in ((M_ROW, m), (V_ROW, v)) if number >= 0)
    return _Flow(instructions, columns, update, carried)


def _known_ahead(value: Value) -> bool:
    return value.type is ValueType.SCALAR and not value.depends & ~DEPENDS["lr"]


def _series(value: Value, series: dict[bytes, Column]) -> Column:
    return np.asarray(np.float32(value.constant)) if value.constant is not None else series[value.digest]


def _pack(flow: _Flow, capacity: Capacity, steps: int) -> Encoded:
    rows, copies = _assign_rows(flow)
    table = np.zeros((capacity.instructions, 5), np.int32)
    code: list[tuple[int, ...]] = []
    for i in flow.instructions:
        operands = [capacity.rows + number if is_column else rows[number] for is_column, number in i.operands]
        code.append((i.opcode, rows[i.result], *operands))
    code += [(COPY, to, source) for to, source in copies]
    for index, line in enumerate(code):
        table[index, : len(line)] = line
    scalars = np.zeros((steps, capacity.scalars), np.float32)
    for index, values in enumerate(flow.columns):
        scalars[:, index] = values
    return Encoded(table, np.array(len(code), np.int32), np.array(rows[flow.update], np.int32), scalars)


def _assign_rows(flow: _Flow) -> tuple[dict[int, int], list[tuple[int, int]]]:
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
