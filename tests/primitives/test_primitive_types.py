"""Type rules: what each admits, gives and refuses, and the sentences people read."""

from itertools import product

import pytest

from primitives import BY_NAME, TABLE, ValueType
from primitives.types import (
    BLEND,
    CONSTANT,
    ELEMENTWISE,
    REDUCE_LEAVES,
    REDUCE_PAIR,
    REDUCE_TREE,
    RESCALE,
)

S, L, T = ValueType.SCALAR, ValueType.LEAFWISE, ValueType.TENSOR
RULES = (ELEMENTWISE, CONSTANT, REDUCE_LEAVES, REDUCE_TREE, REDUCE_PAIR, RESCALE, BLEND)


def test_wider_types_are_larger():
    assert S < L < T
    assert [str(kind) for kind in ValueType] == ["scalar", "leafwise", "tensor"]


@pytest.mark.parametrize(
    ("rule", "arguments", "result"),
    [
        (CONSTANT, (), S),
        (ELEMENTWISE, (S,), S),
        (ELEMENTWISE, (L,), L),
        (ELEMENTWISE, (S, S), S),
        (ELEMENTWISE, (S, L), L),
        (ELEMENTWISE, (T, S), T),
        (ELEMENTWISE, (L, T), T),
        (REDUCE_LEAVES, (T,), L),
        (REDUCE_TREE, (T,), S),
        (REDUCE_PAIR, (T, T), S),
        (RESCALE, (T, S), T),
        (BLEND, (S, S, S), S),
        (BLEND, (S, L, S), L),
        (BLEND, (T, S, S), T),
    ],
)
def test_admitted(rule, arguments, result):
    assert rule.result(arguments) is result


@pytest.mark.parametrize(
    ("rule", "arguments", "reason"),
    [
        (CONSTANT, (S,), "expected 0 arguments, found 1"),
        (ELEMENTWISE, (), "expected at least 1 argument, found 0"),
        (REDUCE_LEAVES, (), "expected 1 argument, found 0"),
        (REDUCE_LEAVES, (S,), "argument 1 must be a tensor, found a scalar"),
        (REDUCE_TREE, (L,), "argument 1 must be a tensor, found a leafwise value"),
        (REDUCE_PAIR, (T, S), "argument 2 must be a tensor, found a scalar"),
        (RESCALE, (T, L), "argument 2 must be a scalar, found a leafwise value"),
        (RESCALE, (S, S), "argument 1 must be a tensor, found a scalar"),
        (BLEND, (T, T, T), "argument 3 must be a scalar, found a tensor"),
    ],
)
def test_refused_with_a_reason(rule, arguments, reason):
    assert rule.result(arguments) == reason


def test_rules_have_unique_names_and_sentences():
    assert len({rule.name for rule in RULES}) == len({rule.sentence for rule in RULES}) == len(RULES)
    assert {row.rule for row in TABLE} == set(RULES)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_refusal_of_every_row_gives_its_reason(row):
    """Each assignment of types is admitted, or refused by a sentence that names an offending argument."""
    for kinds in product(ValueType, repeat=row.arity):
        result = row.result_type(kinds)
        wrong = [i for i, expected in enumerate(row.rule.expects or ()) if expected not in (None, kinds[i])]
        if not wrong:
            assert isinstance(result, ValueType)
            continue
        expected, found = row.rule.expects[wrong[0]], kinds[wrong[0]]
        assert result.startswith(f"{row.name}: argument {wrong[0] + 1} must be a {expected}, found a {found}")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_wrong_number_of_arguments_is_refused_by_name(row):
    plural = "" if row.arity == 1 else "s"
    expected = f"{row.name}: expected {row.arity} argument{plural}, found {row.arity + 1}"
    assert row.result_type((T,) * (row.arity + 1)) == expected


def test_reductions_need_tensors():
    """A decision: the norm of a number would repeat `abs`, and hide mistakes."""
    for name in ("norm", "rms", "global_norm", "dot", "cosine_sim"):
        row = BY_NAME[name]
        admitted = [
            k for k in product(ValueType, repeat=row.arity) if isinstance(row.result_type(k), ValueType)
        ]
        assert admitted == [(T,) * row.arity]
