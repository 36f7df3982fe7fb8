"""How each primitive is written in JAX, in PyTorch, in PyTorch's lists of tensors and in LaTeX: one table.

A form is a Python expression over x, y and a, the arguments in order. Where PyTorch needs another form for
Python numbers, the row holds one form for each pattern of kinds: "t" is a tensor (in foreach: a list of
them), "n" a number; a pattern that is missing can't be written so. `_name(...)` is a helper function of
`helpers.py`, and EPS the 1e-8 that division adds.

`clip` has a third argument here, its tree's norm: x is the array, y the norm, a the bound (`graph.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from primitives import TABLE

LETTERS = ("x", "y", "a")
"""What the arguments are called in a form."""

Forms = str | Mapping[str, str]
"""A form for any kinds of arguments, or one for each pattern of kinds."""


@dataclass(frozen=True)
class Spelling:
    """One primitive, spelled.

    Attributes:
        name: the primitive.
        jax: with `jnp`.
        torch: with `torch`, on tensors.
        foreach: with `torch._foreach_*`, on lists of tensors; empty if PyTorch lacks it.
        latex: with braces {x}, {y}, {a} for the arguments.
        jax_bare: the form in JAX for an argument that is never below zero, if it is simpler.
        torch_bare: the same in PyTorch.
        foreach_bare: the same for lists.
        latex_bare: the same in LaTeX.
        binds: how tightly the LaTeX form binds: 1 sum, 2 product, 3 power, 4 never needs parentheses.
        inner: how tightly each argument must bind to stand in the LaTeX form without parentheses.
        keeps_sign: which arguments must not be below zero for the result not to be: "all", "any", "first";
            "blend": the first two, with a weight from 0 to 1; "": nothing follows.
        plain: the PyTorch form also holds for Python numbers alone.
        torch_note: where PyTorch's function is another one than JAX's.
    """

    name: str
    jax: str
    torch: Forms
    foreach: Forms
    latex: str
    jax_bare: str = ""
    torch_bare: str = ""
    foreach_bare: str = ""
    latex_bare: str = ""
    binds: int = 4
    inner: tuple[int, ...] = (0, 0, 0)
    keeps_sign: str = ""
    plain: bool = False
    torch_note: str = ""


def _call(name: str, latex: str, torch: str = "", foreach: str | None = None, keeps: str = "") -> Spelling:
    """A function of one argument that JAX and PyTorch both have."""
    torch = torch or name
    foreach = f"torch._foreach_{torch}(x)" if foreach is None else foreach
    return Spelling(name, f"jnp.{name}(x)", f"torch.{torch}(x)", foreach, latex, keeps_sign=keeps)


def _of_size(name: str, latex: str, latex_bare: str, binds: int = 3) -> Spelling:
    """A function of |x|: the absolute value is left out where x is never below zero."""
    return Spelling(
        name,
        f"jnp.{name}(jnp.abs(x))",
        f"torch.{name}(torch.abs(x))",
        f"torch._foreach_{name}(torch._foreach_abs(x))",
        latex,
        jax_bare=f"jnp.{name}(x)",
        torch_bare=f"torch.{name}(x)",
        foreach_bare=f"torch._foreach_{name}(x)",
        latex_bare=latex_bare,
        binds=binds,
    )


def _extreme(name: str, clamp: str, latex: str, keeps: str) -> Spelling:
    """`maximum` or `minimum`; PyTorch takes a number only as a clamp."""
    return Spelling(
        name,
        f"jnp.{name}(x, y)",
        {
            "tt": f"torch.{name}(x, y)",
            "tn": f"torch.clamp(x, {clamp}=y)",
            "nt": f"torch.clamp(y, {clamp}=x)",
        },
        {
            "tt": f"torch._foreach_{name}(x, y)",
            "tn": f"torch._foreach_clamp_{clamp}(x, y)",
            "nt": f"torch._foreach_clamp_{clamp}(y, x)",
        },
        latex,
        keeps_sign=keeps,
    )


def _function(name: str) -> str:
    """A named function in LaTeX, with braces for its argument."""
    return rf"\operatorname{{{{{name}}}}}({{x}})"


SPELLINGS: tuple[Spelling, ...] = (
    _call("abs", r"\lvert {x} \rvert"),
    _call("cos", r"\cos({x})"),
    _call("sin", r"\sin({x})"),
    _call("tan", r"\tan({x})"),
    _call("arcsin", r"\arcsin({x})", "asin"),
    _call("arccos", r"\arccos({x})", "acos"),
    _call("arctan", r"\arctan({x})", "atan", keeps="all"),
    _call("sinh", r"\sinh({x})", keeps="all"),
    _call("cosh", r"\cosh({x})"),
    _call("tanh", r"\tanh({x})", keeps="all"),
    _call("arcsinh", _function("arsinh"), "asinh", foreach="", keeps="all"),
    _call("arccosh", _function("arcosh"), "acosh", foreach=""),
    _call("arctanh", _function("artanh"), "atanh", foreach=""),
    _call("exp", r"\exp({x})"),
    Spelling(
        "exp2", "jnp.power(2.0, x)", "torch.pow(2.0, x)", "torch._foreach_pow(2.0, x)", r"2^{{{x}}}", binds=3
    ),
    Spelling(
        "exp10",
        "jnp.power(10.0, x)",
        "torch.pow(10.0, x)",
        "torch._foreach_pow(10.0, x)",
        r"10^{{{x}}}",
        binds=3,
    ),
    _call("expm1", r"(e^{{{x}}} - 1)", keeps="all"),
    _of_size("log", r"\ln \lvert {x} \rvert", r"\ln({x})"),
    _of_size("log10", r"\log_{{10}} \lvert {x} \rvert", r"\log_{{10}}({x})"),
    _of_size("log2", r"\log_2 \lvert {x} \rvert", r"\log_2({x})"),
    Spelling(
        "log1p",
        "_log1p(x)",
        "_log1p(x)",
        "",
        r"\ln \lvert 1 + {x} \rvert",
        binds=3,
        jax_bare="jnp.log1p(x)",
        torch_bare="torch.log1p(x)",
        foreach_bare="torch._foreach_log1p(x)",
        inner=(1,),
        keeps_sign="all",
    ),
    Spelling(
        "square", "jnp.square(x)", "torch.square(x)", "torch._foreach_pow(x, 2)", "{x}^2", binds=3, inner=(4,)
    ),
    _of_size("sqrt", r"\sqrt{{\lvert {x} \rvert}}", r"\sqrt{{{x}}}", binds=4),
    Spelling(
        "cube",
        "jnp.power(x, 3)",
        "torch.pow(x, 3)",
        "torch._foreach_pow(x, 3)",
        "{x}^3",
        binds=3,
        inner=(4,),
        keeps_sign="all",
    ),
    Spelling("cbrt", "_cbrt(x)", "_cbrt(x)", "", r"\sqrt[3]{{{x}}}", keeps_sign="all"),
    replace(
        _call("sign", _function("sign"), keeps="all"),
        torch_note="torch.sign of NaN is 0, where JAX gives NaN: check gradients that may not be finite.",
    ),
    Spelling(
        "reciprocal",
        "1 / x",
        "torch.reciprocal(x)",
        "torch._foreach_reciprocal(x)",
        r"\frac{{1}}{{{x}}}",
        binds=3,
    ),
    Spelling(
        "add",
        "x + y",
        "x + y",
        {
            "tt": "torch._foreach_add(x, y)",
            "tn": "torch._foreach_add(x, y)",
            "nt": "torch._foreach_add(y, x)",
        },
        "{x} + {y}",
        binds=1,
        inner=(1, 1),
        keeps_sign="all",
        plain=True,
    ),
    Spelling(
        "subtract",
        "x - y",
        "x - y",
        {
            "tt": "torch._foreach_sub(x, y)",
            "tn": "torch._foreach_sub(x, y)",
            "nt": "torch._foreach_add(torch._foreach_neg(y), x)",
        },
        "{x} - {y}",
        binds=1,
        inner=(1, 2),
        plain=True,
    ),
    Spelling(
        "multiply",
        "x * y",
        "x * y",
        {
            "tt": "torch._foreach_mul(x, y)",
            "tn": "torch._foreach_mul(x, y)",
            "nt": "torch._foreach_mul(y, x)",
        },
        r"{x} \, {y}",
        binds=2,
        inner=(2, 2),
        keeps_sign="all",
        plain=True,
    ),
    Spelling(
        "divide",
        "x / (y + EPS)",
        "x / (y + EPS)",
        {
            "tt": "torch._foreach_div(x, torch._foreach_add(y, EPS))",
            "tn": "torch._foreach_div(x, y + EPS)",
            "nt": "torch._foreach_mul(torch._foreach_reciprocal(torch._foreach_add(y, EPS)), x)",
        },
        r"\frac{{{x}}}{{{y} + \epsilon}}",
        binds=3,
        inner=(0, 1),
        keeps_sign="all",
    ),
    Spelling(
        "power",
        "_power(x, y)",
        "torch.pow(x, y)",
        "torch._foreach_pow(x, y)",
        "{x}^{{{y}}}",
        binds=3,
        inner=(4, 0),
    ),
    _extreme("maximum", "min", r"\max({x}, {y})", "any"),
    _extreme("minimum", "max", r"\min({x}, {y})", "all"),
    Spelling(
        "norm",
        "jnp.sqrt(jnp.sum(jnp.square(x)))",
        "torch.linalg.vector_norm(x)",
        "",
        r"\lVert {x} \rVert_{{\mathrm{{array}}}}",
    ),
    Spelling("global_norm", "_global_norm(x)", "_global_norm(x)", "", r"\lVert {x} \rVert"),
    Spelling("dot", "_dot(x, y)", "_dot(x, y)", "", r"\langle {x}, {y} \rangle"),
    Spelling("cosine_sim", "_cosine_sim(x, y)", "_cosine_sim(x, y)", "", r"\cos\angle({x}, {y})"),
    Spelling(
        "clip", "_clip(x, y, a)", "_clip(x, y, a)", "", r"\operatorname{{clip}}({x}, {y})", keeps_sign="first"
    ),
    Spelling(
        "interp",
        "(1 - a) * x + a * y",
        "(1 - a) * x + a * y",
        {
            "ttn": "torch._foreach_add(torch._foreach_mul(x, 1 - a), y, alpha=a)",
            "tnn": "torch._foreach_add(torch._foreach_mul(x, 1 - a), a * y)",
            "ntn": "torch._foreach_add(torch._foreach_mul(y, a), (1 - a) * x)",
        },
        r"(1 - {a}) \, {x} + {a} \, {y}",
        binds=1,
        inner=(2, 2, 2),
        keeps_sign="blend",
        plain=True,
    ),
    Spelling("get_pi", "jnp.pi", "torch.pi", "torch.pi", r"\pi"),
    Spelling("get_e", "jnp.e", "torch.e", "torch.e", "e"),
    Spelling("get_eps", "EPS", "EPS", "EPS", r"\epsilon"),
    Spelling("negative", "-x", "-x", "torch._foreach_neg(x)", "-{x}", binds=1, inner=(2,), plain=True),
    Spelling(
        "rms",
        "jnp.sqrt(jnp.mean(jnp.square(x)))",
        "torch.sqrt(torch.mean(torch.square(x)))",
        "",
        r"\operatorname{{rms}}({x})",
    ),
)

SPELLED: Mapping[str, Spelling] = MappingProxyType({row.name: row for row in SPELLINGS})
"""Every row under its primitive's name; a test holds it to the table of primitives."""

assert set(SPELLED) == {row.name for row in TABLE}, "a primitive has no spelling"


def form_for(forms: Forms, kinds: str) -> str:
    """The form for arguments of these kinds ("t" and "n"), or "" if there is none.

    >>> form_for(SPELLED["maximum"].torch, "tn")
    'torch.clamp(x, min=y)'
    """
    return forms if isinstance(forms, str) else forms.get(kinds, "")
