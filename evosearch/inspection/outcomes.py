"""How evaluations ended, by reason, and what they cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evosearch.evaluation import Status
from evosearch.inspection.history import History
from evosearch.records import RunReader


@dataclass(frozen=True)
class OutcomeCount:
    """Evaluations that ended in one way.

    Attributes:
        status: name of the `Status`, or "all".
        reason: the sentence.
        evaluations: how many.
        share: of all evaluations.
        steps: training steps done in them.
        seconds: that workers spent on them.
        programs: programs generated whose score says so, cache hits included.
    """

    status: str
    reason: str
    evaluations: int
    share: float
    steps: int
    seconds: float
    programs: int


@dataclass(frozen=True)
class OutcomeStatistics:
    """How the evaluations of a run ended; the warm start's is not among them.

    Attributes:
        reasons: one for each status that occurred, in the order of `Status`.
        total: all evaluations.
    """

    reasons: tuple[OutcomeCount, ...]
    total: OutcomeCount

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"reasons": [asdict(row) for row in self.reasons], "all": asdict(self.total)}


def outcome_statistics(run: RunReader, history: History) -> OutcomeStatistics:
    """How evaluations ended.

    Raises:
        RunError: the run is damaged.
    """
    table = run.evaluations(["status", "steps", "seconds"])
    status = np.array(table["status"].to_pylist(), dtype=np.str_)
    steps, seconds = table["steps"].to_numpy(), table["seconds"].to_numpy()

    def count(name: str, reason: str, rows: Any, programs: int) -> OutcomeCount:
        number = int(rows.sum())
        return OutcomeCount(
            status=name,
            reason=reason,
            evaluations=number,
            share=number / max(1, len(status)),
            steps=int(steps[rows].sum()),
            seconds=float(seconds[rows].sum()),
            programs=programs,
        )

    found = [count(s.name, s.value, status == s.name, int(history.outcome.is_(s.name).sum())) for s in Status]
    everything = np.ones(len(status), dtype=np.bool_)
    return OutcomeStatistics(
        reasons=tuple(row for row in found if row.evaluations or row.programs),
        total=count("all", "all evaluations", everything, len(history)),
    )
