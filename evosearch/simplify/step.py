"""What the simplifier reports: stages, and their steps with before, after, reason and exactness."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from evosearch.language import Statement

Statements = tuple[Statement, ...]

MOST_STATEMENTS = 150
"""Live statements of programs that are looked into; longer ones are left as they are, and not recognised."""


class Exactness(enum.Enum):
    """In what sense a program behaves the same after a step, from the strictest sense to the weakest.

    The value is what people read.
    """

    EXACT = "exact"
    ROUNDING = "up to rounding"
    FINITE = "for finite inputs only"
    GUARD = "up to the 1e-8 in division"
    MEASURED = "measured: no worse by more than the margin"


@dataclass(frozen=True)
class Step:
    """One step of the simplifier.

    Attributes:
        part: which part of the simplifier took it; one of `PARTS`.
        rule: the name of the rule, or of the measured change.
        before: what stood there, as text.
        after: what stands there now; "" if nothing does.
        reason: one sentence for people.
        exactness: in what sense both behave the same.
    """

    part: str
    rule: str
    before: str
    after: str
    reason: str
    exactness: Exactness


@dataclass(frozen=True)
class Stage:
    """What one part of the simplifier did.

    Attributes:
        part: one of `PARTS`.
        before: the statements it was given.
        after: the statements it left, never more.
        steps: what it did; empty if it changed nothing.
        notes: sentences for people: limits that were reached, results that were not taken.
    """

    part: str
    before: Statements
    after: Statements
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


PARTS = ("redundant", "ablation", "algebra", "constants", "names")
"""The parts of the simplifier, in the order in which they are taken."""
