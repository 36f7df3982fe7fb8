"""A stage: its plan, what it wants and is told, and its state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from evosearch.errors import StudyError
from evosearch.funnel.rules import Better, Failures, Rule
from evosearch.funnel.verdict import Decision, Finding
from evosearch.study.sequential import doubling

FEWEST = 3
"""Seeds at the first look: fewer tell nothing of a spread."""


def usual_looks(first: int, last: int) -> tuple[int, ...]:
    """Looks that double, with one half-way from each to the next.

    Twice the looks of `doubling` save a fifth of the evaluations, and cost one or two percent of power.

    >>> usual_looks(4, 32)
    (4, 6, 8, 12, 16, 24, 32)
    """
    twice = doubling(first, last)
    between = [(look + after) // 2 for look, after in pairwise(twice)]
    return tuple(sorted({*twice, *between}))


@dataclass(frozen=True)
class Allocation:
    """A stage's plan.

    Attributes:
        rule: what is asked of candidates.
        tasks: names, for people; each (name, seed) is trained on all of them.
        looks: numbers of seeds, rising; see `usual_looks`.
        baselines: names; at least one with `Better`.
        most: how many may go on; None for all that pass.
        budget: the most trainings, one for each name, seed and task, the baselines' included; None for no
            limit.
        failures: what a failed training costs.

    Raises:
        StudyError: values that make no plan.
    """

    rule: Rule
    tasks: tuple[str, ...]
    looks: tuple[int, ...]
    baselines: tuple[str, ...] = ()
    most: int | None = None
    budget: int | None = None
    failures: Failures = field(default_factory=Failures)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise StudyError("expected at least one task for a stage, found none; name one, as digits_vit")
        if not self.looks or list(self.looks) != sorted(set(self.looks)) or self.looks[0] < FEWEST:
            found = ", ".join(map(str, self.looks)) or "none"
            raise StudyError(f"expected looks at rising numbers of seeds, at least {FEWEST}, found {found}")
        if isinstance(self.rule, Better) and not self.baselines:
            raise StudyError(
                "expected a baseline to be better than, found none; name one, as adamw, or promote the best"
            )
        if self.most is not None and self.most < 1:
            raise StudyError(f"expected at least 1 survivor at most, found most = {self.most}")


class Wanted(NamedTuple):
    """Trainings that the next look needs, on every task.

    Attributes:
        name: of a candidate or a baseline.
        seeds: rising; numbered within the stage.
    """

    name: str
    seeds: tuple[int, ...]


class Score(NamedTuple):
    """What the trainings of one name on one seed gave.

    Attributes:
        name: of a candidate or a baseline.
        seed: numbered within the stage.
        metrics: one for each task; lower is better, not finite where training failed.
    """

    name: str
    seed: int
    metrics: tuple[float, ...]


@dataclass(frozen=True)
class State:
    """A stage under way; it follows from the plan, the names and the scores.

    Attributes:
        plan: of the stage.
        names: of the candidates.
        look: which look is being prepared, from 0; the number of looks when all are over.
        findings: of each candidate so far, in the order of `names`.
        scores: metrics by (name, seed).
    """

    plan: Allocation
    names: tuple[str, ...]
    look: int
    findings: tuple[Finding, ...]
    scores: Mapping[tuple[str, int], tuple[float, ...]]

    @property
    def going(self) -> tuple[str, ...]:
        """Candidates that are open."""
        pairs = zip(self.names, self.findings, strict=True)
        return tuple(name for name, finding in pairs if finding.decision is Decision.RUNNING)

    @property
    def trainings(self) -> int:
        """How many were told so far."""
        return len(self.scores) * len(self.plan.tasks)
