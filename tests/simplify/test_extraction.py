"""The cheapest program for all outputs together."""

from evosearch.simplify.egraph import EGraph, Reason
from evosearch.simplify.extraction import Cost, cost_of_terms, extract
from primitives import BY_NAME
from tests.simplify.expressions import term

EVERYTHING = frozenset(BY_NAME)


def joined(*classes: tuple[str, ...]) -> tuple[EGraph, list[int]]:
    """A graph in which the terms of each tuple are equal."""
    graph = EGraph()
    roots = []
    for texts in classes:
        first, *others = [graph.add_term(term(text)) for text in texts]
        for other in others:
            graph.union(first, other, Reason("test"))
        roots.append(first)
    graph.rebuild()
    return graph, roots


def test_the_shorter_spelling_is_taken():
    graph, roots = joined(("g / sqrt(g * g)", "sign(g)"))
    found = extract(graph, roots, EVERYTHING)
    assert [str(t) for t in found.terms] == ["sign(g)"]
    assert found.optimal
    assert found.cost < cost_of_terms(graph, roots)


def test_a_shared_part_counts_once():
    """Alone, each root is cheaper without tanh; together, the shared tanh(g) wins."""
    graph, roots = joined(
        ("square(tanh(sin(g)))", "abs(cos(cos(g)))"), ("cube(tanh(sin(g)))", "abs(sinh(sinh(g)))")
    )
    found = extract(graph, roots, EVERYTHING)
    assert [str(t) for t in found.terms] == ["square(tanh(sin(g)))", "cube(tanh(sin(g)))"]


def test_only_the_vocabulary_is_used():
    graph, roots = joined(("0 - g", "negative(g)"))
    assert [str(t) for t in extract(graph, roots, EVERYTHING).terms] == ["negative(g)"]
    paper = EVERYTHING - {"negative"}
    assert [str(t) for t in extract(graph, roots, paper).terms] == ["0.0 - g"]


def test_a_cycle_is_never_taken():
    """g = g + 0 makes a class that contains itself."""
    graph, roots = joined(("tanh(g)", "tanh(g) + 0"), ("tanh(tanh(g))", "tanh(tanh(g)) * 1"))
    assert [str(t) for t in extract(graph, roots, EVERYTHING).terms] == ["tanh(g)", "tanh(tanh(g))"]


def test_decay_is_not_hidden_in_an_interp():
    """`interp(w, sign, 0.7)` is a statement shorter than sign plus decay; people read the longer one."""
    graph, roots = joined(("interp(w, sign(g), 0.7) * (lr * 0.5)", "(sign(g) + w * 0.43) * (lr * 0.35)"))
    taken = extract(graph, roots, EVERYTHING)
    assert str(taken.terms[0]) == "(sign(g) + (w * 0.43)) * (lr * 0.35)"
    shortest = extract(graph, roots, EVERYTHING, Cost(hidden_decay=0.0))
    assert str(shortest.terms[0]) == "interp(w, sign(g), 0.7) * (lr * 0.5)"
