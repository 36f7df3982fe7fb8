"""What every pool of workers offers, and how a failing evaluation is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol, Self, runtime_checkable

from evosearch.c_library import NoCompilerError
from evosearch.errors import SearchError
from evosearch.evaluation import Job, Outcome, Plan
from proxy_tasks import TaskError


class EvaluatesJobs(Protocol):
    """What a worker needs of an evaluator."""

    def evaluate(self, job: Job) -> Outcome:
        """The outcome of one job; a pure function of the job, except for the seconds."""
        ...


@runtime_checkable
class EvaluatesTogether(EvaluatesJobs, Protocol):
    """An evaluator to which it is worth giving many jobs in one call."""

    def evaluate_many(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of jobs, in order; each as `evaluate` gives it."""
        ...


MakeEvaluator = Callable[[Plan], EvaluatesJobs]
"""Builds the evaluator of a worker, in the worker's process; `make_evaluator`, except in tests."""


def calls(evaluator: EvaluatesJobs, jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """Jobs as an evaluator takes them, for `evaluate`: all in one call, or one in each."""
    return [jobs] if isinstance(evaluator, EvaluatesTogether) else [[job] for job in jobs]


def evaluate(evaluator: EvaluatesJobs, jobs: Sequence[Job]) -> list[Outcome]:
    """The outcomes of the jobs of one call, in order."""
    if isinstance(evaluator, EvaluatesTogether):
        return evaluator.evaluate_many(jobs)
    return [evaluator.evaluate(job) for job in jobs]


class Pool(Protocol):
    """Workers that evaluate jobs, in any order; no outcome depends on the order or on how many there are.

    A pool is a context manager that closes itself.

    Attributes:
        size: how many jobs it takes to keep everybody busy: one for each worker, or a batch for each.
    """

    @property
    def size(self) -> int:
        """How many jobs it takes to keep everybody busy."""
        ...

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue jobs; they are started in this order."""
        ...

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """What has finished since the last call, as (job's id, outcome) in any order.

        Waits for at least one, unless `timeout` seconds pass or nothing is under way. Every job that was
        submitted comes back once. A batch or a message that is not full is begun only by a call that may
        wait: with a timeout of 0 more jobs are expected.

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


class Staff(NamedTuple):
    """The workers of a pool at one moment.

    Attributes:
        ready: who can take jobs.
        asked: how many there should be; the others start, or wait until there is a machine for them.
    """

    ready: int
    asked: int


@runtime_checkable
class HasWorkers(Protocol):
    """A pool whose workers come and go."""

    @property
    def workers(self) -> Staff:
        """How many there are."""
        ...


MISTAKES = (TaskError, NoCompilerError)
"""Exceptions of an evaluator that are for people: data that can't be read, a machine without a compiler."""

BUILDING = "building the evaluator of a worker"


def evaluating(jobs: Sequence[Job]) -> str:
    """What a worker does in one call, for messages."""
    numbers = ", ".join(str(job.id) for job in jobs)
    return f"the evaluation of job{'s' if len(jobs) > 1 else ''} {numbers}"


@contextmanager
def surfacing(doing: str) -> Iterator[None]:
    """Let a person's mistake (`MISTAKES`) through and turn any other exception, a bug, into a SearchError.

    Args:
        doing: what may fail, for the message.
    """
    try:
        yield
    except MISTAKES:
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
