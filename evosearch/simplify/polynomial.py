"""Polynomials: sums of products of powers, with exact fractions; and terms that compute them.

A *polynomial* maps monomials to their coefficients. A *monomial* is a product of powers of bases, and a
*base* is what algebra can't look into: an input, `tanh(...)`, `norm(...)`, or a whole sum where a power is
taken of it. A *power* of a base b is |b|^size * sign(b)^odd, so that multiplying adds sizes and turns
signs, and square, sqrt, abs, sign, cube, cbrt and reciprocal are all powers.

A power also knows whether it vanishes where its base does. x / x is 1 except at 0, where division gives
0 / 1e-8 = 0; gradients that are exactly 0 are common (embeddings that a batch does not touch), so sign(x) *
sign(x) is never taken for 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from typing import NamedTuple

from evosearch.simplify.terms import Term, apply, bounded, constant, folded, subterms

SUM_TO_ONE = Fraction(1, 10**6)
"""Two coefficients this close to a sum of one are the weights of an interp whose constants were rounded."""


class Power(NamedTuple):
    """|b|^size * sign(b)^odd, and 0 at b = 0 if `vanishes`."""

    size: Fraction
    odd: bool
    vanishes: bool

    def times(self, other: Power) -> Power:
        """The product of two powers of one base."""
        size = self.size + other.size
        return Power(size, self.odd != other.odd, size > 0 or self.vanishes or other.vanishes)


ONCE = Power(Fraction(1), True, True)


@dataclass(frozen=True)
class Base:
    """What powers are taken of; a sum has its polynomial.

    Bases are equal if their terms are.
    """

    term: Term
    polynomial: Polynomial | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Base) and self.term == other.term

    def __hash__(self) -> int:
        return hash(self.term)


Monomial = tuple[tuple[Base, Power], ...]
"""Sorted by the keys of the bases."""
Polynomial = Mapping[Monomial, Fraction]

ONE: Monomial = ()


def common_factor(polynomial: Polynomial) -> Monomial:
    """The powers that every monomial contains in full: a factor of the whole."""
    monomials = [*polynomial]
    shared = set(monomials[0]).intersection(*monomials[1:])
    return tuple(item for item in monomials[0] if item in shared)


def without(monomial: Monomial, common: Monomial) -> Monomial:
    """What is left of a monomial when a factor of it is divided out."""
    return tuple(item for item in monomial if item not in common)


def leading(polynomial: Polynomial) -> Fraction:
    """The coefficient of the first monomial in an order that does not depend on coefficients."""
    return polynomial[min(polynomial, key=_order)]


def _order(monomial: Monomial) -> list[tuple[bytes, Power]]:
    return [(base.term.key, power) for base, power in monomial]


def scale_of(polynomial: Polynomial) -> Fraction:
    """What to divide a sum by: so that its coefficients sum to one, or else its leading one is one.

    Only the sign of the scale of a sum whose coefficients have both signs would depend on rounding; those are
    scaled by the leading coefficient.
    """
    total = sum(polynomial.values(), Fraction(0))
    same_sign = len({coefficient > 0 for coefficient in polynomial.values()}) == 1
    return total if same_sign and len(polynomial) > 1 else leading(polynomial)


def scaled(polynomial: Polynomial, scale: Fraction) -> tuple[Fraction, Polynomial]:
    """The scale, and the polynomial divided by it; 1 and all of it where a quotient is no float32."""
    divided = {monomial: coefficient / scale for monomial, coefficient in polynomial.items()}
    if any(bounded(coefficient) is None for coefficient in divided.values()):
        return Fraction(1), polynomial
    return scale, divided


def sorted_monomial(powers: Mapping[Base, Power]) -> Monomial:
    """The product of powers of different bases."""
    return tuple(sorted(powers.items(), key=lambda item: item[0].term.key))


def of_base(base: Base) -> Polynomial:
    """A base by itself."""
    return {((base, ONCE),): Fraction(1)}


def rebuild(polynomial: Polynomial) -> Term:
    """A term that computes a polynomial: common factors first, interp where two weights sum to one."""
    if not polynomial:
        return constant(0)
    common = common_factor(polynomial) if len(polynomial) > 1 else ONE
    rest = {without(monomial, common): c for monomial, c in polynomial.items()}
    if common == ONE:
        return _sum(rest)
    scale = _weightiest(rest) if len(rest) > 1 else Fraction(1)
    scale, inner = scaled(rest, scale)
    return _product([_monomial(common, scale), _sum(inner)])


def _weightiest(polynomial: Polynomial) -> Fraction:
    """The coefficient of the largest term: direction + decay * w reads best with 1 before the direction."""
    sizes = {monomial: len([*subterms([_monomial(monomial)])]) for monomial in polynomial}
    return polynomial[max(sorted(sizes, key=_order), key=sizes.__getitem__)]


def _sum(polynomial: Polynomial) -> Term:
    monomials = sorted(polynomial, key=_order)
    if len(monomials) == 2 and abs(sum(polynomial.values(), Fraction(-1))) < SUM_TO_ONE:
        x, y = sorted(monomials, key=lambda monomial: polynomial[monomial])
        if 0 < polynomial[y] < 1:
            return apply("interp", _monomial(x), _monomial(y), constant(polynomial[y]))
    first, *rest = sorted(monomials, key=lambda monomial: polynomial[monomial] < 0)
    total = _monomial(first, polynomial[first])
    for monomial in rest:
        name, size = ("add" if polynomial[monomial] > 0 else "subtract"), abs(polynomial[monomial])
        total = apply(name, total, _monomial(monomial, size))
    return total


def _monomial(monomial: Monomial, coefficient: Fraction = Fraction(1)) -> Term:
    """Scalars first, so that arrays are touched as few times as possible."""
    above: list[Term] = []
    below: list[Term] = []
    for base, power in sorted(monomial, key=lambda item: (item[0].term.type, item[0].term.key)):
        top, bottom = _factors(base.term, power)
        above += top
        below += bottom
    if coefficient != 1 or not above:
        above.insert(0, constant(coefficient))
    top_term = _product(above)
    return apply("divide", top_term, _product(below)) if below else top_term


def _product(factors: Sequence[Term]) -> Term:
    return reduce(lambda x, y: folded("multiply", [x, y]), sorted(factors, key=lambda factor: factor.type))


def _factors(base: Term, power: Power) -> tuple[list[Term], list[Term]]:
    """A power of a base as factors above and below the bar."""
    size, odd, vanishes = power
    if size > 0:
        return [_positive(base, size, odd)], []
    if size == 0:
        return ([apply("sign", base)], []) if odd else ([base], [base])
    if vanishes:
        return [apply("sign", base)], [_positive(base, -size, not odd)]
    return [], [_positive(base, -size, odd)]


_NAMED: Mapping[tuple[Fraction, bool], Callable[[Term], Term]] = {
    (Fraction(1), True): lambda x: x,
    (Fraction(1), False): lambda x: apply("abs", x),
    (Fraction(2), False): lambda x: apply("square", x),
    (Fraction(3), True): lambda x: apply("cube", x),
    (Fraction(1, 2), False): lambda x: apply("sqrt", x),
    (Fraction(1, 3), True): lambda x: apply("cbrt", x),
    (Fraction(4), False): lambda x: apply("square", apply("square", x)),
    (Fraction(1, 4), False): lambda x: apply("sqrt", apply("sqrt", x)),
    (Fraction(2), True): lambda x: apply("multiply", x, apply("abs", x)),
}


def _positive(base: Term, size: Fraction, odd: bool) -> Term:
    """|base|^size * sign(base)^odd for a size above zero."""
    named = _NAMED.get((size, odd))
    if named is not None:
        return named(base)
    whole = apply("power", apply("abs", base), constant(size))
    return apply("multiply", apply("sign", base), whole) if odd else whole
