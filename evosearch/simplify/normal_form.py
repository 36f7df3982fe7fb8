"""The normal form: a term as a polynomial, by named laws.

Terms that are equal by the laws of `LAWS` have the same normal form; which laws were used on the way is
reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from evosearch.simplify.polynomial import (
    ONCE,
    ONE,
    Base,
    Monomial,
    Polynomial,
    Power,
    common_factor,
    leading,
    of_base,
    rebuild,
    scale_of,
    scaled,
    sorted_monomial,
    without,
)
from evosearch.simplify.step import Exactness
from evosearch.simplify.terms import Term, bounded, fold_numbers, folded, subterms
from primitives import BY_NAME, TABLE, ValueType

WRITTEN_ANEW = "sums and products"

LAWS: Mapping[str, tuple[Exactness, str]] = {
    WRITTEN_ANEW: (Exactness.ROUNDING, "sums and products in any order, common factors first"),
    "like terms": (Exactness.ROUNDING, "a * x + b * x = (a + b) * x"),
    "cancelled terms": (Exactness.FINITE, "x - x = 0"),
    "distribution": (Exactness.ROUNDING, "x * (y + z) = x * y + x * z"),
    "interp as a sum": (Exactness.ROUNDING, "interp(x, y, a) = (1 - a) * x + a * y"),
    "powers": (Exactness.ROUNDING, "square, cube, sqrt, cbrt, abs and sign of products; their products"),
    "cancelled powers": (
        Exactness.GUARD,
        "x * abs(x) ** -1 = sign(x); so for all powers above and below the bar",
    ),
    "division as a power": (Exactness.GUARD, "x / y = x * y ** -1"),
    "division by a constant": (Exactness.ROUNDING, "x / a = (1 / (a + 1e-8)) * x"),
    "reciprocal": (Exactness.GUARD, "reciprocal(x) = x ** -1"),
    "scale of a sum": (Exactness.ROUNDING, "sign(a * x) = sign(x) for a > 0; so for all powers"),
    "odd": (Exactness.EXACT, "f(-x) = -f(x)"),
    "even": (Exactness.EXACT, "f(-x) = f(x)"),
    "homogeneous": (Exactness.ROUNDING, "norm(s * x) = abs(s) * norm(x) for a scalar s"),
    "bilinear": (Exactness.ROUNDING, "dot(s * x, y) = s * dot(x, y) for a scalar s"),
    "nested extremes": (Exactness.EXACT, "maximum(x, maximum(x, y)) = maximum(x, y); minimum alike"),
}
"""Every law that the normal form uses: in what sense it holds, and what it says."""


@dataclass(frozen=True)
class Normal:
    """A term in normal form.

    Attributes:
        term: written again from the polynomial.
        polynomial: its normal form.
        laws: names of the laws that were used on the way from its arguments' normal forms.
    """

    term: Term
    polynomial: Polynomial
    laws: frozenset[str]


def normal_forms(
    roots: Iterable[Term], allowed: frozenset[Exactness] = frozenset(Exactness)
) -> dict[Term, Normal]:
    """The normal form of every term below these.

    Args:
        roots: terms.
        allowed: laws of other kinds are not used.

    Example:
        normal = normal_forms([term])[term]
    """
    known: dict[Term, Normal] = {}
    for term in subterms(roots):
        maker = _Maker([known[arg] for arg in term.args])
        polynomial = maker.polynomial(term)
        tame = tamed(polynomial)
        if tame is None or any(LAWS[law][0] not in allowed for law in maker.laws):
            maker.laws.clear()
            tame = maker.opaque(term)
        known[term] = Normal(rebuild(tame), tame, frozenset(maker.laws))
    return known


def tamed(polynomial: Polynomial) -> Polynomial | None:
    """With fractions of bounded length; None where a coefficient is no number of float32 any more."""
    numbers = {monomial: bounded(coefficient) for monomial, coefficient in polynomial.items()}
    kept = {monomial: number for monomial, number in numbers.items() if number is not None}
    return kept if len(kept) == len(numbers) else None


# ---------------------------------------------------------------- into the normal form


class _Maker:
    """Brings one term into normal form, whose arguments are in it; notes the laws that it uses."""

    def __init__(self, args: Sequence[Normal]) -> None:
        self.args = [arg.polynomial for arg in args]
        self.terms = [arg.term for arg in args]
        self.laws: set[str] = set()

    def polynomial(self, term: Term) -> Polynomial:
        if term.number is not None:
            return {ONE: term.number} if term.number else {}
        if not term.args:
            return of_base(Base(term))
        return _RULES.get(term.name, _Maker.opaque)(self, term)

    def _add(self, one: Polynomial, other: Polynomial, factor: Fraction = Fraction(1)) -> Polynomial:
        total = dict(one)
        for monomial, coefficient in other.items():
            known = total.get(monomial)
            total[monomial] = coefficient * factor + (known or 0)
            if known is not None:
                self.laws.add("like terms")
            if total[monomial] == 0:
                del total[monomial]
                self.laws.add("cancelled terms")
        return total

    def _multiply(self, one: Polynomial, other: Polynomial) -> Polynomial:
        """Scalars are multiplied into a sum; two sums, or a sum and an array, stay factors.

        So m / sqrt(v) keeps the sum m that it shares with the next step's state.
        """
        if not one or not other:
            return {}
        if not (_is_scalar_product(one) or _is_scalar_product(other)):
            (a, x), (b, y) = self._one(one), self._one(other)
            return self._spread(self._times(x, y), a * b)
        if len(one) > 1 or len(other) > 1:
            self.laws.add("distribution")
        total: Polynomial = {}
        for x, a in one.items():
            for y, b in other.items():
                total = self._add(total, {self._times(x, y): a * b})
        return total

    def _spread(self, monomial: Monomial, coefficient: Fraction) -> Polynomial:
        """A monomial; one that is a sum times scalars becomes a sum again."""
        sums = [base for base, power in monomial if base.polynomial is not None and power == ONCE]
        scalars = tuple(item for item in monomial if item[0].term.type is ValueType.SCALAR)
        if len(sums) != 1 or len(scalars) != len(monomial) - 1 or sums[0].polynomial is None:
            return {monomial: coefficient}
        return self._multiply(sums[0].polynomial, {scalars: coefficient})

    def _times(self, x: Monomial, y: Monomial) -> Monomial:
        powers = dict(x)
        for base, power in y:
            if base in powers:
                cancels = powers[base].size * power.size < 0
                self.laws.add("cancelled powers" if cancels else "powers")
                powers[base] = powers[base].times(power)
            else:
                powers[base] = power
        return sorted_monomial(powers)

    def _power(self, term: Term, size: Fraction, odd: bool, law: str) -> Polynomial:
        """|x|^size * sign(x)^odd of the argument."""
        return self._power_of(self.args[0], term, size, odd, law)

    def _power_of(self, x: Polynomial, term: Term, size: Fraction, odd: bool, law: str) -> Polynomial:
        self.laws.add(law)
        coefficient, monomial = self._one(x)
        if coefficient == 0:
            return {} if size >= 0 else self.opaque(term)
        powers = {base: _powered(power, size, odd) for base, power in monomial}
        number = _number_powered(coefficient, size, odd)
        if number is None or any(power is None for power in powers.values()):
            return self.opaque(term)
        result = sorted_monomial({base: power for base, power in powers.items() if power is not None})
        return self._spread(result, number)

    def _one(self, polynomial: Polynomial) -> tuple[Fraction, Monomial]:
        """A polynomial as coefficient times monomial; a sum becomes a base, scaled as `scale_of` says."""
        if not polynomial:
            return Fraction(0), ONE
        if len(polynomial) == 1:
            ((monomial, coefficient),) = polynomial.items()
            return coefficient, monomial
        self.laws.add("scale of a sum")
        common = common_factor(polynomial)
        if common:
            self.laws.add("distribution")
        whole = {without(monomial, common): c for monomial, c in polynomial.items()}
        scale, rest = scaled(whole, scale_of(whole))
        base = Base(rebuild(rest), rest)
        return scale, sorted_monomial({**dict(common), base: ONCE})

    def opaque(self, term: Term) -> Polynomial:
        """The primitive applied to arguments in normal form, as a base."""
        return _of_term(self._applied(term, [*self.terms]))

    def _applied(self, term: Term, args: list[Term]) -> Term:
        """With the original in place of an argument whose type became narrower and has to be what it was."""
        expects = BY_NAME[term.name].rule.expects or ()
        for place, expected in enumerate(expects):
            if expected is not None and args[place].type != term.args[place].type:
                args[place] = term.args[place]
        if BY_NAME[term.name].commutative:
            args.sort(key=lambda arg: arg.key)
        return folded(term.name, args)

    def _narrowed(self, term: Term) -> bool:
        """Whether an argument's type became narrower than it was: x - x of a tensor is the number 0 here."""
        return any(now.type is not was.type for now, was in zip(self.terms, term.args, strict=True))

    def sum(self, _: Term) -> Polynomial:
        return self._add(self.args[0], self.args[1])

    def difference(self, _: Term) -> Polynomial:
        return self._add(self.args[0], self.args[1], Fraction(-1))

    def negative(self, _: Term) -> Polynomial:
        return self._add({}, self.args[0], Fraction(-1))

    def product(self, _: Term) -> Polynomial:
        return self._multiply(self.args[0], self.args[1])

    def interp(self, _: Term) -> Polynomial:
        x, y, a = self.args
        self.laws.add("interp as a sum")
        rest = self._add({ONE: Fraction(1)}, a, Fraction(-1))
        return self._add(self._multiply(x, rest), self._multiply(y, a))

    def quotient(self, term: Term) -> Polynomial:
        divisor = self.terms[1].number
        if divisor is not None:
            number = fold_numbers("divide", [Fraction(1), divisor])
            if number is None:
                return self.opaque(term)
            self.laws.add("division by a constant")
            return self._add({}, self.args[0], number)
        inverse = self._power_of(self.args[1], term, Fraction(-1), True, "division as a power")
        if inverse == self.opaque(term):
            return inverse
        return self._multiply(self.args[0], inverse)

    def reciprocal(self, term: Term) -> Polynomial:
        return self._power(term, Fraction(-1), True, "reciprocal")

    def power(self, term: Term) -> Polynomial:
        """Whole powers only: with 0.5 it is NaN for negative x, which sqrt is not."""
        exponent = self.terms[1].number
        if exponent is None or exponent.denominator != 1 or exponent == 0 or abs(exponent) > 64:
            return self.opaque(term)
        return self._power(term, exponent, exponent % 2 == 1, "powers")

    def extreme(self, term: Term) -> Polynomial:
        """The largest or smallest of a set."""
        parts: dict[Term, None] = {}
        for arg in self.terms:
            parts |= dict.fromkeys(_parts(arg, term.name))
        if len(parts) < 2 or any(arg.name == term.name for arg in self.terms):
            self.laws.add("nested extremes")
        if len(parts) == 1:
            return self.args[0]
        members = sorted(parts, key=lambda part: part.key)
        return _of_term(reduce(lambda x, y: folded(term.name, [x, y]), members))

    def symmetric(self, term: Term) -> Polynomial:
        """An odd or even function: its argument's leading coefficient is made positive.

        A commutative one is odd in both arguments.
        """
        primitive, terms = BY_NAME[term.name], [*self.terms]
        places = range(2) if primitive.commutative else range(1)
        turned = [place for place in places if self.args[place] and leading(self.args[place]) < 0]
        if not turned or self._narrowed(term):
            return self.opaque(term)
        self.laws.add("odd" if primitive.odd else "even")
        for place in turned:
            terms[place] = rebuild(self._add({}, self.args[place], Fraction(-1)))
        inner = _of_term(self._applied(term, terms))
        return self._add({}, inner, Fraction(-1)) if primitive.odd and len(turned) == 1 else inner

    def homogeneous(self, term: Term) -> Polynomial:
        """A norm: scalar factors go out, without their sign."""
        scale, rest = self._scalar_factor(self.args[0])
        if scale == {ONE: Fraction(1)} or self._narrowed(term):
            return self.opaque(term)
        self.laws.add("homogeneous")
        inner = _of_term(self._applied(term, [rest]))
        return self._multiply(self._power_of(scale, term, Fraction(1), False, "powers"), inner)

    def bilinear(self, term: Term) -> Polynomial:
        """An inner product: scalar factors of both arguments go out."""
        (scale, x), (other, y) = (self._scalar_factor(arg) for arg in self.args)
        total = self._multiply(scale, other)
        if total == {ONE: Fraction(1)} or self._narrowed(term):
            return self.opaque(term)
        self.laws.add("bilinear")
        return self._multiply(total, _of_term(self._applied(term, [x, y])))

    def _scalar_factor(self, argument: Polynomial) -> tuple[Polynomial, Term]:
        """Coefficient and scalar bases that all monomials share, and the rest; 1 where nothing is left."""
        if not argument:
            return {ONE: Fraction(1)}, rebuild(argument)
        common = tuple(
            (base, power) for base, power in common_factor(argument) if base.term.type is ValueType.SCALAR
        )
        scale = leading(argument) if len(argument) == 1 else scale_of(argument)
        scale, rest = scaled({without(monomial, common): c for monomial, c in argument.items()}, scale)
        return {common: scale}, rebuild(rest)


