"""Mutation: what is reached in the end, what never happens, and that the record tells the truth."""

import itertools
import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evosearch.language import Constant, Statement, builtin, builtin_names, parse
from evosearch.language.mutation import (
    MAX_MAGNITUDE,
    MUTATIONS,
    ConstantRules,
    Mutation,
    MutationRules,
    Statements,
    mutate,
    new_name,
    pick,
    random_program,
    scaled_constant,
    variables_before,
)
from evosearch.language.program import INPUTS
from evosearch.language.vocabulary import vocabulary
from primitives import BY_NAME
from tests.strategies import EVEN, RULES, descendant, programs, seeds, trying

TRIES = 4_000

ADAMW = builtin("adamw").statements

laws = trying(150)


def only(kind: str, **changes: object) -> MutationRules:
    return replace(RULES, weights=((kind, 1.0),), **changes)


def mutants(
    parent: Statements, rules: MutationRules, tries: int = TRIES
) -> Iterator[tuple[Statements, Mutation]]:
    """The children that a fixed series of random numbers gives."""
    rng = random.Random(0)
    for _ in range(tries):
        mutated = mutate(rng, parent, rules)
        if mutated is not None:
            yield mutated


def is_eventually(observe: Callable[[], object], allowed: set, required: set, tries: int = TRIES) -> None:
    """Only allowed things are observed, and each required thing at least once."""
    seen = {observe() for _ in range(tries)}
    assert seen <= allowed, seen - allowed
    assert seen >= required, required - seen


# ---------------------------------------------------------------- the record


@trying(300)
@given(programs(valid=False), seeds)
def test_the_record_is_the_difference(program, seed):
    parent = program.statements
    mutated = mutate(random.Random(seed), parent, RULES)
    if mutated is None:
        return
    child, m = mutated
    assert m.kind in MUTATIONS
    same = m.statement
    assert child[:same] == parent[:same]
    assert child[same + m.new :] == parent[same + m.gone :]
    assert [s.text for s in child[same : same + m.new]] == ([m.after] if m.after else [])
    assert [s.text for s in parent[same : same + m.gone]] == ([m.before] if m.before else [])
    assert (m.new, m.gone) == {"insert": (1, 0), "delete": (0, 1), "modify": (1, 1)}[m.kind]
    assert len(child) == len(parent) + m.new - m.gone
    if m.kind == "modify":
        before, after = parent[same], child[same]
        assert (before.target, before.primitive, len(before.args)) == (
            after.target,
            after.primitive,
            len(after.args),
        )
        differing = [(a, b) for a, b in zip(before.args, after.args, strict=True) if a != b]
        assert len(differing) <= 1
        for _, b in differing:
            assert isinstance(b, Constant) or b in variables_before(parent, same)


@laws
@given(programs(valid=False), seeds)
def test_mutation_is_a_pure_function(program, seed):
    parent = program.statements
    text = str(program)
    state = random.getstate()
    first, second = (mutate(random.Random(seed), parent, RULES) for _ in range(2))
    assert first == second
    assert str(program) == text
    assert random.getstate() == state, "the global generator was used"


SCRIPT = """
import json, random
from evosearch.language import builtin
from tests.strategies import RULES, descendant, trying
from evosearch.language.mutation import random_program
adamw = builtin("adamw").statements
print(json.dumps([
    [s.text for s in descendant(random.Random(5), adamw, 200, valid=False)],
    [s.text for s in random_program(random.Random(6), RULES)],
]))
"""


def test_another_process_breeds_the_same_children():
    env = {**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, check=True, capture_output=True, text=True
    ).stdout
    assert json.loads(out) == [
        [s.text for s in descendant(random.Random(5), ADAMW, 200, valid=False)],
        [s.text for s in random_program(random.Random(6), RULES)],
    ]


GOLDEN_CHAIN = [
    ("modify", 0, "lr = lr * 0.1", "lr = -0.12758829 * 0.1"),
    ("delete", 0, "lr = -0.12758829 * 0.1", ""),
    ("modify", 0, "update = g * lr", "update = w * lr"),
    ("insert", 1, "", "update = cbrt(-1.4973534)"),
    ("insert", 2, "", "t1 = power(g, m)"),
    ("insert", 3, "", "t2 = update + t1"),
]


