"""Programs as bytes: how the native engine keeps statements, and how they travel to workers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Self, overload

from evosearch.language.program import Argument, Constant, Statement, Statements
from primitives import OPCODES, TABLE

_FORMAT = struct.Struct("<iiihBB")
"""`Statement` of `breeder.c`: three arguments, target, opcode, which arguments are constants (a bit each)."""

_NUMBERS = struct.Struct("<fff")
"""The arguments once more, as constants."""

STATEMENT_BYTES = _FORMAT.size

REMEMBERED = 50_000
"""Statements whose bytes are known; more are forgotten together."""


class Packing:
    """Statements as bytes, and back.

    Args:
        variables: all names that there can be.

    Example:
        >>> packing, statement = Packing(("g", "lr", "update")), Statement("update", "multiply", ("g", "lr"))
        >>> packing.unpack(packing.pack((statement,))) == (statement,)
        True
    """

    def __init__(self, variables: Sequence[str]) -> None:
        self.variables = tuple(variables)
        self._number_of = {name: number for number, name in enumerate(variables)}
        self._known: dict[bytes, Statement] = {}

    def pack(self, statements: Sequence[Statement]) -> bytes:
        """Statements one after the other."""
        return b"".join(map(self._pack, statements))

    def _pack(self, statement: Statement) -> bytes:
        args = [self._argument(arg) for arg in statement.args]
        constants = sum(isinstance(arg, Constant) << place for place, arg in enumerate(statement.args))
        padded = (*args, 0, 0, 0)[:3]
        opcode = OPCODES[statement.primitive]
        return _FORMAT.pack(*padded, self._number_of[statement.target], opcode, constants)

    def _argument(self, argument: Argument) -> int:
        if isinstance(argument, Constant):
            bits: int = struct.unpack("<i", struct.pack("<f", argument.value))[0]
            return bits
        return self._number_of[argument]

    def unpack(self, packed: bytes) -> Statements:
        """Statements that `pack` wrote, or C."""
        known, size, new = self._known, STATEMENT_BYTES, self._statement
        pieces = [packed[i : i + size] for i in range(0, len(packed), size)]
        return tuple([known.get(piece) or new(piece) for piece in pieces])

    def _statement(self, packed: bytes) -> Statement:
        *args, target, opcode, constants = _FORMAT.unpack(packed)
        row, numbers = TABLE[opcode], _NUMBERS.unpack_from(packed)
        arguments = [
            Constant(numbers[place]) if constants >> place & 1 else self.variables[arg]
            for place, arg in enumerate(args[: row.arity])
        ]
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        statement = self._known[packed] = Statement(self.variables[target], row.name, arguments)
        return statement


class PackedStatements(Sequence[Statement]):
    """A program's statements, read from their bytes when somebody looks at them.

    Whoever breeds seldom does, and a message of bytes is ten times as quickly written as one of statements.
    Equal to every sequence of the same statements.

    Args:
        packing: that the bytes are of.
        packed: the statements.
    """

    __slots__ = ("_packed", "_packing", "_read")

    def __init__(self, packing: Packing, packed: bytes) -> None:
        self._packing = packing
        self._packed = packed
        self._read: Statements | None = None

    @classmethod
    def of(cls, variables: tuple[str, ...], packed: bytes) -> Self:
        """Bytes of `Packing(variables)`."""
        return cls(_packing(variables), packed)

    @property
    def statements(self) -> Statements:
        """As a tuple."""
        if self._read is None:
            self._read = self._packing.unpack(self._packed)
        return self._read

    @overload
    def __getitem__(self, place: int) -> Statement: ...
    @overload
    def __getitem__(self, place: slice) -> Statements: ...
    def __getitem__(self, place: int | slice) -> Statement | Statements:
        return self.statements[place]

    def __iter__(self) -> Iterator[Statement]:
        return iter(self.statements)

    def __len__(self) -> int:
        return len(self._packed) // STATEMENT_BYTES

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.statements == tuple(other)

    def __hash__(self) -> int:
        return hash(self.statements)

    def __repr__(self) -> str:
        return repr(self.statements)

    def __reduce__(self) -> tuple[object, tuple[tuple[str, ...], bytes]]:
        return type(self).of, (self._packing.variables, self._packed)


@lru_cache(maxsize=8)
def _packing(variables: tuple[str, ...]) -> Packing:
    """One for each search that a process hears of, so that what it has read is remembered."""
    return Packing(variables)