def _fixed(size: Fraction, odd: bool) -> Callable[[_Maker, Term], Polynomial]:
    return lambda maker, term: maker._power(term, size, odd, "powers")


_RULES: Mapping[str, Callable[[_Maker, Term], Polynomial]] = {
    **{p.name: _Maker.symmetric for p in TABLE if p.odd or p.even},
    "add": _Maker.sum,
    "subtract": _Maker.difference,
    "negative": _Maker.negative,
    "multiply": _Maker.product,
    "divide": _Maker.quotient,
    "interp": _Maker.interp,
    "reciprocal": _Maker.reciprocal,
    "power": _Maker.power,
    "abs": _fixed(Fraction(1), odd=False),
    "sign": _fixed(Fraction(0), odd=True),
    "square": _fixed(Fraction(2), odd=False),
    "cube": _fixed(Fraction(3), odd=True),
    "sqrt": _fixed(Fraction(1, 2), odd=False),
    "cbrt": _fixed(Fraction(1, 3), odd=True),
    "maximum": _Maker.extreme,
    "minimum": _Maker.extreme,
    "norm": _Maker.homogeneous,
    "global_norm": _Maker.homogeneous,
    "rms": _Maker.homogeneous,
    "dot": _Maker.bilinear,
}
"""How each primitive goes into the normal form; the rest are opaque."""