def test_a_golden_chain():
    """The same seed gives the same children for ever: a run's history depends on it."""
    rng = random.Random(42)
    statements = builtin("sgd").statements
    told = []
    for _ in range(6):
        statements, m = mutate(rng, statements, RULES)
        told.append((m.kind, m.statement, m.before, m.after))
    assert told == GOLDEN_CHAIN


# ---------------------------------------------------------------- insert


@pytest.mark.parametrize("name", ["paper", "all"])
def test_every_primitive_of_the_vocabulary_is_inserted_in_the_end(name):
    rules = only("insert", primitives=vocabulary(name))
    children = mutants(ADAMW, rules)
    is_eventually(
        lambda: (lambda made: made[0][made[1].statement].primitive)(next(children)),
        set(vocabulary(name)),
        set(vocabulary(name)),
        TRIES,
    )


def test_no_primitive_outside_the_vocabulary_is_inserted():
    rules = only("insert", primitives=("add", "sign"))
    assert {child[m.statement].primitive for child, m in mutants(ADAMW, rules)} == {"add", "sign"}


def test_where_statements_are_inserted():
    positions = Counter(m.statement for _, m in mutants(ADAMW, only("insert")))
    assert set(positions) == set(range(len(ADAMW) + 1))
    assert stats.chisquare(list(positions.values())).pvalue > 1e-3


def test_what_inserted_statements_read():
    """Every variable defined before, constants, and nothing else."""
    seen: dict[int, set] = {}
    for child, m in mutants(ADAMW, only("insert"), 12_000):
        args = child[m.statement].args
        seen.setdefault(m.statement, set()).update(
            "a constant" if isinstance(a, Constant) else a for a in args
        )
    for position, read in seen.items():
        assert read == {"a constant", *variables_before(ADAMW, position)}
    assert "sqrt_v" not in seen[3]
    assert "sqrt_v" in seen[4]


def test_how_often_an_argument_is_a_constant():
    arguments = [a for child, m in mutants(ADAMW, only("insert")) for a in child[m.statement].args]
    constants = sum(isinstance(a, Constant) for a in arguments)
    assert stats.binomtest(constants, len(arguments), ConstantRules().share).pvalue > 1e-3


@pytest.mark.parametrize(("share", "kinds"), [(0.0, {str}), (1.0, {Constant})])
def test_the_share_of_constants_may_be_none_or_all(share, kinds):
    rules = only("insert", constants=ConstantRules(share=share))
    assert {type(a) for child, m in mutants(ADAMW, rules) for a in child[m.statement].args} == kinds


def test_what_inserted_statements_write():
    targets = Counter(child[m.statement].target for child, m in mutants(ADAMW, only("insert")))
    existing = {*INPUTS, *[s.target for s in ADAMW]}
    assert set(targets) == existing | {"t1"}
    assert stats.binomtest(targets["t1"], targets.total(), 0.5).pvalue > 1e-3
    del targets["t1"]
    assert stats.chisquare(list(targets.values())).pvalue > 1e-3


def test_update_may_be_written_although_nothing_did():
    empty = parse("def train(w, g, m, v, lr):\n    return update, m, v\n").statements
    targets = {child[0].target for child, _ in mutants(empty, only("insert"))}
    assert targets == {*INPUTS, "update", "t1"}


def test_new_names():
    assert new_name([]) == "t1"
    assert new_name(["w", "t1", "t3"]) == "t2"
    chain = descendant(random.Random(0), ADAMW, 60, only("insert"), valid=False)
    assert len({s.target for s in chain if s.target.startswith("t")}) > 3


@pytest.mark.parametrize("limit", [0, 1, 9, 12])
def test_programs_never_grow_above_the_limit(limit):
    rules = replace(RULES, max_statements=limit)
    rng = random.Random(0)
    statements, longest = ADAMW[:limit], 0
    for _ in range(500):
        mutated = mutate(rng, statements, rules)
        if mutated is not None:
            statements = mutated[0]
        longest = max(longest, len(statements))
    assert longest == limit
    assert mutate(rng, ADAMW, only("insert", max_statements=len(ADAMW))) is None
    assert mutate(rng, ADAMW, only("insert", max_statements=len(ADAMW) - 1)) is None
    assert len(mutate(rng, ADAMW, only("insert", max_statements=len(ADAMW) + 1))[0]) == len(ADAMW) + 1


