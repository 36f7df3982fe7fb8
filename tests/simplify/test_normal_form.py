"""The normal form: each law makes terms equal, does not make others equal, and is true."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosearch.language.abstract import live_statements
from evosearch.simplify.algebra import weakest
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.simplify.normal_form import LAWS, WRITTEN_ANEW, normal_forms
from evosearch.simplify.step import Exactness
from evosearch.simplify.terms import Term, bounded, subterms, terms_of
from evosearch.simplify.writing import write
from primitives import BY_NAME
from tests.simplify.expressions import term
from tests.strategies import programs, trying

EXAMPLES = {
    # law: two terms with one normal form, and a third that looks alike and has another
    WRITTEN_ANEW: ("(g + m) + w", "w + (m + g)", "(g - m) + w"),
    "like terms": ("2 * g + 3 * g", "5 * g", "2 * g + 3 * m"),
    "cancelled terms": ("w + (g - g)", "w + (m - m)", "w + (g - m)"),
    "distribution": ("lr * (g + m)", "lr * g + lr * m", "lr * g + m"),
    "interp as a sum": ("interp(g, m, 0.75)", "0.25 * g + 0.75 * m", "0.75 * g + 0.25 * m"),
    "powers": ("sqrt(square(g))", "abs(g)", "g"),
    "cancelled powers": ("g / abs(g)", "sign(g)", "g / g"),
    "division as a power": (
        "(g / cosh(lr)) / exp(lr)",
        "g / (cosh(lr) * exp(lr))",
        "(g / cosh(lr)) * exp(lr)",
    ),
    "division by a constant": ("g / 4", "0.25 * g", "4 * g"),
    "reciprocal": ("reciprocal(g) * m", "m / g", "g / m"),
    "scale of a sum": ("sign(2 * g + 6 * m)", "sign(g + 3 * m)", "sign(g + 2 * m)"),
    "odd": ("sin(-2 * g)", "-1 * sin(2 * g)", "sin(2 * g)"),
    "even": ("cos(-2 * g)", "cos(2 * g)", "cos(g)"),
    "homogeneous": ("norm(-3 * g)", "3 * norm(g)", "-3 * norm(g)"),
    "bilinear": ("dot(2 * g, lr * m)", "(2 * lr) * dot(g, m)", "dot(2 * g, m)"),
    "nested extremes": ("maximum(g, maximum(m, g))", "maximum(m, g)", "minimum(m, g)"),
}


def form(text: str) -> Term:
    made = term(text)
    return normal_forms([made])[made].term


def test_every_law_has_an_example():
    assert set(EXAMPLES) == set(LAWS)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_makes_terms_equal_and_is_reported(law: str):
    one, other, third = EXAMPLES[law]
    assert form(one) == form(other)
    assert form(one) != form(third)
    used = {name for found in normal_forms([term(one)]).values() for name in found.laws}
    assert law in used or law == WRITTEN_ANEW


@pytest.mark.parametrize(
    "law", [law for law, (exactness, _) in LAWS.items() if exactness is not Exactness.EXACT]
)
def test_a_law_that_is_not_allowed_is_not_used(law: str):
    exactness = LAWS[law][0]
    allowed = frozenset(Exactness) - {exactness}
    forms = normal_forms([term(EXAMPLES[law][0])], allowed)
    assert all(LAWS[name][0] is not exactness for found in forms.values() for name in found.laws)


@pytest.mark.parametrize("law", LAWS)
def test_a_law_is_true(law: str):
    """The term and its normal form, run side by side; in the sense of the weakest law that was used."""
    made = term(f"interp(w, {EXAMPLES[law][0]}, 0.5)")
    forms = normal_forms([made])
    used = [LAWS[name][0] for found in forms.values() for name in found.laws]
    allowed = weakest([*used, Exactness.ROUNDING])
    found = compare_behaviour(write({"update": made}), write({"update": forms[made].term}), allowed)
    assert found.same, found.reason


def test_zeros_are_kept():
    """x / x and sign(x) * sign(x) are 0 at 0 and 1 elsewhere: they are not 1."""
    for text in ("g / g", "sign(g) * sign(g)", "(g * w) / g"):
        made = term(f"w * 0 + {text}")
        before, after = write({"update": made}), write({"update": normal_forms([made])[made].term})
        assert compare_behaviour(before, after, Exactness.GUARD).same, text


def test_a_narrower_type_is_not_put_where_a_tensor_is_needed():
    made = term("norm(w + (lr * (g / g)))")
    assert normal_forms([made])[made].term.type == made.type
    narrow = term("norm(lr + (g - g))")
    kept = normal_forms([narrow])[narrow].term
    assert kept.args[0].type == narrow.args[0].type


@trying(60)
@given(programs())
def test_swapped_operands_have_one_normal_form(program):
    outputs = terms_of(live_statements(program.statements))
    for made in outputs.values():
        assert normal_forms([made])[made].term == normal_forms([swapped(made)])[swapped(made)].term


def swapped(made: Term) -> Term:
    """A term with the operands of every commutative primitive swapped."""
    parts: dict[Term, Term] = {}
    for part in subterms([made]):
        args = tuple(parts[arg] for arg in part.args)
        if args:
            parts[part] = Term(part.name, args[::-1] if BY_NAME[part.name].commutative else args, part.leaf)
        else:
            parts[part] = part
    return parts[made]


@pytest.mark.parametrize(
    "text",
    [
        "lr * (1e30 * g + 1e-30 * m) + lr * (1e-30 * w)",
        "square(1e30 * g + 1e-30 * m)",
        "sign(1e-30 * m - 1e30 * g)",
        "norm(1e30 * g + 1e-30 * m)",
        "dot(1e30 * g + 1e-30 * m, w)",
    ],
)
def test_constants_are_numbers_of_float32(text: str):
    """Scaling a sum would make 1e60 of 1e30 and 1e-30."""
    made = form(text)
    numbers = [part.number for part in subterms([made]) if part.number is not None]
    assert numbers
    assert all(bounded(number) is not None for number in numbers)
    assert str(made)


@given(st.integers(0, 3))
def test_repeated_squares_stay_small(extra):
    """Fractions are rounded before they grow without bound."""
    made = term("0.333 * g")
    for _ in range(12 + extra):
        made = term("w").__class__("square", (made,))
    found = normal_forms([made])[made]
    assert all(c.numerator.bit_length() < 10**6 for c in found.polynomial.values())
    assert np.isfinite(float(min(found.polynomial.values())))
