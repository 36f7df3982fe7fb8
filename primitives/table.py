"""The table of primitives: one row each, and the one place that knows their names.

Parser, abstract execution, mutation, interpreter, simplifier, exporters, documentation and tests read this
table; a new primitive is a new row here, with its kernel and its reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp

from primitives import kernels, types
from primitives import reference as ref
from primitives.types import TypeRule, ValueType


@dataclass(frozen=True)
class Primitive:
    """One row of the table.

    The flags at the end state laws of real arithmetic that hold under the protected semantics. They hold for
    finite values without overflow and up to rounding, except `commutative`, which holds bit for bit on all
    values (any NaN counts as the same NaN). "In the first argument" means: whatever the others are.

    Attributes:
        name: the canonical name, as programs print it.
        arity: the number of arguments, 0 to 3.
        group: "unary", "binary", "linear_algebra" or "constant".
        rule: how the type of the result follows from the types of the arguments.
        kernel: `kernel(space, *args)` in JAX, float32 in and out, for the layouts of `spaces.py`.
        elementwise: the same as a plain JAX function on broadcastable arrays; None if the primitive has to
            look at whole arrays or the whole tree.
        c: the same as a C expression over floats x, y, a, with `elementwise.h`, or over doubles, with
            `in_double.h`; None for constants too.
        reference: an independent NumPy version; `reference.py` tells its conventions.
        formula: the equation over x, y, a in NumPy's notation; a reduction runs over one array or, for
            primitives of the whole tree, over all of it.
        origin: "paper", "released code" or "evosearch".
        summary: one sentence for people.
        infix: the operator it prints as, or None for a function call.
        aliases: other names that a program may use for it.
        ieee: IEEE arithmetic defines its float32 result on scalars to the last bit, on every machine.
        commutative: f(x, y) = f(y, x).
        associative: f(f(x, y), z) = f(x, f(y, z)).
        odd: f(-x) = -f(x), in the first argument.
        even: f(-x) = f(x), in the first argument.
        idempotent: f(f(x)) = f(x), in the first argument.
        involution: f(f(x)) = x.
        diagonal: f(x, x) = x, whatever further arguments are.
        nonnegative: the result is never below zero.

    Example:
        >>> BY_NAME["divide"].formula
        'x / (y + 1e-8)'
    """

    name: str
    arity: int
    group: str
    rule: TypeRule
    kernel: Callable[..., Any]
    elementwise: Callable[..., Any] | None
    reference: Callable[..., Any]
    formula: str
    origin: str
    summary: str
    infix: str | None = None
    aliases: tuple[str, ...] = ()
    c: str | None = None
    ieee: bool = False
    commutative: bool = False
    associative: bool = False
    odd: bool = False
    even: bool = False
    idempotent: bool = False
    involution: bool = False
    diagonal: bool = False
    nonnegative: bool = False

    def result_type(self, arg_types: tuple[ValueType, ...]) -> ValueType | str:
        """Return the type of the result, or a sentence with the primitive's name that says why it is refused.

        Example:
            >>> BY_NAME["norm"].result_type((ValueType.SCALAR,))
            'norm: argument 1 must be a tensor, found a scalar'
        """
        if len(arg_types) != self.arity:
            plural = "" if self.arity == 1 else "s"
            return f"{self.name}: expected {self.arity} argument{plural}, found {len(arg_types)}"
        result = self.rule.result(arg_types)
        return f"{self.name}: {result}" if isinstance(result, str) else result


_Function = Callable[..., Any]


def _laws(laws: str) -> dict[str, Any]:
    """Turn "odd idempotent" into the flags of a row; a misspelt law fails at import."""
    return dict.fromkeys(laws.split(), True)


def _unary(
    name: str,
    f: _Function,
    ref: _Function,
    formula: str,
    summary: str,
    laws: str = "",
    *,
    origin: str = "paper",
    c: str,
) -> Primitive:
    kernel, rule = kernels.lift(f), types.ELEMENTWISE
    return Primitive(name, 1, "unary", rule, kernel, f, ref, formula, origin, summary, c=c, **_laws(laws))


def _binary(
    name: str,
    infix: str | None,
    f: _Function,
    ref: _Function,
    formula: str,
    summary: str,
    laws: str = "",
    *,
    c: str,
) -> Primitive:
    kernel, rule, origin = kernels.lift(f), types.ELEMENTWISE, "paper"
    return Primitive(
        name, 2, "binary", rule, kernel, f, ref, formula, origin, summary, infix, c=c, **_laws(laws)
    )


def _linear(
    name: str,
    rule: TypeRule,
    kernel: _Function,
    ref: _Function,
    formula: str,
    summary: str,
    laws: str = "",
    *,
    origin: str = "paper",
    f: _Function | None = None,
    aliases: tuple[str, ...] = (),
    c: str | None = None,
) -> Primitive:
    arity, group, infix = len(rule.expects or ()), "linear_algebra", None
    return Primitive(
        name, arity, group, rule, kernel, f, ref, formula, origin, summary, infix, aliases, c, **_laws(laws)
    )


def _constant(name: str, number: float, ref: _Function, formula: str, summary: str) -> Primitive:
    f, rule, laws = kernels.constant(number), types.CONSTANT, _laws("nonnegative")
    return Primitive(name, 0, "constant", rule, kernels.lift(f), f, ref, formula, "paper", summary, **laws)


TABLE: tuple[Primitive, ...] = (
    # The paper's 43: name, JAX function, NumPy reference, formula, summary, laws.
    _unary(
        "abs", jnp.abs, ref.absolute, "abs(x)", "Size of x.", "ieee even idempotent nonnegative", c="fabsf(x)"
    ),
    _unary("cos", jnp.cos, ref.cos, "cos(x)", "Cosine of x in radians.", "even", c="cosf(x)"),
    _unary("sin", jnp.sin, ref.sin, "sin(x)", "Sine of x in radians.", "odd", c="sinf(x)"),
    _unary("tan", jnp.tan, ref.tan, "tan(x)", "Tangent of x in radians.", "odd", c="tanf(x)"),
    _unary(
        "arcsin",
        jnp.arcsin,
        ref.arcsin,
        "arcsin(x)",
        "Inverse sine; NaN outside [-1, 1].",
        "odd",
        c="asinf(x)",
    ),
    _unary(
        "arccos",
        jnp.arccos,
        ref.arccos,
        "arccos(x)",
        "Inverse cosine; NaN outside [-1, 1].",
        "nonnegative",
        c="acosf(x)",
    ),
    _unary("arctan", jnp.arctan, ref.arctan, "arctan(x)", "Inverse tangent.", "odd", c="atanf(x)"),
    _unary("sinh", jnp.sinh, ref.sinh, "sinh(x)", "Hyperbolic sine.", "odd", c="sinhf(x)"),
    _unary("cosh", jnp.cosh, ref.cosh, "cosh(x)", "Hyperbolic cosine.", "even nonnegative", c="coshf(x)"),
    _unary("tanh", jnp.tanh, ref.tanh, "tanh(x)", "Hyperbolic tangent.", "odd", c="tanhf(x)"),
    _unary(
        "arcsinh", jnp.arcsinh, ref.arcsinh, "arcsinh(x)", "Inverse hyperbolic sine.", "odd", c="asinhf(x)"
    ),
    _unary(
        "arccosh",
        jnp.arccosh,
        ref.arccosh,
        "arccosh(x)",
        "Inverse hyperbolic cosine; NaN below 1.",
        "nonnegative",
        c="acoshf(x)",
    ),
    _unary(
        "arctanh",
        jnp.arctanh,
        ref.arctanh,
        "arctanh(x)",
        "Inverse hyperbolic tangent; NaN outside [-1, 1].",
        "odd",
        c="atanhf(x)",
    ),
    _unary("exp", jnp.exp, ref.exp, "exp(x)", "e to the power x.", "nonnegative", c="expf(x)"),
    _unary("exp2", kernels.exp2, ref.exp2, "2 ** x", "2 to the power x.", "nonnegative", c="exp2f(x)"),
    _unary("exp10", kernels.exp10, ref.exp10, "10 ** x", "10 to the power x.", "nonnegative", c="exp10f(x)"),
    _unary(
        "expm1",
        jnp.expm1,
        ref.expm1,
        "exp(x) - 1",
        "e to the power x, less 1; accurate near 0.",
        c="expm1f(x)",
    ),
    _unary(
        "log",
        kernels.log,
        ref.log,
        "log(abs(x))",
        "Natural logarithm of the size of x.",
        "even",
        c="logf(fabsf(settled(x)))",
    ),
    _unary(
        "log10",
        kernels.log10,
        ref.log10,
        "log10(abs(x))",
        "Decimal logarithm of the size of x.",
        "even",
        c="log10f(fabsf(settled(x)))",
    ),
    _unary(
        "log2",
        kernels.log2,
        ref.log2,
        "log2(abs(x))",
        "Binary logarithm of the size of x.",
        "even",
        c="log2f(fabsf(settled(x)))",
    ),
    _unary(
        "log1p",
        kernels.log1p,
        ref.log1p,
        "log(abs(1 + x))",
        "Natural logarithm of the size of 1 + x; accurate near 0.",
        c="log1pf(larger(x, -2.0f - x))",
    ),
    _unary(
        "square", kernels.square, ref.square, "x * x", "x times itself.", "ieee even nonnegative", c="x * x"
    ),
    _unary(
        "sqrt",
        kernels.sqrt,
        ref.sqrt,
        "sqrt(abs(x))",
        "Square root of the size of x.",
        "ieee even nonnegative",
        c="sqrtf(fabsf(x))",
    ),
    _unary("cube", kernels.cube, ref.cube, "x * x * x", "Third power of x.", "ieee odd", c="x * x * x"),
    _unary(
        "cbrt",
        kernels.cbrt,
        ref.cbrt,
        "cbrt(x)",
        "Real cube root; negative for negative x.",
        "odd",
        c="cbrtf(settled(x))",
    ),
    _unary(
        "sign",
        jnp.sign,
        ref.sign,
        "sign(x)",
        "-1, 0 or 1.",
        "ieee odd idempotent",
        c="x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x",
    ),
    _unary(
        "reciprocal",
        kernels.reciprocal,
        ref.reciprocal,
        "1 / x",
        "1 over x, unguarded.",
        "ieee odd involution",
        c="1.0f / x",
    ),
    _binary("add", "+", jnp.add, ref.add, "x + y", "Sum.", "ieee commutative associative", c="x + y"),
    _binary("subtract", "-", jnp.subtract, ref.subtract, "x - y", "Difference.", "ieee", c="x - y"),
    _binary(
        "multiply",
        "*",
        jnp.multiply,
        ref.multiply,
        "x * y",
        "Product.",
        "ieee commutative associative odd",
        c="x * y",
    ),
    _binary(
        "divide",
        "/",
        kernels.divide,
        ref.divide,
        "x / (y + 1e-8)",
        "Quotient; 1e-8 is added to the divisor.",
        "ieee odd",
        c="x / (y + EPSILON)",
    ),
    _binary(
        "power",
        None,
        kernels.power,
        ref.power,
        "x ** y",
        "x to the power y; NaN for negative x and fractional y.",
        c="powf(settled(x), y)",
    ),
    _binary(
        "maximum",
        None,
        jnp.maximum,
        ref.maximum,
        "maximum(x, y)",
        "The larger of the two.",
        "ieee commutative associative idempotent diagonal",
        c="larger(x, y)",
    ),
    _binary(
        "minimum",
        None,
        jnp.minimum,
        ref.minimum,
        "minimum(x, y)",
        "The smaller of the two.",
        "ieee commutative associative idempotent diagonal",
        c="smaller(x, y)",
    ),
    _linear(
        "norm",
        types.REDUCE_LEAVES,
        kernels.norm,
        ref.norm,
        "sqrt(sum(x ** 2))",
        "Euclidean norm of each array by itself.",
        "even nonnegative",
    ),
    _linear(
        "global_norm",
        types.REDUCE_TREE,
        kernels.global_norm,
        ref.global_norm,
        "sqrt(sum(x ** 2))",
        "Euclidean norm of the whole tree.",
        "even nonnegative",
    ),
    _linear(
        "dot",
        types.REDUCE_PAIR,
        kernels.dot,
        ref.dot,
        "sum(x * y)",
        "Inner product of two whole trees.",
        "commutative odd",
    ),
    _linear(
        "cosine_sim",
        types.REDUCE_PAIR,
        kernels.cosine_sim,
        ref.cosine_sim,
        "sum(x * y) / (sqrt(sum(x ** 2)) * sqrt(sum(y ** 2)) + 1e-8)",
        "Cosine of the angle between two whole trees; 0 if one is zero.",
        "commutative odd",
    ),
    _linear(
        "clip",
        types.RESCALE,
        kernels.clip,
        ref.clip,
        "x * minimum(1, maximum(a, 0) / sqrt(sum(x ** 2)))",
        "The tree scaled so that its global norm is at most a.",
        "odd idempotent",
        aliases=("clip_by_global_norm",),
    ),
    _linear(
        "interp",
        types.BLEND,
        kernels.lift(kernels.interp),
        ref.interp,
        "(1 - a) * x + a * y",
        "Weighted mean of x and y; a is the weight of y.",
        "ieee diagonal",
        f=kernels.interp,
        aliases=("interpolate",),
        c="(1.0f - a) * x + a * y",
    ),
    _constant("get_pi", math.pi, ref.get_pi, "pi", "The number pi."),
    _constant("get_e", math.e, ref.get_e, "e", "Euler's number."),
    _constant("get_eps", kernels.EPSILON, ref.get_eps, "1e-8", "The small number that division adds."),
    # Beyond the paper.
    _unary(
        "negative",
        jnp.negative,
        ref.negative,
        "-x",
        "x with its sign turned.",
        "ieee odd involution",
        origin="released code",
        c="-x",
    ),
    _linear(
        "rms",
        types.REDUCE_LEAVES,
        kernels.rms,
        ref.rms,
        "sqrt(mean(x ** 2))",
        "Root of the mean square of each array: its norm, free of its size.",
        "even nonnegative",
        origin="evosearch",
    ),
)

OPCODES: Mapping[str, int] = MappingProxyType({row.name: place for place, row in enumerate(TABLE)})
"""The number of each primitive, its place in the table: how machine code and messages name it."""

BY_NAME: Mapping[str, Primitive] = MappingProxyType(
    {name: primitive for primitive in TABLE for name in (primitive.name, *primitive.aliases)}
)
"""Every primitive under its canonical name and under each alias."""

VOCABULARIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "paper": tuple(primitive.name for primitive in TABLE if primitive.origin == "paper"),
        "all": tuple(primitive.name for primitive in TABLE),
    }
)
"""Named sets of canonical names, in the order of the table."""
