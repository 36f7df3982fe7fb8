"""What every pool of workers offers, and how a failing evaluation is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, Self

from evosearch.errors import SearchError
from evosearch.evaluation import Job, Outcome, Plan
from proxy_tasks import TaskError


class EvaluatesJobs(Protocol):
    """What a worker needs of an evaluator."""

    def evaluate(self, job: Job) -> Outcome:
        """The outcome of one job; a pure function of the job, except for the seconds."""
        ...


MakeEvaluator = Callable[[Plan], EvaluatesJobs]
"""Builds the evaluator of a worker, in the worker's process; `Evaluator`, except in tests."""


class Pool(Protocol):
    """Workers that evaluate jobs, in any order; no outcome depends on the order or on how many there are.

    A pool is a context manager that closes itself.

    Attributes:
        size: how many workers there are.
    """

    @property
    def size(self) -> int:
        """How many workers there are."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; they are started in this order."""
        ...

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """What has finished since the last call, as (job's id, outcome) in any order.

        Waits for at least one, unless `timeout` seconds pass or nothing is under way. Every job that was
        submitted comes back once.

        Raises:
            TaskError: a worker can't build a task, or can't read its data.
            SearchError: an evaluation raised an exception, which is a bug and the `__cause__`; or workers
                can't start. The pool is of no more use then, except to be closed.
        """
        ...

    def close(self) -> None:
        """Stop working at once and free everything; what is queued or under way is lost. Can be repeated."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


BUILDING = "building the evaluator of a worker"


def evaluating(job: Job) -> str:
    """What a worker does with a job, for messages."""
    return f"the evaluation of job {job.id}"


@contextmanager
def surfacing(doing: str) -> Iterator[None]:
    """Let a person's mistake (TaskError) through and turn any other exception, a bug, into a SearchError.

    Args:
        doing: what may fail, for the message.
    """
    try:
        yield
    except TaskError:
        raise
    except Exception as error:
        raise SearchError(bug(doing, error)) from error


def bug(doing: str, error: Exception) -> str:
    """The sentence for an exception that should not have been.

    >>> bug("the evaluation of job 3", ValueError("odd"))
    'the evaluation of job 3 raised ValueError: odd (a bug in evosearch or in a task; please report it)'
    """
    told = f"{type(error).__name__}: {first_line(error)}".removesuffix(": ")
    return f"{doing} raised {told} (a bug in evosearch or in a task; please report it)"


def first_line(error: object) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]