TRANSPARENT = frozenset(["add", "subtract", "negative", "multiply", "divide", "interp", "reciprocal"]).union(
    ["abs", "sign", "square", "cube", "sqrt", "cbrt"]
)
"""Primitives that the normal form always looks through."""


def _is_scalar_product(polynomial: Polynomial) -> bool:
    """Whether it is one product of scalars."""
    types = {base.term.type for monomial in polynomial for base, _ in monomial}
    return len(polynomial) == 1 and types <= {ValueType.SCALAR}


def _of_term(term: Term) -> Polynomial:
    if term.number is not None:
        return {ONE: term.number} if term.number else {}
    return of_base(Base(term))


def _powered(power: Power, size: Fraction, odd: bool) -> Power | None:
    """A power of a power; None where the behaviour at 0 would be lost.

    At 0 a negative power is huge and not 0, and its own powers follow that; sign and indicator of a base stay
    0 there, and their inverse would not.
    """
    if power.size > 0:
        return Power(power.size * size, power.odd and odd, size >= 0)
    if power.size == 0 and size >= 0:
        return Power(Fraction(0), power.odd and odd, True)
    if power.size < 0 and size != 0 and not power.vanishes:
        return Power(power.size * size, power.odd and odd, power.size * size > 0)
    return None


def _number_powered(number: Fraction, size: Fraction, odd: bool) -> Fraction | None:
    sign = -1 if odd and number < 0 else 1
    if size.denominator == 1:
        return sign * abs(number) ** int(size)
    try:
        return sign * Fraction(float(abs(number)) ** float(size))
    except OverflowError:
        return None


def _parts(term: Term, name: str) -> list[Term]:
    return [part for arg in term.args for part in _parts(arg, name)] if term.name == name else [term]
