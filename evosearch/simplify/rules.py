"""The table of rewrite rules: every law of algebra that the e-graph uses, one row each.

Patterns are written as programs are. `x`, `y`, `z` stand for anything, `s` and `t` for scalars, `a`, `b`,
`c` for constants. A rule never applies where it would change the type of a value.

No rule takes x / x or sign(x) * sign(x) for 1: a gradient of exactly 0 is common, and there they are 0.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from evosearch.language.parse import OPERATORS
from evosearch.simplify.step import Exactness
from primitives import BY_NAME, TABLE, ValueType

Numbers = Mapping[str, Fraction]
"""The constants that a, b, c stand for."""

Pattern = str | Fraction | tuple[object, ...]
"""A variable, a constant, or a primitive's name followed by patterns."""

CONSTANTS, SCALARS = frozenset("abc"), frozenset("st")
"""Variables that stand for constants, and for scalars of any kind."""


@dataclass(frozen=True)
class Rule:
    """One law: wherever `left` stands, `right` may stand too.

    Attributes:
        name: for people.
        left: a pattern.
        right: a pattern of the same variables, or fewer.
        exactness: in what sense both sides are equal.
        when: what the constants have to fulfil.
        example: a value of each variable for which the rule fires.
        otherwise: for rules with a condition: constants for which it does not fire.
    """

    name: str
    left: str
    right: str
    exactness: Exactness
    when: Callable[[Numbers], bool] | None = None
    example: Mapping[str, str] | None = None
    otherwise: Mapping[str, str] | None = None

    @cached_property
    def patterns(self) -> tuple[Pattern, Pattern]:
        """Both sides, parsed."""
        return parse_pattern(self.left), parse_pattern(self.right)


def parse_pattern(text: str) -> Pattern:
    """A pattern from its text.

    >>> parse_pattern("x / abs(x)")
    ('divide', 'x', ('abs', 'x'))
    """
    return _pattern(ast.parse(text, mode="eval").body)


def _pattern(node: ast.expr) -> Pattern:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=float() | int() as number):
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=float() | int() as number)):
            return Fraction(-number)
        case ast.BinOp(left=left, op=operator, right=right):
            return (OPERATORS[type(operator)], _pattern(left), _pattern(right))
        case ast.Call(func=ast.Name(id=name), args=args):
            return (BY_NAME[name].name, *map(_pattern, args))
    raise ValueError(f"no pattern: {ast.unparse(node)}")


def variables(pattern: Pattern) -> frozenset[str]:
    """The variables of a pattern."""
    if isinstance(pattern, str):
        return frozenset([pattern])
    if isinstance(pattern, Fraction):
        return frozenset()
    return frozenset().union(*(variables(part) for part in pattern[1:]))  # type: ignore[arg-type]


EXACT, ROUNDING, GUARD, FINITE = Exactness.EXACT, Exactness.ROUNDING, Exactness.GUARD, Exactness.FINITE
NEARLY_ONE = Fraction(1, 10**6)


def _sum_is_one(n: Numbers) -> bool:
    return abs(n["a"] + n["b"] - 1) < NEARLY_ONE and 0 < n["b"] < 1


def _both(
    name: str,
    left: str,
    right: str,
    exactness: Exactness,
    when: Callable[[Numbers], bool] | None = None,
    otherwise: Mapping[str, str] | None = None,
) -> list[Rule]:
    """A law in both directions."""
    back = Rule(f"{name}, backwards", right, left, exactness, when, None, otherwise)
    return [Rule(name, left, right, exactness, when, None, otherwise), back]


def _from_flags() -> list[Rule]:
    """The laws that the table of primitives states."""
    rules = []
    for p in TABLE:
        rest = "".join(f", {letter}" for letter in "yz"[: p.arity - 1])
        if p.commutative:
            rules.append(Rule(f"{p.name} commutes", f"{p.name}(x, y)", f"{p.name}(y, x)", EXACT))
        if p.associative:
            sides = f"{p.name}({p.name}(x, y), z)", f"{p.name}(x, {p.name}(y, z))"
            extreme = p.diagonal
            rules += _both(f"{p.name} associates", *sides, EXACT if extreme else ROUNDING)
        if p.diagonal:
            rules.append(
                Rule(f"{p.name} of equals", f"{p.name}(x, x{rest[3:]})", "x", ROUNDING if rest[3:] else EXACT)
            )
        if p.idempotent and not p.diagonal and p.arity == 1:
            rules.append(Rule(f"{p.name} twice", f"{p.name}({p.name}(x))", f"{p.name}(x)", EXACT))
        if p.involution:
            exactness = EXACT if p.name == "negative" else FINITE
            rules.append(Rule(f"{p.name} twice", f"{p.name}({p.name}(x))", "x", exactness))
        if p.odd and p.group != "binary" and p.name != "negative":
            rules += [
                Rule(
                    f"{p.name} is odd", f"{p.name}(negative(x){rest})", f"negative({p.name}(x{rest}))", EXACT
                ),
                Rule(
                    f"{p.name} is odd, backwards",
                    f"negative({p.name}(x{rest}))",
                    f"{p.name}(negative(x){rest})",
                    EXACT,
                ),
            ]
        if p.even:
            rules.append(Rule(f"{p.name} is even", f"{p.name}(negative(x))", f"{p.name}(x)", EXACT))
            if p.name != "abs":
                rules.append(Rule(f"{p.name} of abs", f"{p.name}(abs(x))", f"{p.name}(x)", EXACT))
    return rules


