"""How many jobs go into one message, so that messages cost little and no worker waits at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evosearch.evaluation import Outcome

BATCH_SECONDS = 0.25
"""How long a batch should take."""

LARGEST_BATCH = 32

LONG_SECONDS = 0.5
"""Behind a job that takes longer no other is queued: it could wait there while another worker is idle."""


class Pace:
    """What follows from how many seconds a job takes, the mean over the last hundred or so.

    Args:
        together: how many jobs a worker does at once; if several, they make a message, whatever they take.
    """

    def __init__(self, together: int = 1) -> None:
        self._together = together
        self._seconds: float | None = None

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what some jobs took."""
        mean = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
        if self._seconds is None:
            self._seconds = mean
        self._seconds += (mean - self._seconds) * min(1.0, len(outcomes) / 100)

    @property
    def ahead(self) -> int:
        """Batches to keep at a worker: the one it works on, and another if that one will not take long."""
        return 1 if self._seconds is None or self._seconds > LONG_SECONDS else 2

    @property
    def wanted(self) -> int:
        """How many jobs make a message if enough wait."""
        if self._seconds is None or self._together > 1:
            return self._together
        return max(1, round(BATCH_SECONDS / max(self._seconds, BATCH_SECONDS / LARGEST_BATCH)))

    def batch(self, waiting: int, workers: int) -> int:
        """How many jobs to send at once: never so many that other workers get none.

        Args:
            waiting: jobs that wait.
            workers: how many workers there are.
        """
        if self._together > 1:
            return min(waiting, self._together)
        return max(1, min(self.wanted, math.ceil(waiting / (workers * self.ahead))))
