"""Algebra: a program becomes the smallest that named, tested rules make of it.

The original and its normal form go into one e-graph, rules are applied until a limit, and the cheapest
program for all outputs together is taken out. It is never larger than the original, and it is run beside it
before it is returned; if it behaves differently, algebra is done again with fewer rules, and in the end
left undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evosearch.simplify.behaviour import Behaviour, compare_behaviour
from evosearch.simplify.egraph import FOLD, EGraph, Reason, Used
from evosearch.simplify.extraction import cost_of_terms, extract
from evosearch.simplify.normal_form import LAWS, WRITTEN_ANEW, Normal, normal_forms
from evosearch.simplify.rules import BY_RULE, RULES
from evosearch.simplify.saturation import Limits, Saturation, saturate
from evosearch.simplify.step import Exactness, Statements
from evosearch.simplify.terms import CONSTANT, INPUT, Outputs, Term, folded, subterms, terms_of
from evosearch.simplify.writing import substitute, value_names, write
from primitives import VOCABULARIES, ValueType

NORMAL_FORM = "normal form"
LADDER = (
    frozenset(Exactness),
    frozenset(Exactness) - {Exactness.GUARD},
    frozenset({Exactness.EXACT, Exactness.ROUNDING}),
    frozenset({Exactness.EXACT}),
)
"""Which rules are tried first, second, ...: each time fewer kinds."""


@dataclass(frozen=True)
class Rewrite:
    """One use of a rule.

    Attributes:
        rule: its name.
        exactness: in what sense it holds.
        before: what stood there.
        after: what stands there now.
    """

    rule: str
    exactness: Exactness
    before: str
    after: str


@dataclass(frozen=True)
class Algebra:
    """What algebra made of a program.

    Attributes:
        statements: the program, never larger than the original.
        rewrites: the uses of rules that lead from the original to it.
        exactness: the weakest of them.
        behaviour: how both ran side by side.
        saturation: how far the rules were applied.
        optimal: nothing in the e-graph is smaller.
    """

    statements: Statements
    rewrites: tuple[Rewrite, ...]
    exactness: Exactness
    behaviour: Behaviour
    saturation: Saturation
    optimal: bool


def simplify_algebra(
    statements: Statements, limits: Limits | None = None
) -> tuple[Algebra | None, tuple[str, ...]]:
    """The smallest equal program.

    Args:
        statements: the live statements of a valid program.
        limits: of the e-graph.

    Returns:
        What was found, None if nothing is that is not larger and behaves the same; and why results of more
        rules were not taken.
    """
    before = terms_of(statements)
    refused: list[str] = []
    for allowed in LADDER:
        found = _attempt(statements, before, allowed, limits or Limits())
        if found is None:
            continue
        if found.behaviour.same:
            return found, tuple(refused)
        refused.append(found.behaviour.reason)
    return None, tuple(refused)


def _attempt(
    statements: Statements, before: Outputs, allowed: frozenset[Exactness], limits: Limits
) -> Algebra | None:
    graph = EGraph()
    names = [*before]
    normal = normal_forms(before.values(), allowed)
    original = {name: graph.add_term(term) for name, term in before.items()}
    laws = _seed(graph, normal)
    saturation = saturate(graph, [rule for rule in RULES if rule.exactness in allowed], limits)
    extracted = extract(graph, [original[name] for name in names], vocabulary_of(before))
    outputs: Outputs = dict(zip(names, extracted.terms, strict=True))
    if extracted.cost >= cost_of_terms(graph, [*original.values()]):
        outputs = before
    written = write(outputs)
    if len(written) > len(statements):
        return None
    rewrites = _explain(graph, original, outputs, laws)
    exactness = weakest(rewrite.exactness for rewrite in rewrites)
    behaviour = compare_behaviour(statements, written, exactness)
    return Algebra(written, rewrites, exactness, behaviour, saturation, extracted.optimal)


Laws = dict[tuple[Term, Term], frozenset[str]]


def _seed(graph: EGraph, normal: Mapping[Term, Normal]) -> Laws:
    """Make every term equal to its normal form, level by level: so each step tells its own laws.

    Returns:
        For each pair of terms that was made equal, the laws of the normal form that make them so.
    """
    laws: Laws = {}
    for term, form in normal.items():
        args = [normal[arg].term if normal[arg].term.type is arg.type else arg for arg in term.args]
        inner = folded(term.name, args) if args else term
        if inner != form.term and form.term.type is inner.type:
            laws[inner, form.term] = form.laws
            graph.union(graph.add_term(inner), graph.add_term(form.term), Reason(NORMAL_FORM))
        graph.add_term(term)
    graph.rebuild()
    return laws


def vocabulary_of(outputs: Outputs) -> frozenset[str]:
    """The primitives that may appear: the paper's, and what the program uses already."""
    used = frozenset(term.name for term in subterms(outputs.values())) - {INPUT, CONSTANT}
    return used | frozenset(VOCABULARIES["paper"])


def weakest(exactnesses: Iterable[Exactness]) -> Exactness:
    """The weakest of several kinds of exactness; exact if there are none."""
    return max(exactnesses, key=[*Exactness].index, default=Exactness.EXACT)


def _explain(graph: EGraph, original: Mapping[str, int], outputs: Outputs, laws: Laws) -> tuple[Rewrite, ...]:
    """The rewrites, told with the names of the program that was written."""
    rewrites: dict[Rewrite, None] = {}
    names = {
        term: Term(INPUT, (), name)
        for term, name in value_names(outputs).items()
        if term.type is ValueType.TENSOR and name not in ("update", "m", "v")
    }
    for name, term in outputs.items():
        for used in graph.explain(original[name], graph.add_term(term)):
            for rewrite in _told(graph, used, laws, names):
                rewrites[rewrite] = None
    return tuple(rewrites)


def _told(graph: EGraph, used: Used, laws: Laws, names: Mapping[Term, Term]) -> list[Rewrite]:
    before, after = graph.term(used.before), graph.term(used.after)
    texts = _named(before, names), _named(after, names)
    if used.rule == NORMAL_FORM:
        known = laws.get((before, after)) or laws.get((after, before)) or frozenset([WRITTEN_ANEW])
        return [Rewrite(law, LAWS[law][0], *texts) for law in sorted(known)]
    if used.rule == FOLD:
        return [Rewrite(used.rule, Exactness.ROUNDING, *texts)]
    return [Rewrite(used.rule, BY_RULE[used.rule].exactness, *texts)]


def _named(term: Term, names: Mapping[Term, Term]) -> str:
    """A term's text, with names for those of its parts that have one."""
    return str(Term(term.name, tuple(substitute(arg, names) for arg in term.args), term.leaf))
