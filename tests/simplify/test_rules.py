"""Every row of the table of rules: it fires, it does not fire elsewhere, and it is true in its sense."""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from evosearch.language import Statement
from evosearch.language.fingerprint import run_statements
from evosearch.simplify.egraph import EGraph
from evosearch.simplify.rules import BY_RULE, CONSTANTS, RULES, SCALARS, Pattern, Rule, variables
from evosearch.simplify.saturation import Limits, saturate
from evosearch.simplify.step import Exactness
from evosearch.simplify.terms import Term, accepts, apply, constant, input_term
from evosearch.simplify.writing import write
from primitives import ValueType

LEAVES = {"x": input_term("g"), "y": input_term("m"), "z": input_term("w"), "s": input_term("lr")}
LEAVES["t"] = apply("global_norm", input_term("v"))
NUMBERS = {"a": Fraction(3, 4), "b": Fraction(1, 4), "c": Fraction(2)}
BETTER = [
    NUMBERS,
    {"a": Fraction(-2), "b": Fraction(3), "c": Fraction(2)},
    {"a": Fraction(10), "b": Fraction(9, 10), "c": Fraction(2)},
]


def instance(pattern: Pattern, values: dict[str, Term]) -> Term | None:
    """A pattern with terms in the place of variables; None where types do not fit."""
    if isinstance(pattern, str):
        return values[pattern]
    if isinstance(pattern, Fraction):
        return constant(pattern)
    args = [instance(part, values) for part in pattern[1:]]
    fitting = [arg for arg in args if arg is not None]
    name = str(pattern[0])
    if len(fitting) < len(args) or not accepts(name, [arg.type for arg in fitting]):
        return None
    return apply(name, *fitting)


def values_for(rule: Rule, scalars: frozenset[str] = frozenset()) -> dict[str, Term]:
    """Terms for a rule's variables; some of x, y, z may be scalars. Constants fulfil the condition."""
    names = variables(rule.patterns[0])
    numbers = next(n for n in BETTER if rule.when is None or rule.when(n))
    values = {name: LEAVES[name] for name in names if name not in CONSTANTS}
    values |= {
        name: apply("multiply", input_term("lr"), constant(i + 2)) for i, name in enumerate(sorted(scalars))
    }
    return values | {name: constant(numbers[name]) for name in names & CONSTANTS}


def assignments(rule: Rule) -> Iterator[dict[str, Term]]:
    """Every choice of tensor or scalar for x, y, z that types admit and that keeps the type."""
    free = sorted(variables(rule.patterns[0]) - CONSTANTS - SCALARS)
    for bits in range(2 ** len(free)):
        values = values_for(rule, frozenset(name for place, name in enumerate(free) if bits >> place & 1))
        sides = [instance(side, values) for side in rule.patterns]
        if all(side is not None for side in sides) and sides[0].type is sides[1].type:
            yield values


def fires(rule: Rule, left: Term, right: Term) -> bool:
    graph = EGraph()
    before = graph.add_term(left)
    saturate(graph, [rule], Limits(rounds=2))
    return graph.find(graph.add_term(right)) == graph.find(before)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_fires_where_its_left_side_stands(rule: Rule):
    left, right = (instance(side, values) for values in [next(assignments(rule))] for side in rule.patterns)
    assert fires(rule, left, right)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_does_not_fire_where_it_must_not(rule: Rule):
    """Under another primitive, or with constants that break the condition."""
    values = next(assignments(rule))
    left, right = (instance(side, values) for side in rule.patterns)
    assert not fires(rule, apply("cosh", left), right)
    assert not fires(rule, apply("cosh", left), left)
    if rule.when is not None:
        assert rule.otherwise is not None
        broken = values | {name: constant(Fraction(text)) for name, text in rule.otherwise.items()}
        assert not rule.when({name: broken[name].number for name in rule.otherwise})
        left, right = (instance(side, broken) for side in rule.patterns)
        assert not fires(rule, left, right)


ORDINARY = np.array([0.3, -0.7, 1.9, -2.6, 0.05, 11.0, -4e-3])
SPECIAL = np.array([0.0, 1e-6, -1e-6, 0.9, -1.0, 1e6, -1e6])
ROUNDED = 1e-9


