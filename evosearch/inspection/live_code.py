"""The live code of many programs, quickly: which primitives and which ideas stand in it.

`analyze` says all this of one program, at a price that tens of thousands of programs can't pay. Here lines
are looked up in a memo and nothing is digested; a test holds both to the same answers.

An *idea* is a live statement with everything it is computed from, where every constant is any constant:
`sqrt(v)` after `v = interp(g2, v, 0.999)` after `g2 = square(g)` is the square root of an interpolation of
the squared gradient and a slot. Names do not matter, nor which slot is called m, nor the order of arguments
of commutative primitives. An expression without inputs is a constant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from evosearch.errors import RunError
from evosearch.language.program import FOOTER, HEADER, INPUTS, Statement
from primitives import BY_NAME, TABLE

CONSTANT = 0
"""The idea of a constant, and of every expression without inputs."""

_SWAPPED = {"m": "v", "v": "m"}
_INFIX = {row.infix: row.name for row in TABLE if row.infix}
_LINE = re.compile(r"    (\w+) = (?:(\w+)\((.*)\)|(\S+) (\S) (\S+))")


class Line(NamedTuple):
    """A statement as far as this module cares: constants among the arguments are None."""

    target: str
    primitive: str
    args: tuple[str | None, ...]
    variables: tuple[str, ...]


class LiveIdea(NamedTuple):
    """One live statement: its index, its primitive, and the number of its idea."""

    statement: int
    primitive: str
    idea: int


def _passes(targets: Sequence[str], variables: Sequence[tuple[str, ...]]) -> list[int]:
    """Indices of the live statements, the last one first."""
    wanted = {"update"}
    while True:
        needed, live = set(wanted), []
        for index in range(len(targets) - 1, -1, -1):
            if targets[index] in needed:
                needed.discard(targets[index])
                needed.update(variables[index])
                live.append(index)
        # What is needed before the first statement is read from the step before: a slot is carried then.
        carried = wanted | needed.intersection(_SWAPPED)
        if carried == wanted:
            return live
        wanted = carried


def live_flags(statements: Sequence[Statement]) -> tuple[bool, ...]:
    """For each statement of a valid program, whether a live output depends on it; as `analyze` says."""
    live = set(_passes([s.target for s in statements], [s.variables for s in statements]))
    return tuple(index in live for index in range(len(statements)))


class LiveCode:
    """Reads live code; remembers lines and ideas, which never changes an answer; numbers ideas from 1."""

    def __init__(self) -> None:
        self._lines: dict[str, Line] = {}
        self._ideas: dict[tuple[object, ...], int] = {}
        self._inputs = {
            name: (self._number((name,)), self._number((_SWAPPED.get(name, name),))) for name in INPUTS
        }

    def of_text(self, text: str, source: str) -> list[LiveIdea]:
        """The live statements that depend on an input, of a valid program as `program_text` prints it.

        Raises:
            RunError: it is not printed like that.
        """
        lines = text.splitlines()
        if lines[:1] != [HEADER] or lines[1:][-1:] != [FOOTER]:
            raise RunError(f"{source} is not a program as evosearch prints it: restore the run from a copy")
        known = self._lines
        return self._ideas_of([known[t] if t in known else self._learn(t, source) for t in lines[1:-1]])

    def of(self, statements: Iterable[Statement]) -> list[LiveIdea]:
        """The live statements of a valid program that depend on an input."""
        lines = [
            Line(s.target, s.primitive, tuple(a if isinstance(a, str) else None for a in s.args), s.variables)
            for s in statements
        ]
        return self._ideas_of(lines)

    def _ideas_of(self, lines: Sequence[Line]) -> list[LiveIdea]:
        known = dict(self._inputs)
        found = []
        for index in reversed(_passes([x.target for x in lines], [x.variables for x in lines])):
            target, primitive, args, _ = lines[index]
            pair = self._pair(primitive, [(CONSTANT, CONSTANT) if a is None else known[a] for a in args])
            known[target] = pair
            if pair[0] != CONSTANT:
                found.append(LiveIdea(index, primitive, min(pair)))
        return found

    def _pair(self, primitive: str, args: list[tuple[int, int]]) -> tuple[int, int]:
        """The number of an expression, and its number if the slots m and v had each other's name."""
        straight, swapped = [a for a, _ in args], [b for _, b in args]
        if not any(straight):
            return CONSTANT, CONSTANT
        if BY_NAME[primitive].commutative:
            straight.sort()
            swapped.sort()
        return self._number((primitive, *straight)), self._number((primitive, *swapped))

    def _number(self, key: tuple[object, ...]) -> int:
        return self._ideas.setdefault(key, len(self._ideas) + 1)

    def _learn(self, text: str, source: str) -> Line:
        match = _LINE.fullmatch(text)
        target, name, inside, left, infix, right = match.groups("") if match else ("",) * 6
        primitive = name or _INFIX.get(infix, "")
        if primitive not in BY_NAME:
            raise RunError(
                f"{source}: expected a statement as evosearch prints it, found {text.strip()[:80]!r}: "
                "restore the run from a copy"
            )
        texts = [left, right] if infix else [t for t in inside.split(", ") if t]
        args = tuple(t if t.isidentifier() else None for t in texts)
        self._lines[text] = line = Line(target, primitive, args, tuple(a for a in args if a is not None))
        return line
