"""Programs as values: a program is a tuple of statements, a statement is `target = primitive(arguments)`."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from primitives import BY_NAME

if TYPE_CHECKING:
    from evosearch.language.abstract import Value

INPUTS = ("w", "g", "m", "v", "lr")
"""What a program is given: weights, gradient, the two state slots, and the schedule's value at this step."""

OUTPUTS = ("update", "m", "v")
"""What a program gives back: `w` becomes `w - update`; `m` and `v` are carried to the next step."""

HEADER = f"def train({', '.join(INPUTS)}):"
_RETURN = f"return {', '.join(OUTPUTS)}"
FOOTER = f"    {_RETURN}"

SMALLEST_NORMAL = 2.0**-126


def float32(value: float) -> float:
    """The float32 nearest to `value`, as a Python float; subnormal numbers become zero, as XLA treats them.

    Raises OverflowError where `value` does not fit.
    """
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return math.copysign(0.0, rounded) if abs(rounded) < SMALLEST_NORMAL else rounded


SCIENTIFIC_BELOW, SCIENTIFIC_FROM = 1e-4, 1e6
"""Magnitudes outside of these are written with an exponent."""


def constant_text(value: float) -> str:
    """A float32 number with the fewest digits that read back to it.

    NumPy's `str` says the same today; where it begins to write exponents has changed between its versions,
    and the text of a program must not.

    >>> constant_text(float32(0.1)), constant_text(1e6), constant_text(100.0)
    ('0.1', '1e+06', '100.0')
    """
    number = np.float32(value)
    if value == 0 or SCIENTIFIC_BELOW <= abs(value) < SCIENTIFIC_FROM:
        return np.format_float_positional(number, unique=True, trim="0")
    return np.format_float_scientific(number, unique=True, trim="-", exp_digits=2)


class Constant:
    """A finite float32 constant, printed with the fewest digits that read back to the same number.

    >>> Constant(0.8999999761581421).text
    '0.9'
    """

    __slots__ = ("_text", "abstract", "value")

    def __init__(self, value: float) -> None:
        self.value = float32(value)
        if not math.isfinite(self.value):
            raise OverflowError(f"a constant must be finite, found {value}")
        self._text = ""
        self.abstract: Value | None = None  # filled in by abstract execution, the first time it meets it

    @property
    def text(self) -> str:
        """As programs print it; found when somebody asks."""
        if not self._text:
            self._text = constant_text(self.value)
        return self._text

    def __eq__(self, other: object) -> bool:
        # 0.0 and -0.0 differ: 1 / -0.0 is not 1 / 0.0.
        return (
            isinstance(other, Constant)
            and self.value == other.value
            and math.copysign(1.0, self.value) == math.copysign(1.0, other.value)
        )

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"Constant({self.text})"

    def __reduce__(self) -> tuple[type[Constant], tuple[float]]:
        return (Constant, (self.value,))


Argument = str | Constant
"""A variable's name, or a constant."""


class Statement:
    """`target = primitive(args)`, one primitive a statement. A value: nothing of it ever changes.

    Attributes:
        target: the variable it writes.
        primitive: a canonical name of the table in `primitives`.
        args: what the primitive is applied to; floats become constants.
        variables: the names among `args`.

    >>> Statement("m", "interp", ("g", "m", 0.9)).text
    'm = interp(g, m, 0.9)'
    """

    # Written out and no frozen dataclass: a search makes one for nearly every child, and this is three times
    # as fast.
    __slots__ = ("_text", "args", "primitive", "target", "variables")

    def __init__(self, target: str, primitive: str, args: Iterable[Argument | float]) -> None:
        self.target: Final = target
        self.primitive: Final = primitive
        self.args: Final = tuple([a if isinstance(a, (str, Constant)) else Constant(a) for a in args])
        self.variables: Final = tuple([a for a in self.args if isinstance(a, str)])
        self._text = ""

    @property
    def text(self) -> str:
        """As a program spells it; found when somebody asks."""
        if not self._text:
            self._text = f"{self.target} = {_expression(self.primitive, self.args)}"
        return self._text

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Statement)
            and self.target == other.target
            and self.primitive == other.primitive
            and self.args == other.args
        )

    def __hash__(self) -> int:
        return hash((self.target, self.primitive, self.args))

    def __repr__(self) -> str:
        return f"Statement(target={self.target!r}, primitive={self.primitive!r}, args={self.args!r})"

    def __reduce__(self) -> tuple[type[Statement], tuple[str, str, tuple[Argument, ...]]]:
        return (Statement, (self.target, self.primitive, self.args))


Statements = tuple[Statement, ...]


def _expression(primitive: str, args: tuple[Argument, ...]) -> str:
    texts = [a if isinstance(a, str) else a.text for a in args]
    infix = BY_NAME[primitive].infix
    return f"{texts[0]} {infix} {texts[1]}" if infix else f"{primitive}({', '.join(texts)})"


@dataclass(frozen=True, slots=True)
class Program:
    """A tuple of statements, run once per training step.

    `str(program)` is its text, which `parse` reads back to an equal program.
    """

    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return program_text(self.statements)

    def __len__(self) -> int:
        return len(self.statements)


def program_text(statements: Iterable[Statement]) -> str:
    """The text of a program: valid Python, one statement a line, ending in a newline."""
    return "\n    ".join([HEADER, *[s.text for s in statements], _RETURN]) + "\n"
