"""Two tuned references against each other on every task: where is one better, and how easily is that seen?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evosearch.study.statistics import Interval, paired
from evosearch.study.tuned import TunedRecord


@dataclass(frozen=True)
class Rivalry:
    """One reference against another on one task.

    Attributes:
        task: a row of the table of tasks.
        knobs: of the task, where they are not the defaults.
        first: mean metric of each of the first's tunings, on fresh seeds and the report split.
        second: the same of the second's.
        difference: mean of first - second, each averaged over its tunings, seed by seed; negative favours the
            first.
        interval: of that at 95 % confidence; it knows the spread over seeds, not that over tunings.
        spread: the least and the largest difference of one tuning of the first and one of the second.
        effect: the difference over its standard deviation on one seed; None where it is the same on all.
        seconds: of one training.
    """

    task: str
    knobs: dict[str, object]
    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: float
    interval: Interval
    spread: Interval
    effect: float | None
    seconds: float

    @property
    def established(self) -> bool:
        """Whether seeds and tunings all point the same way."""
        ends = (*self.interval, *self.spread)
        return all(end < 0 for end in ends) or all(end > 0 for end in ends)

    @property
    def seeds(self) -> float:
        """Seeds on which both are to be trained to see the difference by two standard errors."""
        return math.inf if not self.effect else (2 / self.effect) ** 2

    @property
    def signal(self) -> float:
        """The size of the effect that one second of training buys; it grows with the root of the seconds."""
        return 0.0 if self.effect is None else abs(self.effect) / math.sqrt(2 * self.seconds)


def rivalries(records: Sequence[TunedRecord], first: str, second: str) -> list[Rivalry]:
    """Where both were tuned on the same data, the clearest first.

    Args:
        records: of tuned references.
        first: a reference.
        second: another one.
    """
    found = []
    for place in dict.fromkeys((record.place[:2], record.data) for record in records):
        ours = [r for r in records if (r.place[:2], r.data) == place and r.reference == first]
        theirs = [r for r in records if (r.place[:2], r.data) == place and r.reference == second]
        rivalry = _rivalry(ours, theirs) if ours and theirs else None
        if rivalry is not None:
            found.append(rivalry)
    return sorted(found, key=lambda rivalry: -rivalry.signal)


def _rivalry(ours: Sequence[TunedRecord], theirs: Sequence[TunedRecord]) -> Rivalry | None:
    a, b = (np.array([_scores(record) for record in group]) for group in (ours, theirs))
    difference = paired(a.mean(axis=0), b.mean(axis=0))
    if difference is None:
        return None
    single = [float(np.nanmean(x - y)) for x in a for y in b]
    return Rivalry(
        task=ours[0].task,
        knobs=dict(ours[0].knobs),
        first=tuple(a.mean(axis=1).tolist()),
        second=tuple(b.mean(axis=1).tolist()),
        difference=difference.difference,
        interval=difference.interval,
        spread=(min(single), max(single)),
        effect=difference.effect,
        seconds=float(np.median([r.seconds_per_step * r.steps for r in (*ours, *theirs)])),
    )


def _scores(record: TunedRecord) -> list[float]:
    return [math.nan if score is None else score for score in record.report.scores]
