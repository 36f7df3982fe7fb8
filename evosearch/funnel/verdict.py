"""What a stage says of each candidate, in numbers and in a sentence."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

TOO_WIDE = 1.0
"""Intervals wider than this, 100 % of the baseline's metric, are left out of sentences: the first looks allow
so small an error that their bounds say nothing yet."""


class Decision(enum.Enum):
    """What a stage decided; the value is what people read."""

    PROMOTED = "promoted"
    SURPLUS = "passed, but more did than may go on"
    FAILED = "failed on too many seeds"
    WORSE = "not better"
    HOPELESS = "not to be shown better with the seeds that are left"
    OUTRANKED = "others ranked higher"
    UNSETTLED = "not shown better with all seeds"
    UNPAID = "undecided when the budget was spent"
    RUNNING = "not finished"


@dataclass(frozen=True)
class Difference:
    """From one baseline, as shares of its metric; negative where the candidate is better.

    Attributes:
        baseline: its name.
        mean: mean over tasks of candidate's mean / baseline's mean - 1.
        low: bound from below; see `evosearch.funnel.decide.interval`.
        high: bound from above.
    """

    baseline: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Finding:
    """What the last look that a candidate took part in says of it.

    Attributes:
        decision: of that look; `RUNNING` while it is open.
        seeds: how many it was trained on.
        failures: on how many it failed.
        differences: from each baseline.
        rank: mean rank among the candidates of that look; None where nobody asked.
    """

    decision: Decision = Decision.RUNNING
    seeds: int = 0
    failures: int = 0
    differences: tuple[Difference, ...] = ()
    rank: float | None = None

    @property
    def hardest(self) -> Difference | None:
        """From the baseline that is hardest to beat; None before the first look and without baselines."""
        return max(self.differences, key=lambda d: (d.high, d.mean), default=None)


@dataclass(frozen=True)
class Verdict:
    """What a stage says of a candidate.

    Attributes:
        name: of the candidate.
        decision: what was decided.
        reason: a sentence for people.
        seeds: how many it was trained on.
        failures: on how many it failed.
        differences: from each baseline.
        hardest: the one of them that decided; None without baselines.
        rank: mean rank, with `Best`; None with `Better`.
    """

    name: str
    decision: Decision
    reason: str
    seeds: int
    failures: int
    differences: tuple[Difference, ...]
    hardest: Difference | None
    rank: float | None

    @property
    def promoted(self) -> bool:
        """Whether it goes on."""
        return self.decision is Decision.PROMOTED


def verdict(name: str, finding: Finding, decision: Decision) -> Verdict:
    """A finding with its name and reason; `decision` may differ from the look's, as `SURPLUS` does."""
    return Verdict(
        name,
        decision,
        reason(finding, decision),
        finding.seeds,
        finding.failures,
        finding.differences,
        finding.hardest,
        finding.rank,
    )


def reason(finding: Finding, decision: Decision) -> str:
    """A decision as a sentence.

    >>> found = Finding(Decision.PROMOTED, 16, 0, (Difference("adamw", -0.012, -0.021, -0.004),))
    >>> reason(found, Decision.PROMOTED)
    'better than adamw by 1.2 % [0.40, 2.1] on 16 seeds'
    """
    if finding.seeds == 0:
        return "no seed trained yet"
    if decision is Decision.FAILED:
        return f"{decision.value}: on {finding.failures} of {finding.seeds}"
    measured = f"{_measured(finding)} on {finding.seeds} seeds{_failures(finding.failures)}"
    if decision is Decision.PROMOTED:
        return measured
    return f"{decision.value}: {measured}"


def _measured(finding: Finding) -> str:
    if finding.rank is not None:
        return f"mean rank {finding.rank:.1f}"
    hardest = finding.hardest
    if hardest is None:
        return "no baseline"
    if hardest.mean < 0:
        side, numbers = "better", (-hardest.mean, -hardest.high, -hardest.low)
    else:
        side, numbers = "worse", (hardest.mean, hardest.low, hardest.high)
    gain, least, most = map(_percent, numbers)
    bounds = (
        f" [{least}, {most}]" if hardest.high - hardest.low < TOO_WIDE else " (interval too wide to say more)"
    )
    return f"{side} than {hardest.baseline} by {gain} %{bounds}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if abs(share) >= 0.01 else f"{100 * share:.2f}"


def _failures(count: int) -> str:
    return f", {count} of them failed" if count else ""


def chosen(passed: Sequence[tuple[str, Finding]], most: int | None) -> frozenset[str]:
    """Who goes on of those who passed: with more than `most`, the best by what was estimated.

    This is a choice and no test: who comes in above another may be there by luck.

    Args:
        passed: names and findings.
        most: how many may go on; None for all.
    """

    def place(entry: tuple[str, Finding]) -> tuple[float, float, str]:
        name, finding = entry
        worst = max((d.mean for d in finding.differences), default=0.0)
        return (finding.rank if finding.rank is not None else 0.0, worst, name)

    return frozenset(name for name, _ in sorted(passed, key=place)[:most])
