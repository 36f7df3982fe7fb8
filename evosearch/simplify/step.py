"""What the simplifier reports: one step, with before, after, reason, and how exact it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from evosearch.language import Statement

Statements = tuple[Statement, ...]


class Exactness(enum.Enum):
    """In what sense a program behaves the same after a step; the value is what people read."""

    EXACT = "exact"
    ROUNDING = "up to rounding"
    GUARD = "up to the 1e-8 in division"
    FINITE = "for finite inputs only"
    MEASURED = "measured: no worse by more than the margin"


@dataclass(frozen=True)
class Step:
    """One step of the simplifier.

    Attributes:
        part: which part of the simplifier took it: "redundant", "ablation", "algebra" or "names".
        rule: the name of the rule, or of the measured change.
        before: the statements before it.
        after: the statements after it.
        reason: one sentence for people.
        exactness: in what sense both behave the same; the weakest of all rules that were used.
    """

    part: str
    rule: str
    before: Statements
    after: Statements
    reason: str
    exactness: Exactness
