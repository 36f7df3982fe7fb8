"""The table as a whole: counts, names, vocabularies and formulas."""

import doctest
import re
from importlib import import_module

import numpy as np
import pytest

import primitives
from primitives import BY_NAME, TABLE, VOCABULARIES

GROUPS = {"unary": 27 + 1, "binary": 7, "linear_algebra": 6 + 1, "constant": 3}


def test_counts():
    assert len(TABLE) == len(VOCABULARIES["all"]) == 45
    assert len(VOCABULARIES["paper"]) == 43
    assert set(VOCABULARIES["all"]) - set(VOCABULARIES["paper"]) == {"negative", "rms"}
    assert {group: sum(row.group == group for row in TABLE) for group in GROUPS} == GROUPS


def test_names_and_aliases_are_unique_and_lead_to_their_row():
    names = [name for row in TABLE for name in (row.name, *row.aliases)]
    assert len(names) == len(set(names)) == len(BY_NAME)
    assert BY_NAME["clip_by_global_norm"] is BY_NAME["clip"]
    assert BY_NAME["interpolate"] is BY_NAME["interp"]
    assert all(BY_NAME[name].name == name for name in VOCABULARIES["all"])
    assert all(name.isidentifier() for name in names)


def test_operators():
    operators = {row.infix: row.name for row in TABLE if row.infix}
    assert operators == {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


def test_origins():
    origins = {row.name: row.origin for row in TABLE if row.origin != "paper"}
    assert origins == {"negative": "released code", "rms": "evosearch"}


def test_rows_are_told_apart_by_what_people_read():
    assert len({row.summary for row in TABLE}) == 45
    assert all(row.summary.endswith(".") and row.formula for row in TABLE)
    assert len({(row.formula, row.rule.name) for row in TABLE}) == 45


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_arity_agrees_with_rule_and_formula(row):
    expects = row.rule.expects
    assert expects is None or len(expects) == row.arity
    assert len(arguments_in(row.formula)) == row.arity


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_formula_is_true(row):
    """The formula, evaluated by NumPy on one array, is a third opinion on the reference."""
    tensor = [np.array([0.3, 0.8, -0.2, 1.7]), np.array([0.5, 0.1, 0.9, -1.2])]
    expects = row.rule.expects or (None,) * row.arity
    args = [np.float64(0.4) if kind == 0 else tensor[i] for i, kind in enumerate(expects)]
    boxed = [arg if arg.ndim == 0 else (arg,) for arg in args]
    names = {name: getattr(np, name) for name in re.findall(r"\b[a-z]\w*", row.formula) if hasattr(np, name)}
    with np.errstate(invalid="ignore"):
        expected = eval(row.formula, names, dict(zip(arguments_in(row.formula), args, strict=True)))
    found = row.reference(*boxed)
    np.testing.assert_allclose(found[0] if isinstance(found, tuple) else found, expected, rtol=1e-12)


def arguments_in(formula: str) -> list[str]:
    return [name for name in ("x", "y", "a") if re.search(rf"\b{name}\b", formula)]


@pytest.mark.parametrize("name", ["kernels", "reference", "spaces", "table", "types"])
def test_examples_in_docstrings(name):
    assert doctest.testmod(import_module(f"primitives.{name}")).failed == 0


def test_the_package_offers_what_it_names():
    for name in primitives.__all__:
        assert getattr(primitives, name) is not None
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'; it offers BY_NAME, "):
        _ = primitives.nothing


def test_the_tables_cannot_be_changed():
    with pytest.raises(TypeError, match="does not support item assignment"):
        BY_NAME["abs"] = TABLE[0]
