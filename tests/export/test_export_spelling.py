"""The table of spellings: every primitive, in every target, also on special numbers."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from export_runs import Step, every_primitive, expected, jax_step, random_programs, torch_step, vector
from matplotlib.mathtext import MathTextParser

from evosearch.export import export
from evosearch.export.helpers import JAX_HELPERS, TORCH_HELPERS
from evosearch.export.spelling import LETTERS, SPELLED, SPELLINGS, form_for
from evosearch.language import Statement, analyze, builtin, builtin_names
from primitives import BY_NAME, TABLE

pytestmark = pytest.mark.usefixtures("quick_compile")

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -3.0, 1e-8, -1e-8, 1e-30, 1e30, -1e30, 88.0, -200.0]
SPECIAL += [np.inf, -np.inf, np.nan]


def forms(name: str) -> list[str]:
    """Every form of a primitive in Python."""
    row = SPELLED[name]
    several = [list(f.values()) if not isinstance(f, str) else [f] for f in (row.torch, row.foreach)]
    return [
        f for f in (row.jax, row.jax_bare, row.torch_bare, row.foreach_bare, *several[0], *several[1]) if f
    ]


def test_every_primitive_is_spelled_once() -> None:
    assert [row.name for row in SPELLINGS] == list(SPELLED)
    assert set(SPELLED) == {row.name for row in TABLE}
    assert len(SPELLED) == 45


@pytest.mark.parametrize("name", SPELLED)
def test_forms_use_exactly_the_arguments(name: str) -> None:
    taken = 3 if name == "clip" else BY_NAME[name].arity  # clip: an array, its tree's norm, and the bound
    for form in forms(name):
        found = {n.id for n in ast.walk(ast.parse(form, mode="eval")) if isinstance(n, ast.Name)}
        assert found & set(LETTERS) == set(LETTERS[:taken]), form
        helpers = {n for n in found if n.startswith("_")}
        assert helpers <= set(TORCH_HELPERS if "torch" in form else JAX_HELPERS), form


@pytest.mark.parametrize("name", SPELLED)
def test_forms_by_kinds_name_each_argument(name: str) -> None:
    for several in (SPELLED[name].torch, SPELLED[name].foreach):
        if not isinstance(several, str):
            assert {len(kinds) for kinds in several} == {BY_NAME[name].arity}
            assert all("t" in kinds and set(kinds) <= {"t", "n"} for kinds in several)
            assert form_for(several, "n" * BY_NAME[name].arity) == ""


def special(name: str) -> tuple[Statement, ...]:
    """A program whose update is one primitive of special numbers."""
    args = {"power": ("g", "w"), "interp": ("g", "w", 0.25)}.get(name, ("g", "w")[: BY_NAME[name].arity])
    return (Statement("update", name, args),)


ELEMENTWISE = [row.name for row in TABLE if row.elementwise is not None and row.arity]


def torch_way(statements: tuple[Statement, ...], folder: Path, name: str) -> Step:
    pytest.importorskip("torch", reason="PyTorch is not installed; scripts/setup dev says how to get it")
    return torch_step(statements, folder, name)


@pytest.mark.parametrize("way", [jax_step, torch_way], ids=["jax", "torch"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_special_numbers(name: str, way: Any, tmp_path: Path) -> None:
    statements = special(name)
    assert analyze(statements).valid
    pairs = [(x, y) for x in SPECIAL for y in SPECIAL]
    g, w = (jnp.asarray(column, jnp.float32) for column in zip(*pairs, strict=True))
    w = w if BY_NAME[name].arity > 1 else jnp.zeros_like(w)
    inputs: dict[str, Any] = {"g": (g,), "w": (w,), "m": (g,), "v": (g,), "lr": 1.0}
    want = vector(expected(statements, inputs)["params"])
    found = vector(way(statements, tmp_path, f"p_{name}")(inputs)["params"])
    told = np.isnan(want) if way is torch_way and SPELLED[name].torch_note else np.zeros(want.shape, bool)
    np.testing.assert_allclose(found[~told], want[~told], rtol=2e-5, atol=1e-30)


# ---------------------------------------------------------------- LaTeX


def equations(statements: tuple[Statement, ...]) -> list[str]:
    source = export(statements, "latex", origin="x")
    body = source.split("\\begin{align*}\n")[1].split("\\end{align*}\n")[0]
    return [line.strip().removesuffix("\\\\") for line in body.splitlines()]


def parses(equation: str) -> None:
    r"""Let matplotlib read it, which knows all of this mathematics but \lvert and \lVert."""
    for found, known in (
        ("\\lvert", "|"),
        ("\\rvert", "|"),
        ("\\lVert", "\\|"),
        ("\\rVert", "\\|"),
        ("&", ""),
    ):
        equation = equation.replace(found, known)
    MathTextParser("path").parse(f"${equation}$")


def test_equations_of_lion() -> None:
    assert equations(builtin("lion").statements) == [
        r"m_t &= (1 - \beta_{2}) \, g_t + \beta_{2} \, m_{t-1}",
        r"\theta_t &= \theta_{t-1} - \eta_t \, \left(\operatorname{sign}((1 - \beta_{1}) \, g_t + "
        r"\beta_{1} \, m_{t-1}) + \lambda \, \theta_{t-1}\right)",
    ]
    source = export(builtin("lion").statements, "latex", origin="lion")
    assert r"with $\eta_t = 10^{-4} \, s_t$ for the schedule $s_t$, $\beta_{1} = 0.9$" in source
    assert r"$\lambda = 0.1$, $m_0 = 0$." in source


def test_equations_of_every_program_are_mathematics() -> None:
    programs = [*every_primitive().values(), *(builtin(name).statements for name in builtin_names())]
    for statements in (*programs, *random_programs(200)[:12]):
        for equation in equations(statements):
            assert equation.count("{") == equation.count("}")
            parses(equation)


@pytest.mark.parametrize("outer", [row.name for row in TABLE if row.arity == 1 and row.elementwise])
def test_what_is_inside_stays_readable(outer: str) -> None:
    """A square of everything: exponents of exponents need parentheses, or LaTeX refuses them."""
    for inner in ("square", outer):
        statements = (Statement("a", outer, ("g",)), Statement("update", inner, ("a",)))
        for equation in equations(statements):
            parses(equation)
    text = equations((Statement("a", "log", ("g",)), Statement("update", "square", ("a",))))[-1]
    assert r"\left(\ln \lvert g_t \rvert\right)^2" in text


def test_names_are_escaped_and_told_apart() -> None:
    lines = [("a_b", "sin", ("g",)), ("update", "multiply", ("a_b", "a_b")), ("a_b", "cos", ("update",))]
    lines += [("c", "multiply", ("a_b", "a_b")), ("update", "multiply", ("update", "c"))]
    found = equations(tuple(Statement(*line) for line in lines))
    assert found[0] == r"\mathrm{a\_b}_t &= \sin(g_t)"
    assert any(line.startswith(r"\mathrm{a\_b}_{2,t} &= \cos(") for line in found)