# ---------------------------------------------------------------- delete


def test_every_statement_is_deleted_in_the_end():
    deleted = Counter(m.statement for _, m in mutants(ADAMW, only("delete")))
    assert set(deleted) == set(range(len(ADAMW)))
    assert stats.chisquare(list(deleted.values())).pvalue > 1e-3


def test_nothing_can_be_deleted_or_modified_in_an_empty_program():
    assert mutate(random.Random(0), (), only("delete")) is None
    assert mutate(random.Random(0), (), only("modify")) is None
    assert mutate(random.Random(0), (), only("modify", constants_only=True)) is None


# ---------------------------------------------------------------- modify


def changes(
    parent: Statements, rules: MutationRules, tries: int = TRIES
) -> list[tuple[int, int, object, object]]:
    """Statement, argument, before and after, for each modified argument."""
    result = []
    for child, m in mutants(parent, rules, tries):
        pairs = zip(parent[m.statement].args, child[m.statement].args, strict=True)
        result += [(m.statement, j, a, b) for j, (a, b) in enumerate(pairs) if a != b]
    return result


def kind(argument: object) -> str:
    return "constant" if isinstance(argument, Constant) else "variable"


def test_every_argument_is_modified_in_every_way():
    ways = {(i, j, kind(a), kind(b)) for i, j, a, b in changes(ADAMW, only("modify"))}
    places = [(i, j, kind(a)) for i, s in enumerate(ADAMW) for j, a in enumerate(s.args)]
    assert ways == {(*place, to) for place, to in itertools.product(places, ("constant", "variable"))}


def test_every_other_variable_is_read_in_the_end():
    for i, s in enumerate(ADAMW):
        found = {
            b for at, j, a, b in changes(ADAMW, only("modify")) if (at, j) == (i, 0) and isinstance(b, str)
        }
        assert found == set(variables_before(ADAMW, i)) - {s.args[0]}


def test_a_statement_without_arguments_is_not_modified():
    statements = (Statement("t1", "get_pi", ()),)
    assert list(mutants(statements, only("modify"), 50)) == []


ONE_CONSTANT = (Statement("update", "sign", (0.5,)),)


def constants_after(rules: MutationRules, tries: int = TRIES) -> list[float]:
    return [b.value for _, _, _, b in changes(ONE_CONSTANT, rules, tries) if isinstance(b, Constant)]


@pytest.mark.parametrize("std", [1.0, 0.1])
def test_a_constant_is_scaled_by_a_power_of_two(std):
    rules = only("modify", constants=ConstantRules(scale_share=1.0, scale_std=std))
    exponents = [math.log2(value / 0.5) for value in constants_after(rules)]
    assert len(exponents) == TRIES
    assert stats.kstest(exponents, "norm", (0, std)).pvalue > 1e-3


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_a_constant_is_replaced_by_a_normal_one(std):
    rules = only("modify", constants=ConstantRules(share=1.0, std=std, scale_share=0.0))
    values = constants_after(rules)
    assert len(values) == TRIES
    assert stats.kstest(values, "norm", (0, std)).pvalue > 1e-3


def test_constants_of_new_statements_are_normal():
    rules = only("insert", constants=ConstantRules(std=2.0))
    made = [
        a.value
        for child, m in mutants(ADAMW, rules)
        for a in child[m.statement].args
        if isinstance(a, Constant)
    ]
    assert len(made) > 1_000
    assert stats.kstest(made, "norm", (0, 2)).pvalue > 1e-3


def test_how_often_a_constant_is_scaled():
    """A scaled constant keeps its sign, so a negative one was replaced."""
    rules = only("modify", constants=ConstantRules(share=1.0, scale_share=0.8))
    values = constants_after(rules)
    negative = sum(value < 0 for value in values)
    assert stats.binomtest(negative, len(values), 0.2 / 2).pvalue > 1e-3


@pytest.mark.parametrize("value", [3e38, -3e38, 1e30, 1e-30, -0.0, 0.0])
def test_a_scaled_constant_stays_finite(value):
    rules = ConstantRules(scale_std=100.0)
    rng = random.Random(0)
    scaled = [scaled_constant(rng, Constant(value), rules).value for _ in range(200)]
    assert all(abs(x) <= MAX_MAGNITUDE * (1 + 1e-6) for x in scaled)
    assert all(math.copysign(1, x) == math.copysign(1, value) for x in scaled)
    chain = Constant(value)
    for _ in range(200):
        chain = scaled_constant(rng, chain, rules)