RULES: tuple[Rule, ...] = (
    *_from_flags(),
    # Neutral elements. x - x and x * 0 are scalars or tensors of zeros: only where the rest is as wide.
    Rule("times one", "x * 1", "x", EXACT),
    Rule("plus zero", "x + 0", "x", EXACT),
    Rule("minus zero", "x - 0", "x", EXACT),
    Rule("plus x - x", "y + (x - x)", "y", FINITE),
    Rule("plus x times zero", "y + x * 0", "y", FINITE),
    Rule("scalar less itself", "s - s", "0", FINITE),
    Rule("scalar times zero", "s * 0", "0", FINITE),
    *_both("zero minus", "0 - x", "negative(x)", EXACT),
    *_both("times minus one", "x * -1", "negative(x)", EXACT),
    *_both("minus is plus negative", "x - y", "x + negative(y)", EXACT),
    Rule("minus negative", "x - negative(y)", "x + y", EXACT),
    Rule("negative product", "negative(x * y)", "negative(x) * y", EXACT),
    Rule("negative constant factor", "negative(a * x)", "negative(a) * x", EXACT),
    Rule("negative difference", "negative(x - y)", "y - x", EXACT),
    # Like terms and factors.
    Rule("twice", "x + x", "2 * x", EXACT),
    Rule("like terms", "a * x + b * x", "(a + b) * x", ROUNDING),
    Rule("like terms, one", "a * x + x", "(a + 1) * x", ROUNDING),
    Rule("like terms, difference", "a * x - b * x", "(a - b) * x", ROUNDING),
    Rule("factor", "x * y + x * z", "x * (y + z)", ROUNDING),
    Rule("factor of a difference", "x * y - x * z", "x * (y - z)", ROUNDING),
    Rule("factor one", "x * y + x", "x * (y + 1)", ROUNDING),
    Rule("factor of quotients", "x / z + y / z", "(x + y) / z", ROUNDING),
    Rule(
        "factor a constant",
        "a * x + b * y",
        "a * (x + (b * reciprocal(a)) * y)",
        ROUNDING,
        lambda n: n["a"] != 0 and n["a"] != 1,
        otherwise={"a": "1", "b": "2"},
    ),
    Rule(
        "spread a constant",
        "a * (x + b * y)",
        "a * x + (a * b) * y",
        ROUNDING,
    ),
    # Interpolation.
    Rule(
        "weights of an interp",
        "a * x + b * y",
        "interp(x, y, b)",
        ROUNDING,
        _sum_is_one,
        otherwise={"a": "0.5", "b": "0.6"},
    ),
    Rule(
        "weights of an interp, after division",
        "x / a + b * y",
        "interp(x, y, b)",
        ROUNDING,
        lambda n: n["a"] != 0 and abs(1 / n["a"] + n["b"] - 1) < NEARLY_ONE and 0 < n["b"] < 1,
        example={"a": "10", "b": "0.9"},
        otherwise={"a": "10", "b": "0.8"},
    ),
    Rule("interp turned", "interp(x, y, a)", "interp(y, x, 1 - a)", ROUNDING),
    Rule("interp from a difference", "x + a * (y - x)", "interp(x, y, a)", ROUNDING),
    Rule("interp in interp", "interp(x, interp(x, y, a), b)", "interp(x, y, a * b)", ROUNDING),
    Rule(
        "interp in interp, other side",
        "interp(interp(x, y, a), y, b)",
        "interp(x, y, 1 - (1 - a) * (1 - b))",
        ROUNDING,
    ),
    Rule("scaled interp", "interp(a * x, a * y, b)", "a * interp(x, y, b)", ROUNDING),
    Rule("interp at zero", "interp(x, y, 0)", "x", FINITE),
    Rule("interp at one", "interp(x, y, 1)", "y", FINITE),
    Rule("interp with zero", "interp(x, 0, a)", "(1 - a) * x", ROUNDING),
    Rule("interp from zero", "interp(0, y, a)", "a * y", ROUNDING),
    # Sign and size.
    Rule("size by sign", "x / abs(x)", "sign(x)", GUARD),
    Rule("sign by size", "abs(x) / x", "sign(x)", GUARD),
    *_both("sign times x", "x * sign(x)", "abs(x)", EXACT),
    Rule("sign times size", "abs(x) * sign(x)", "x", EXACT),
    Rule(
        "sign of a positive multiple",
        "sign(a * x)",
        "sign(x)",
        ROUNDING,
        lambda n: n["a"] > 0,
        otherwise={"a": "-2"},
    ),
    Rule(
        "sign of a negative multiple",
        "sign(a * x)",
        "negative(sign(x))",
        ROUNDING,
        lambda n: n["a"] < 0,
        otherwise={"a": "2"},
    ),
    Rule("sign of a cube", "sign(cube(x))", "sign(x)", ROUNDING),
    Rule("sign of a cube root", "sign(cbrt(x))", "sign(x)", EXACT),
    Rule("sign of a product", "sign(x * y)", "sign(x) * sign(y)", ROUNDING),
    Rule("sign of a quotient", "sign(x / abs(y))", "sign(x)", ROUNDING),
    Rule("abs of a product", "abs(x * y)", "abs(x) * abs(y)", EXACT),
    Rule("size of a square", "abs(square(x))", "square(x)", EXACT),
    Rule("size of a root", "abs(sqrt(x))", "sqrt(x)", EXACT),
    # Powers.
    *_both("times itself", "x * x", "square(x)", EXACT),
    Rule("root of a square", "sqrt(square(x))", "abs(x)", ROUNDING),
    Rule("square of a root", "square(sqrt(x))", "abs(x)", ROUNDING),
    Rule("root times root", "sqrt(x) * sqrt(x)", "abs(x)", ROUNDING),
    Rule("square times x", "square(x) * x", "cube(x)", EXACT),
    Rule("square by x", "square(x) / x", "x", GUARD),
    Rule("cube root of a cube", "cbrt(cube(x))", "x", ROUNDING),
    Rule("cube of a cube root", "cube(cbrt(x))", "x", ROUNDING),
    Rule("square of a product", "square(x * y)", "square(x) * square(y)", ROUNDING),
    Rule("root of a product", "sqrt(x * y)", "sqrt(x) * sqrt(y)", ROUNDING),
    Rule("power two", "power(x, 2)", "square(x)", ROUNDING),
    Rule("power three", "power(x, 3)", "cube(x)", ROUNDING),
    Rule("power one", "power(x, 1)", "x", ROUNDING),
    Rule("power minus one", "power(x, -1)", "reciprocal(x)", ROUNDING),
    # Division.
    Rule("by a constant", "x / a", "x * (1 / a)", ROUNDING),
    Rule("reciprocal as a quotient", "reciprocal(x)", "1 / x", GUARD),
    Rule("times a reciprocal", "x * reciprocal(y)", "x / y", GUARD),
    *_both("product by x", "(x * y) / z", "x * (y / z)", ROUNDING),
    Rule("factor of a quotient", "(x * y) / (x * z)", "x * (y / (x * z))", ROUNDING),
    # Inverse functions.
    Rule("exp of log", "exp(log(x))", "abs(x)", ROUNDING),
    Rule("exp2 of log2", "exp2(log2(x))", "abs(x)", ROUNDING),
    Rule("exp10 of log10", "exp10(log10(x))", "abs(x)", ROUNDING),
    Rule("log of exp", "log(exp(x))", "x", FINITE),
    Rule("log2 of exp2", "log2(exp2(x))", "x", FINITE),
    Rule("log10 of exp10", "log10(exp10(x))", "x", FINITE),
    Rule("log1p of expm1", "log1p(expm1(x))", "x", FINITE),
    Rule("sine of arcsine", "sin(arcsin(x))", "x", FINITE),
    Rule("cosine of arccosine", "cos(arccos(x))", "x", FINITE),
    Rule("tangent of arctangent", "tan(arctan(x))", "x", ROUNDING),
    Rule("tanh of arctanh", "tanh(arctanh(x))", "x", FINITE),
    Rule("sinh of arcsinh", "sinh(arcsinh(x))", "x", ROUNDING),
    Rule("arcsinh of sinh", "arcsinh(sinh(x))", "x", FINITE),
    Rule("cosh of arccosh", "cosh(arccosh(x))", "x", FINITE),
    # Extremes and norms.
    Rule("larger and smaller", "maximum(x, y) + minimum(x, y)", "x + y", ROUNDING),
    Rule("larger by size", "maximum(x, negative(x))", "abs(x)", EXACT),
    Rule("clip twice", "clip(clip(x, s), s)", "clip(x, s)", ROUNDING),
    Rule("root of an inner square", "sqrt(dot(x, x))", "global_norm(x)", ROUNDING),
    Rule("norm of a multiple", "norm(s * x)", "abs(s) * norm(x)", ROUNDING),
    Rule("global norm of a multiple", "global_norm(s * x)", "abs(s) * global_norm(x)", ROUNDING),
    Rule("rms of a multiple", "rms(s * x)", "abs(s) * rms(x)", ROUNDING),
    Rule("dot of a multiple", "dot(s * x, y)", "s * dot(x, y)", ROUNDING),
)

BY_RULE: Mapping[str, Rule] = {rule.name: rule for rule in RULES}


def admits(variable: str, type_: ValueType, number: Fraction | None) -> bool:
    """Whether a variable of a pattern may stand for such a value."""
    if variable in CONSTANTS:
        return number is not None
    return variable not in SCALARS or type_ is ValueType.SCALAR
