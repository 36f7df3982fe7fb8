"""The e-graph: congruence, constants, types, explanations; saturation's limits."""

from fractions import Fraction

import pytest

from evosearch.simplify.egraph import FOLD, EGraph, Reason
from evosearch.simplify.rules import BY_RULE, RULES
from evosearch.simplify.saturation import Limits, saturate
from tests.simplify.expressions import term


def graph_of(*texts: str) -> tuple[EGraph, list[int]]:
    graph = EGraph()
    return graph, [graph.add_term(term(text)) for text in texts]


def test_equal_arguments_make_equal_nodes():
    graph, (a, b, fa, fb) = graph_of("g", "m", "tanh(sin(g))", "tanh(sin(m))")
    assert graph.find(fa) != graph.find(fb)
    graph.union(a, b, Reason("test"))
    graph.rebuild()
    assert graph.find(fa) == graph.find(fb)
    assert [(used.rule, used.before, used.after) for used in graph.explain(fa, fb)] == [("test", a, b)]


def test_an_explanation_tells_the_way():
    graph, (before, after) = graph_of("tanh(g / sqrt(g * g))", "tanh(sign(g))")
    rules = [BY_RULE[name] for name in ("times itself", "root of a square", "size by sign")]
    saturate(graph, rules, Limits())
    assert graph.find(before) == graph.find(after)
    told = graph.explain(before, after)
    assert {used.rule for used in told} == {rule.name for rule in rules}
    for used in told:
        assert graph.find(used.before) == graph.find(used.after)


def test_what_is_not_equal_has_no_explanation():
    graph, (a, b) = graph_of("g", "m")
    with pytest.raises(ValueError, match="the nodes are not equal"):
        graph.explain(a, b)


def test_constants_are_folded_exactly():
    graph, (third,) = graph_of("lr")
    number = graph.add(
        "multiply", [graph.add("constant", (), Fraction(1, 3)), graph.add("constant", (), Fraction(3))]
    )
    assert graph.number(number) == 1
    assert [used.rule for used in graph.explain(number, graph.add("constant", (), Fraction(1)))] == [FOLD]
    assert graph.number(third) is None


def test_classes_do_not_mix_types():
    graph, (scalar, tensor) = graph_of("lr", "g")
    with pytest.raises(TypeError, match="a scalar is not a tensor"):
        graph.union(scalar, tensor, Reason("test"))
    with pytest.raises(TypeError, match="norm: argument 1 must be a tensor"):
        graph.add("norm", [scalar])


def test_saturation_ends_by_itself_where_nothing_is_new():
    graph, _ = graph_of("tanh(sign(g))")
    ended = saturate(graph, RULES, Limits())
    assert ended.complete
    assert ended.nodes == len(graph.nodes)


def test_saturation_keeps_its_limits_and_repeats():
    text = "(g + (m + (w + (v + (lr * g)))))"
    sizes = []
    for _ in range(2):
        graph, _ = graph_of(text)
        ended = saturate(graph, RULES, Limits(nodes=300))
        assert not ended.complete
        assert len(graph.nodes) < 400
        sizes.append((ended.rounds, ended.nodes, tuple(ended.firings.items())))
    assert sizes[0] == sizes[1]


def test_every_rule_counts_its_firings():
    graph, _ = graph_of("g / abs(g)")
    ended = saturate(graph, RULES, Limits())
    assert ended.firings["size by sign"] == 1
    assert ended.firings["interp in interp"] == 0
