"""The pool without workers: it evaluates in this process, one job for each `collect`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Self

from evosearch.evaluation import Evaluator, Job, Outcome, Plan
from evosearch.workers.pool import BUILDING, MakeEvaluator, evaluating, surfacing


class InProcessPool:
    """The twin of `RayPool` for tests and debugging; see `Pool`.

    It can't stop a job, so there is no timeout for each candidate, and a job that takes its process down
    takes yours down.

    Args:
        plan: what jobs are evaluated on.
        evaluator: builds the evaluator.

    Raises:
        TaskError: a task can't be built.
    """

    size = 1

    def __init__(self, plan: Plan, evaluator: MakeEvaluator = Evaluator) -> None:
        with surfacing(BUILDING):
            self._evaluator = evaluator(plan)
        self._queue: deque[Job] = deque()

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        self._queue.extend(jobs)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:  # noqa: ARG002
        """See `Pool.collect`; evaluates the next job however long that takes."""
        if not self._queue:
            return []
        job = self._queue.popleft()
        with surfacing(evaluating(job)):
            return [(job.id, self._evaluator.evaluate(job))]

    def close(self) -> None:
        """See `Pool.close`."""
        self._queue.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
