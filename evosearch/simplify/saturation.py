"""Applies the table of rules to an e-graph until nothing new appears, or a limit is reached.

Limits are counts and no clock, so that the same program is always simplified alike. A rule that matches very
often, such as associativity, is left out for some rounds, each time twice as many (the back-off of Willsey et
al., "egg", 2021).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from evosearch.simplify.egraph import EGraph, Reason, Spellings
from evosearch.simplify.rules import CONSTANTS, Pattern, Rule, admits
from evosearch.simplify.terms import CONSTANT, accepts


@dataclass(frozen=True)
class Limits:
    """How far saturation may go.

    Attributes:
        rounds: of all rules.
        nodes: in the e-graph; about 1 kB each.
        matches: of one rule in one round; more, and the rule pauses.
    """

    rounds: int = 12
    nodes: int = 3000
    matches: int = 200


@dataclass(frozen=True)
class Saturation:
    """How saturation ended.

    Attributes:
        rounds: done.
        nodes: in the e-graph.
        complete: nothing new can appear.
        firings: how often each rule made something new.
    """

    rounds: int
    nodes: int
    complete: bool
    firings: Mapping[str, int]


Match = dict[str, int]


def saturate(graph: EGraph, rules: Sequence[Rule], limits: Limits) -> Saturation:
    """Apply rules to all that the e-graph holds.

    Args:
        graph: grows.
        rules: rows of the table.
        limits: at which it stops.
    """
    firings = dict.fromkeys((rule.name for rule in rules), 0)
    pauses = dict.fromkeys(firings, 0)
    until = dict.fromkeys(firings, 0)
    for turn in range(limits.rounds):
        places = graph.by_name()
        found: list[tuple[Rule, list[Match]]] = []
        paused = False
        for rule in rules:
            if turn < until[rule.name]:
                paused = True
                continue
            matches = [*islice(_matches(graph, rule, places), limits.matches << pauses[rule.name])]
            if len(matches) == limits.matches << pauses[rule.name]:
                until[rule.name] = turn + 1 + (1 << pauses[rule.name])
                pauses[rule.name] += 1
                paused = True
                matches = matches[: limits.matches]
            found.append((rule, matches))
        changed = False
        for rule, matches in found:
            for match in matches:
                if len(graph.nodes) > limits.nodes:
                    graph.rebuild()
                    return Saturation(turn + 1, len(graph.nodes), False, firings)
                if _fire(graph, rule, match):
                    firings[rule.name] += 1
                    changed = True
        graph.rebuild()
        if not changed and not paused:
            return Saturation(turn + 1, len(graph.nodes), True, firings)
    return Saturation(limits.rounds, len(graph.nodes), False, firings)


def _fire(graph: EGraph, rule: Rule, match: Match) -> bool:
    left, right = rule.patterns
    before = _instance(graph, left, match)
    after = _instance(graph, right, match)
    if before is None or after is None or graph.type(before) is not graph.type(after):
        return False
    return graph.union(before, after, Reason(rule.name))


def _instance(graph: EGraph, pattern: Pattern, match: Match) -> int | None:
    """The pattern's node; None where the type rule refuses it."""
    if isinstance(pattern, str):
        return match[pattern]
    if isinstance(pattern, Fraction):
        return graph.add(CONSTANT, (), pattern)
    name = str(pattern[0])
    args = [_instance(graph, part, match) for part in pattern[1:]]  # type: ignore[arg-type]
    numbers = [arg for arg in args if arg is not None]
    if len(numbers) < len(args) or not accepts(name, [graph.type(arg) for arg in numbers]):
        return None
    return graph.add(name, numbers)


def _matches(graph: EGraph, rule: Rule, places: Spellings) -> Iterator[Match]:
    left, _ = rule.patterns
    assert isinstance(left, tuple)
    for root in places.get(str(left[0]), ()):
        for match in match_pattern(graph, places, left, root, {}):
            if rule.when is None or rule.when(_numbers(graph, match)):
                yield match


def _numbers(graph: EGraph, match: Match) -> dict[str, Fraction]:
    return {
        name: number
        for name, node in match.items()
        if name in CONSTANTS and (number := graph.number(node)) is not None
    }


def match_pattern(
    graph: EGraph, places: Spellings, pattern: Pattern, root: int, match: Match
) -> Iterator[Match]:
    """The ways in which a pattern stands for a class, extending what is matched already."""
    if isinstance(pattern, str):
        if pattern in match:
            if match[pattern] == root:
                yield match
        elif admits(pattern, graph.type(root), graph.number(root)):
            yield {**match, pattern: root}
        return
    if isinstance(pattern, Fraction):
        if graph.number(root) == pattern:
            yield match
        return
    for args in places.get(str(pattern[0]), {}).get(root, ()):
        yield from _match_all(graph, places, pattern[1:], args, match)  # type: ignore[arg-type]


def _match_all(
    graph: EGraph, places: Spellings, patterns: Sequence[Pattern], nodes: Sequence[int], match: Match
) -> Iterator[Match]:
    if not patterns:
        yield match
        return
    for first in match_pattern(graph, places, patterns[0], nodes[0], match):
        yield from _match_all(graph, places, patterns[1:], nodes[1:], first)
