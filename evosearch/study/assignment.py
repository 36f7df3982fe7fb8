"""A program in which every variable is assigned once, so that a value can be replaced wherever it is read.

`unfold` numbers the statements of a program: each target becomes `#0`, `#1`, ... and each argument says which
statement made it. `fold_names` goes back: it gives variables their old names where these do not get into each
other's way, and new names or a copy where they do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evosearch.language import analyze
from evosearch.language.mutation import new_name
from evosearch.language.program import INPUTS, OUTPUTS, Argument, Constant, Statement
from primitives import ValueType

Statements = tuple[Statement, ...]


@dataclass(frozen=True)
class Assigned:
    """A program whose every target is assigned once.

    Attributes:
        statements: in an order in which each reads what was assigned before; targets start with "#".
        outputs: which variable goes out as `update`, and as each slot that is carried.
        names: for each target the name it had.
    """

    statements: Statements
    outputs: Mapping[str, Argument]
    names: Mapping[str, str]

    @property
    def by_target(self) -> dict[str, Statement]:
        """Each target's statement."""
        return {statement.target: statement for statement in self.statements}

    def replaced(self, target: str, by: Argument) -> Assigned:
        """The same program with `by` wherever `target` is read; its statement stays, dead."""
        swap: dict[Argument, Argument] = {target: by}
        statements = tuple(
            Statement(s.target, s.primitive, tuple(swap.get(a, a) for a in s.args)) for s in self.statements
        )
        outputs = {slot: swap.get(value, value) for slot, value in self.outputs.items()}
        return Assigned(statements, outputs, self.names)


def unfold(statements: Sequence[Statement]) -> Assigned:
    """A valid program with every target assigned once.

    >>> from evosearch.language import builtin
    >>> [s.text for s in unfold(builtin("sgd").statements).statements]
    ['#0 = lr * 0.1', '#1 = g * #0']
    """
    holds: dict[Argument, Argument] = {name: name for name in INPUTS}
    names, result = {}, []
    for number, statement in enumerate(statements):
        args = tuple(a if isinstance(a, Constant) else holds[a] for a in statement.args)
        target = f"#{number}"
        result.append(Statement(target, statement.primitive, args))
        holds[statement.target], names[target] = target, statement.target
    carried = analyze(statements).state
    outputs = {slot: holds[slot] for slot in OUTPUTS if slot == "update" or slot in carried}
    return Assigned(tuple(result), outputs, names)


def fold_names(program: Assigned) -> Statements | None:
    """The program with names that people read; None if its types do not fit or its update is no tensor."""
    values = analyze(program.statements).values
    if len(values) < len(program.statements):
        return None
    types = {s.target: value.type for s, value in zip(program.statements, values, strict=True)}
    types |= {name: ValueType.SCALAR if name == "lr" else ValueType.TENSOR for name in INPUTS}
    if any(types.get(str(value)) is not ValueType.TENSOR for value in program.outputs.values()):
        return None
    return _Naming(program, types).statements()


class _Clash(NamedTuple):
    """A variable is read under a name that has been given to another by then."""

    reader: Argument
    holder: str


class _Naming:
    """Gives names until none gets into another's way; each step renames for good, so it ends."""

    def __init__(self, program: Assigned, types: Mapping[str, ValueType]) -> None:
        self._lines = list(program.statements)
        self._outputs: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for slot, value in program.outputs.items():
            # What goes out of a slot is the slot's own input, or a statement of that slot alone.
            own = value == slot or (value in program.names and value not in self._outputs.values())
            self._outputs[slot] = str(value) if own else self._copy(value)
            if self._outputs[slot] != slot:
                self._names[self._outputs[slot]] = slot
        for target, name in program.names.items():
            # A slot that is not carried must hold a tensor in the end, whatever its name was used for.
            narrow = name in OUTPUTS and types[target] is not ValueType.TENSOR
            self._names.setdefault(target, self._fresh() if narrow else name)

    def _copy(self, value: Argument) -> str:
        """A copy of a value in a statement at the end."""
        target = f"#{len(self._lines)}"
        self._lines.append(Statement(target, "multiply", (value, Constant(1.0))))
        return target

    def _fresh(self) -> str:
        return new_name([*INPUTS, *OUTPUTS, *self._names.values()])

    def statements(self) -> Statements:
        """The statements with their names."""
        while (clash := self._clash()) is not None:
            slot = self._slot(clash.holder)
            if slot is None:
                self._names[clash.holder] = self._fresh()
            elif clash.reader in self._names:
                self._names[str(clash.reader)] = self._fresh()
            else:  # a slot's new value is there before the old one was last read
                self._names[clash.holder] = self._fresh()
                self._outputs[slot] = self._copy(clash.holder)
                self._names[self._outputs[slot]] = slot
        return tuple(
            Statement(self._names[s.target], s.primitive, tuple(self._name(a) for a in s.args))
            for s in self._lines
        )

    def _slot(self, target: str) -> str | None:
        return next((slot for slot, value in self._outputs.items() if value == target), None)

    def _name(self, argument: Argument) -> Argument:
        return argument if isinstance(argument, Constant) else self._names.get(argument, argument)

    def _clash(self) -> _Clash | None:
        """The first clash, or None."""
        holds: dict[Argument, str] = {name: name for name in INPUTS}
        for line in self._lines:
            for argument in line.variables:
                if holds[self._name(argument)] != argument:
                    return _Clash(argument, holds[self._name(argument)])
            holds[self._names[line.target]] = line.target
        for slot, value in self._outputs.items():
            if holds[slot] != value:
                return _Clash(value, holds[slot])
        return None
