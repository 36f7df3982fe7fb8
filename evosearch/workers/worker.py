"""What runs in the process of a worker, and how its exceptions travel to the driver."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evosearch.errors import SearchError
from evosearch.evaluation import Job, Outcome, Plan
from evosearch.workers.pool import (
    BUILDING,
    MISTAKES,
    EvaluatesJobs,
    MakeEvaluator,
    bug,
    calls,
    evaluate,
    evaluating,
)
from proxy_tasks import TaskError


def packed(what: object) -> bytes:
    """Jobs, outcomes or a failure as a message; Ray's own way takes more than three times as long."""
    return pickle.dumps(what, pickle.HIGHEST_PROTOCOL)


def unpacked(message: bytes) -> Any:
    """What was packed, by a driver or a worker of the same search; nothing on disk is ever read this way."""
    return pickle.loads(message)  # noqa: S301


@dataclass(frozen=True)
class Failure:
    """An exception on its way from an actor to the driver.

    Attributes:
        message: for people.
        trace: the traceback, or None for a person's mistake.
    """

    message: str
    trace: str | None

    @staticmethod
    def of(error: Exception, doing: str) -> Failure:
        """The failure for an exception that is being handled."""
        if isinstance(error, MISTAKES):
            return Failure(str(error), None)
        return Failure(bug(doing, error), traceback.format_exc())

    def error(self) -> Exception:
        """What the driver raises."""
        if self.trace is None:
            return TaskError(self.message)
        error = SearchError(self.message)
        error.__cause__ = AtWorker(self.trace)
        return error


class AtWorker(Exception):  # noqa: N818  (it only carries a text into the traceback that people see)
    """The traceback of an exception in a worker."""

    def __str__(self) -> str:
        return f"in a worker:\n\n{self.args[0]}"


class Worker:
    """What runs in an actor's process."""

    def __init__(self) -> None:
        self._evaluator: EvaluatesJobs | None = None

    def start(self, plan: Plan, evaluator: MakeEvaluator) -> Failure | None:
        """Build the evaluator."""
        try:
            self._evaluator = evaluator(plan)
        except Exception as error:
            return Failure.of(error, BUILDING)
        return None

    def run(self, message: bytes) -> bytes:
        """The outcomes of a batch; both as `packed`."""
        return packed(self._outcomes(unpacked(message)))

    def _outcomes(self, jobs: Sequence[Job]) -> list[Outcome] | Failure:
        assert self._evaluator is not None
        outcomes: list[Outcome] = []
        for some in calls(self._evaluator, jobs):
            try:
                outcomes += evaluate(self._evaluator, some)
            except Exception as error:
                return Failure.of(error, evaluating(some))
        return outcomes