def run(term: Term, seed: int, numbers: np.ndarray) -> np.ndarray:
    """A term's value in double precision, with constants as they are (not rounded to float32)."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    env = {name: (rng.permutation(numbers),) for name in ("w", "g", "m", "v")} | {"lr": np.float64(0.37)}
    statements = write({"update": apply("add", apply("multiply", input_term("w"), constant(0)), term)})
    with np.errstate(all="ignore"):
        return np.broadcast_to(run_statements(statements, env)["update"][0], numbers.shape)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_true_in_its_sense(rule: Rule):
    """Both sides run on ordinary and special values, for every choice of tensors and scalars."""
    compared = 0
    for values in assignments(rule):
        left, right = (instance(side, values) for side in rule.patterns)
        for numbers in (ORDINARY, SPECIAL):
            for seed in range(4):
                one, other = run(left, seed, numbers), run(right, seed, numbers)
                compared += check(rule, one, other)
    assert compared > 0


def check(rule: Rule, one: np.ndarray, other: np.ndarray) -> int:
    """How many numbers were compared; in the sense of the rule's exactness."""
    if rule.exactness in (Exactness.EXACT, Exactness.ROUNDING):
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    good = np.isfinite(one) & np.isfinite(other)
    # A failure may go away, but none may come.
    assert not (np.isfinite(one) & ~np.isfinite(other)).any()
    size = np.maximum(np.abs(one[good]), np.abs(other[good]))
    if rule.exactness is Exactness.ROUNDING:  # weights that sum to one but for 1e-6: relative to the terms
        size = np.full_like(size, np.max(size, initial=0.0))
    gap = np.abs(one[good] - other[good])
    limit = {Exactness.EXACT: 1e-12, Exactness.ROUNDING: 1e-6, Exactness.FINITE: 1e-6, Exactness.GUARD: 2e-2}
    # Sums of numbers of a million round at the scale of the terms.
    scale = 1e6 if np.max(np.abs(one[good]), initial=0.0) > 1e3 else 1.0
    assert (gap <= limit[rule.exactness] * size + 1e-12 * scale).all(), (one[good], other[good])
    return int(good.sum())


def test_the_test_of_rules_finds_wrong_ones():
    """Planted: x / x = 1 is wrong at 0, sqrt(square(x)) = x for negative x, and so on."""
    wrong = [
        Rule("wrong", "x / x", "1 + x * 0", Exactness.GUARD),
        Rule("wrong", "sqrt(square(x))", "x", Exactness.ROUNDING),
        Rule("wrong", "sign(x) * sign(x)", "x * 0 + 1", Exactness.EXACT),
        Rule("wrong", "x * reciprocal(x)", "x * 0 + 1", Exactness.ROUNDING),
        Rule("wrong", "interp(x, y, a)", "interp(y, x, a)", Exactness.ROUNDING),
        Rule("wrong", "x / (y / z)", "(x * z) / y", Exactness.GUARD),
        Rule("wrong", "arcsin(sin(x))", "x", Exactness.FINITE),
    ]
    for rule in wrong:
        with pytest.raises(AssertionError):
            test_a_rule_is_true_in_its_sense(rule)


def test_names_are_unique_and_patterns_bind():
    assert len(BY_RULE) == len(RULES)
    assert len({rule.patterns for rule in RULES}) == len(RULES)
    for rule in RULES:
        left, right = rule.patterns
        assert variables(right) <= variables(left), rule.name


def test_a_rule_keeps_the_type():
    """x - x of a tensor is a tensor of zeros: y + (x - x) is y only where y is as wide."""
    graph = EGraph()
    narrow = graph.add_term(
        apply("add", input_term("lr"), apply("subtract", input_term("g"), input_term("g")))
    )
    saturate(graph, RULES, Limits())
    assert graph.type(narrow) is ValueType.TENSOR
    assert graph.find(graph.add_term(input_term("lr"))) != graph.find(narrow)


def test_statements_for_a_single_value():
    """The helper of this module writes what it says."""
    statements = write({"update": input_term("g")})
    assert statements == (Statement("update", "maximum", ("g", "g")),)
    assert math.isclose(run(LEAVES["s"], 0, ORDINARY)[0], 0.37)
