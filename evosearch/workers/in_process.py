"""The pool without workers: it evaluates in this process, one job, or one batch, for each `collect`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Self

from evosearch.evaluation import Job, Outcome, Plan, batch_of, make_evaluator
from evosearch.workers.pool import BUILDING, MakeEvaluator, calls, evaluate, evaluating, surfacing


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

    def __init__(self, plan: Plan, evaluator: MakeEvaluator = make_evaluator) -> None:
        with surfacing(BUILDING):
            self._evaluator = evaluator(plan)
            self._size = batch_of(plan)
        self._queue: deque[Job] = deque()

    @property
    def size(self) -> int:
        """See `Pool.size`."""
        return self._size

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        self._queue.extend(jobs)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """See `Pool.collect`; evaluates the next job, or the next batch, however long that takes."""
        if not self._queue or (timeout == 0 and len(self._queue) < self._size):
            return []
        jobs = [self._queue.popleft() for _ in range(min(self._size, len(self._queue)))]
        finished: list[tuple[int, Outcome]] = []
        for some in calls(self._evaluator, jobs):
            with surfacing(evaluating(some)):
                outcomes = evaluate(self._evaluator, some)
            finished += [(job.id, outcome) for job, outcome in zip(some, outcomes, strict=True)]
        return finished

    def close(self) -> None:
        """See `Pool.close`."""
        self._queue.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