@laws
@given(programs(valid=False), seeds)
def test_constants_only_keeps_everything_but_constants(program, seed):
    parent = program.statements
    mutated = mutate(random.Random(seed), parent, only("modify", constants_only=True))
    constants = [a for s in parent for a in s.args if isinstance(a, Constant)]
    if mutated is None:
        assert not constants
        return
    child, _ = mutated
    without = [(s.target, s.primitive, tuple(kind(a) == "variable" and a for a in s.args)) for s in parent]
    assert [
        (s.target, s.primitive, tuple(kind(a) == "variable" and a for a in s.args)) for s in child
    ] == without
    after = [a for s in child for a in s.args if isinstance(a, Constant)]
    assert sum(a != b for a, b in zip(constants, after, strict=True)) <= 1


def test_constants_only_reaches_each_constant():
    found = changes(ADAMW, only("modify", constants_only=True))
    assert {(i, j) for i, j, _, _ in found} == {(1, 2), (2, 2), (5, 1), (7, 1)}
    exponents = [math.log2(b.value / a.value) for _, _, a, b in found]
    assert stats.kstest(exponents, "norm").pvalue > 1e-3


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("weights", [(1, 1, 1), (3, 1, 0), (0, 0, 5), (0.1, 0.2, 0.7), (0, 1e-9, 0)])
def test_weights(weights):
    names = ("insert", "modify", "delete")
    rules = replace(RULES, weights=tuple(zip(names, weights, strict=True)))
    counts = Counter(m.kind for _, m in mutants(ADAMW, rules))
    assert counts.total() == TRIES
    assert set(counts) == {name for name, weight in zip(names, weights, strict=True) if weight}
    expected = [TRIES * weight / sum(weights) for weight in weights if weight]
    found = [counts[name] for name, weight in zip(names, weights, strict=True) if weight]
    assert len(found) == 1 or stats.chisquare(found, expected).pvalue > 1e-3


def test_no_weights_no_mutation():
    assert mutate(random.Random(0), ADAMW, replace(RULES, weights=())) is None
    assert mutate(random.Random(0), ADAMW, replace(RULES, weights=tuple((n, 0.0) for n, _ in EVEN))) is None


# ---------------------------------------------------------------- random programs


def test_lengths_of_random_programs():
    rules = replace(RULES, max_statements=8)
    rng = random.Random(0)
    lengths = Counter(len(random_program(rng, rules)) for _ in range(TRIES))
    assert set(lengths) == set(range(1, 9))
    assert stats.chisquare(list(lengths.values())).pvalue > 1e-3


@laws
@given(seeds, st.integers(1, 40))
def test_random_programs_read_what_is_defined(seed, limit):
    statements = random_program(random.Random(seed), replace(RULES, max_statements=limit))
    for i, s in enumerate(statements):
        assert set(s.variables) <= set(variables_before(statements, i))
        assert len(s.args) == BY_NAME[s.primitive].arity
    assert statements == random_program(random.Random(seed), replace(RULES, max_statements=limit))


def test_random_programs_use_every_primitive():
    rng = random.Random(0)
    used = {s.primitive for _ in range(100) for s in random_program(rng, RULES)}
    assert used == set(vocabulary("all"))


# ---------------------------------------------------------------- small parts


def test_pick():
    rng = random.Random(0)
    counts = Counter(pick(rng, 7) for _ in range(TRIES))
    assert set(counts) == set(range(7))
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3
    assert {pick(rng, 1) for _ in range(100)} == {0}


def test_variables_before():
    assert variables_before(ADAMW, 0) == list(INPUTS)
    assert set(variables_before(ADAMW, 4)) == {*INPUTS, "g2", "sqrt_v"}
    assert set(variables_before(ADAMW, 9)) == {*INPUTS, "g2", "sqrt_v", "update", "wd"}


@pytest.mark.parametrize("name", builtin_names())
def test_every_shipped_program_has_children_of_each_kind(name):
    assert {m.kind for _, m in mutants(builtin(name).statements, RULES, 60)} == set(MUTATIONS)
