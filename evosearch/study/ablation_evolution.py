"""Measured ablation as an evolution that may only delete and modify statements.

The other way to what `ablation` does round by round: here a change that helps only together with another one
can be found, and names decide what a deleted statement leaves behind. A child joins the population if it is
no worse than the *original*, tested as in `ablation`; of two members the one with fewer live statements wins
a tournament, and the oldest leaves. The end of the shortest member's lineage is confirmed on fresh seeds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from evosearch.errors import StudyError
from evosearch.evaluation.settings import Statements
from evosearch.language import analyze
from evosearch.language.abstract import live_statements
from evosearch.language.mutation import Mutation, MutationRules, mutate, pick
from evosearch.study.ablation import Ablated, Change, Tried, begun, confirmed
from evosearch.study.no_worse import (
    CONFIRMATION,
    SCREENING,
    Ablation,
    Variant,
    settings_for,
)
from evosearch.study.sequential import Decision, Verdict
from evosearch.study.side_by_side import try_variants
from evosearch.study.trials import Steps, Work

RULES = MutationRules(weights=(("delete", 2.0), ("modify", 1.0)), primitives=())
"""No statement is ever inserted, so no primitive is ever drawn."""

_KINDS = {"delete": "deletion", "modify": "modification"}
"""What people call the mutations of `RULES`."""

ATTEMPTS = 500
"""So many mutations in a row without a new valid program end the evolution."""


@dataclass(frozen=True)
class Evolving:
    """How much evolution.

    Attributes:
        population: members, at most.
        tournament: members that a parent is the shortest of.
        children: different programs that are tested, at most.

    Raises:
        StudyError: a number below 1.
    """

    population: int = 8
    tournament: int = 2
    children: int = 200

    def __post_init__(self) -> None:
        if min(self.population, self.tournament, self.children) < 1:
            raise StudyError(f"expected a population, a tournament and children of 1 or more, found {self}")


@dataclass(frozen=True)
class Member:
    """A program and the accepted changes that led to it from the original, in this order."""

    statements: Statements
    changes: tuple[Change, ...] = ()

    @property
    def rank(self) -> tuple[int, int]:
        """Fewer live statements are better, then fewer changes."""
        return len(self.statements), len(self.changes)


@dataclass(frozen=True)
class _Child:
    """A program to test: its parent, its live statements, and what was done."""

    parent: Member
    statements: Statements
    mutation: Mutation

    def change(self, left: Variant, verdict: Verdict) -> Change:
        """What was done, with its test."""
        return Change(
            f"measured {_KINDS[self.mutation.kind]}", self.mutation.before, self.mutation.after, left, verdict
        )


def evolution_work(
    statements: Statements, ablation: Ablation, rng: random.Random, evolving: Evolving | None = None
) -> Work[Ablated]:
    """The ablation of one program by evolution, for `Trials.run` with `ablation.plan(statements)`."""
    return Work("ablation by evolution", ablation.about, evolve(statements, ablation, rng, evolving))


def evolve(
    statements: Statements, ablation: Ablation, rng: random.Random, evolving: Evolving | None = None
) -> Steps[Ablated]:
    """Take out of a program what it does without, by evolution.

    Args:
        statements: a valid program.
        ablation: on which tasks, and what may be lost.
        rng: where all randomness comes from.
        evolving: how much; `Evolving()` if None.

    Returns:
        What is left, never more live statements than the program has.

    Raises:
        StudyError: the program diverges on a task, or the budget ends before its settings are found.
    """
    wanted = evolving or Evolving()
    original, book = yield from begun(statements, ablation)
    best = Member(original.statements)
    population = [best]
    known = {analyze(original.statements).hash}
    tried: list[Tried] = []
    while len(tried) < wanted.children and not book.spent:
        count = min(ablation.together, wanted.children - len(tried))
        children = _breed(rng, population, known, count, wanted.tournament)
        if not children:
            break
        variants = yield from settings_for(book, original, [child.statements for child in children])
        if variants is None:
            break
        verdicts = yield from try_variants(book, original, variants, SCREENING, 1 - ablation.confidence)
        for child, variant, verdict in zip(children, variants, verdicts, strict=True):
            saved = len(child.parent.statements) - len(child.statements)
            change = child.change(variant, verdict)
            tried.append(Tried(change.name, len(tried) + 1, saved, verdict))
            if verdict.decision is Decision.ACCEPTED:
                member = Member(variant.statements, (*child.parent.changes, change))
                population = [*population, member][-wanted.population :]
                best = min(best, member, key=lambda one: one.rank)
    return (yield from confirmed(book, original, best.changes, tried, CONFIRMATION))


def _breed(
    rng: random.Random, population: Sequence[Member], known: set[str], count: int, tournament: int
) -> list[_Child]:
    """At most so many valid programs that nobody has seen; fewer if mutation finds no more."""
    children: list[_Child] = []
    misses = 0
    while len(children) < count and misses < ATTEMPTS:
        parent = min((population[pick(rng, len(population))] for _ in range(tournament)), key=_rank)
        child = _child(rng, parent)
        if child is None or (digest := analyze(child.statements).hash) in known:
            misses += 1
            continue
        misses = 0
        known.add(digest)
        children.append(child)
    return children


def _rank(member: Member) -> tuple[int, int]:
    return member.rank


def _child(rng: random.Random, parent: Member) -> _Child | None:
    """A mutated parent; None if it is invalid or no mutation applies."""
    mutated = mutate(rng, parent.statements, RULES)
    if mutated is None or not analyze(mutated[0]).valid:
        return None
    return _Child(parent, live_statements(mutated[0]), mutated[1])
