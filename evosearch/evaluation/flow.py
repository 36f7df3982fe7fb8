"""A program as a list of distinct computations: what both interpreters encode.

Only live statements count, and repeated expressions once. Scalars that depend on nothing but `lr` and
constants are known for every step before the training starts: they are computed here, for all steps at once,
and become columns of a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.language.abstract import DEPENDS, INITIAL, Env, Value, analyze, apply_primitive
from evosearch.language.program import OUTPUTS, Statement
from primitives import BY_NAME, ValueType

W, G, M, V = range(4)
"""The numbers of the values that a step begins with."""

FIRST_COMPUTED = 4

Column = NDArray[np.float32]


@dataclass(frozen=True)
class Capacity:
    """How large a program an interpreter takes; part of what is compiled.

    Attributes:
        statements: the most live statements.
    """

    statements: int = 40

    @property
    def scalars(self) -> int:
        """At most three arguments a statement."""
        return 3 * self.statements


class Operand(NamedTuple):
    """What an instruction reads: a column of scalars, or a value by its number."""

    is_column: bool
    number: int


class Instruction(NamedTuple):
    """One primitive, not yet placed in any memory.

    Attributes:
        primitive: its name.
        result: the number of its result.
        type: of the result.
        operands: as many as the primitive's arity.
    """

    primitive: str
    result: int
    type: ValueType
    operands: tuple[Operand, ...]


class Flow(NamedTuple):
    """A program as distinct computations, in order.

    Attributes:
        instructions: all that has to be computed in each step; results are numbered from FIRST_COMPUTED on.
        columns: scalars that are known ahead, one number or one for each step.
        update: the number of `update`.
        carried: for each slot that is carried, the number where it begins (M or V) and that of its new value.
    """

    instructions: list[Instruction]
    columns: list[Column]
    update: int
    carried: tuple[tuple[int, int], ...]

    def scalars(self, steps: int, capacity: Capacity) -> NDArray[np.float32]:
        """The columns as one table, float32 (steps, capacity.scalars)."""
        table = np.zeros((steps, capacity.scalars), np.float32)
        for index, values in enumerate(self.columns):
            table[:, index] = values
        return table


def flow_of(statements: Sequence[Statement], schedule: NDArray[np.float32], capacity: Capacity) -> Flow:
    """The flow of a valid program.

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
    return _flow(live, analysis.state, schedule)


def _flow(live: Sequence[Statement], state: tuple[str, ...], schedule: Column) -> Flow:
    env = Env(INITIAL)
    numbers: dict[bytes, int] = {INITIAL[name].digest: n for n, name in enumerate(("w", "g", "m", "v"))}
    columns: list[Column] = []
    column_of: dict[bytes, int] = {}
    series: dict[bytes, Column] = {INITIAL["lr"].digest: schedule}
    instructions: list[Instruction] = []

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
                Operand(True, column(a)) if _known_ahead(a) else Operand(False, numbers[a.digest])
                for a in args
            )
            number = numbers[result.digest] = FIRST_COMPUTED + len(instructions)
            instructions.append(Instruction(statement.primitive, number, result.type, operands))
    update, m, v = (numbers[env[name].digest] if name in ("update", *state) else -1 for name in OUTPUTS)
    carried = tuple((slot, number) for slot, number in ((M, m), (V, v)) if number >= 0)
    return Flow(instructions, columns, update, carried)


def _known_ahead(value: Value) -> bool:
    return value.type is ValueType.SCALAR and not value.depends & ~DEPENDS["lr"]


def _series(value: Value, series: dict[bytes, Column]) -> Column:
    return np.asarray(np.float32(value.constant)) if value.constant is not None else series[value.digest]
