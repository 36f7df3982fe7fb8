"""Terms: what a program computes, as expressions over its inputs, without names and without order.

A term knows its digest, so that equal terms are equal wherever they were made, and shared parts are shared.
Constants are exact fractions: sums and products of them lose nothing until the program is written again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b

from evosearch.language import Constant, Statement, analyze
from evosearch.language.abstract import fold
from evosearch.language.program import INPUTS, OUTPUTS, Argument
from primitives import BY_NAME, ValueType

INPUT, CONSTANT = "input", "constant"
"""Names of the two kinds of leaves; every other term has the name of a primitive."""


@dataclass(frozen=True, eq=False)
class Term:
    """A primitive applied to terms, an input, or a constant.

    Attributes:
        name: of a primitive, `INPUT` or `CONSTANT`.
        args: empty for leaves.
        leaf: an input's name or a constant's number.
        type: tensor, leafwise or scalar.
        key: digest of all of it; equal terms have equal keys.
    """

    name: str
    args: tuple[Term, ...] = ()
    leaf: str | Fraction | None = None
    type: ValueType = field(init=False)
    key: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", _type(self))
        parts = (self.name.encode(), str(self.leaf).encode(), *(arg.key for arg in self.args))
        object.__setattr__(self, "key", blake2b(b"|".join(parts), digest_size=16).digest())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Term) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def number(self) -> Fraction | None:
        """The constant's number, None for every other term."""
        return self.leaf if isinstance(self.leaf, Fraction) else None

    def __str__(self) -> str:
        """The term for people, with "..." in the place of very long parts.

        >>> str(apply("multiply", constant(2), apply("add", input_term("g"), input_term("m"))))
        '2.0 * (g + m)'
        """
        texts: dict[Term, str] = {}
        for part in subterms([self]):
            text = _text(part, [texts[arg] for arg in part.args])
            texts[part] = text if len(text) <= MOST_CHARACTERS else f"{part.name}(...)"
        return texts[self]


MOST_CHARACTERS = 200
"""Of a term's text: shared parts would make it exponentially long."""


def _text(term: Term, args: Sequence[str]) -> str:
    if isinstance(term.leaf, Fraction):
        return as_constant(term.leaf).text
    if term.leaf is not None:
        return term.leaf
    infix = BY_NAME[term.name].infix
    if infix is None:
        return f"{term.name}({', '.join(args)})"
    left, right = (f"({t})" if _is_infix(arg) else t for arg, t in zip(term.args, args, strict=True))
    return f"{left} {infix} {right}"


def _is_infix(term: Term) -> bool:
    return term.name in BY_NAME and BY_NAME[term.name].infix is not None


def _type(term: Term) -> ValueType:
    if term.name == CONSTANT:
        return ValueType.SCALAR
    if term.name == INPUT:
        return ValueType.SCALAR if term.leaf == "lr" else ValueType.TENSOR
    result = BY_NAME[term.name].result_type(tuple(arg.type for arg in term.args))
    if isinstance(result, str):
        raise TypeError(result)
    return result


def input_term(name: str) -> Term:
    """One of `w`, `g`, `m`, `v`, `lr`."""
    return Term(INPUT, (), name)


def constant(number: float | Fraction) -> Term:
    """A constant; a float stands for exactly its number."""
    return Term(CONSTANT, (), Fraction(number))


def apply(name: str, *args: Term) -> Term:
    """A primitive applied to terms. Raises TypeError where its type rule refuses them."""
    return Term(BY_NAME[name].name, args)


def accepts(name: str, types: Sequence[ValueType]) -> bool:
    """Whether a primitive accepts arguments of such types."""
    return not isinstance(BY_NAME[name].result_type(tuple(types)), str)


_EXACT: Mapping[str, Callable[..., Fraction | None]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "negative": lambda x: -x,
    "abs": abs,
    "square": lambda x: x * x,
    "cube": lambda x: x * x * x,
    "maximum": max,
    "minimum": min,
    "sign": lambda x: Fraction((x > 0) - (x < 0)),
    "interp": lambda x, y, a: (1 - a) * x + a * y,
    "reciprocal": lambda x: 1 / x if x else None,
}
"""What can be computed on fractions without any rounding."""

_BITS = 4096
"""A fraction of more bits than this is rounded: repeated squares would grow without bound."""


def fold_numbers(name: str, numbers: Sequence[Fraction]) -> Fraction | None:
    """A primitive on constants: exactly where fractions allow it, else as abstract execution folds it.

    Returns:
        None where the result is not a finite number that float32 can hold.
    """
    if name in _EXACT:
        exact = _EXACT[name](*numbers)
        return None if exact is None else bounded(exact)
    folded = fold(name, [_nearest(number) for number in numbers])
    return Fraction(folded) if math.isfinite(folded) else None


def bounded(number: Fraction) -> Fraction | None:
    """A number, rounded if it has very many digits; None where float32 makes it infinite or zero."""
    nearest = _nearest(number)
    if not math.isfinite(nearest) or (nearest == 0) != (number == 0):
        return None
    small = number.numerator.bit_length() + number.denominator.bit_length() <= _BITS
    return number if small else Fraction(float(number))


def _nearest(number: Fraction) -> float:
    """The nearest float32 as a float; infinite where it does not fit."""
    try:
        return Constant(float(number)).value
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def as_constant(number: Fraction) -> Constant:
    """The float32 constant that is written into a program."""
    return Constant(_nearest(number))


def subterms(roots: Iterable[Term]) -> Iterator[Term]:
    """Every different term below these, arguments before what they are arguments of."""
    done: set[bytes] = set()
    waiting = [(root, False) for root in reversed([*roots])]
    while waiting:
        term, ready = waiting.pop()
        if term.key in done:
            continue
        if ready or not term.args:
            done.add(term.key)
            yield term
            continue
        waiting.append((term, True))
        waiting += [(arg, False) for arg in reversed(term.args)]


Outputs = Mapping[str, Term]
"""The term of `update`, and of each slot that is carried, under `m` and `v`."""


def terms_of(statements: Sequence[Statement]) -> Outputs:
    """What a valid program computes; constant expressions have become constants.

    >>> str(terms_of((Statement("t", "square", ("g",)), Statement("update", "add", ("t", "w"))))["update"])
    'square(g) + w'
    """
    analysis = analyze(statements)
    env: dict[Argument, Term] = {name: input_term(name) for name in INPUTS}
    for statement in statements:
        args = tuple(constant(a.value) if isinstance(a, Constant) else env[a] for a in statement.args)
        env[statement.target] = folded(statement.primitive, args)
    return {name: env[name] for name in OUTPUTS if name == "update" or name in analysis.state}


def folded(name: str, args: Sequence[Term]) -> Term:
    """A primitive applied to terms, or the constant that it is."""
    term = apply(name, *args)
    numbers = [arg.number for arg in args]
    if any(number is None for number in numbers):
        return term
    number = fold_numbers(term.name, [n for n in numbers if n is not None])
    return term if number is None else constant(number)
