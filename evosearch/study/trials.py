"""Trainings on workers, each done once: what a ledger knows is not trained again.

Work comes as generators: each yields the trainings that it needs next, is sent what they gave, and in the end
returns something. Several of them are under way at once, so that no worker waits for the last training of a
round of one of them.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any, Generic, Protocol, TypeVar

import jax

from evosearch import __version__
from evosearch.errors import StudyError
from evosearch.evaluation import Job, Plan, Status, Tuned
from evosearch.evaluation.references import PREFIX
from evosearch.language import program_text
from evosearch.runtime import processor
from evosearch.study.ledger import Ledger, Measured
from evosearch.study.tunable import Candidate, Tunable
from evosearch.study.tuning import Effort, Optimum, tuning
from evosearch.workers import Pool
from proxy_tasks import Split, Task

SCHEMA = 1
"""Raised whenever evosearch trains otherwise than before with the same task, candidate and seed."""

AHEAD = 16
"""Trainings for each worker that are queued before another piece of work is begun."""

T = TypeVar("T")


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        task: which of the plan's tasks.
        candidate: the statements of a valid program, or a reference with its hyperparameters.
        split: where the metric is taken, and the family of seeds.
        seed: of the weights and the order of the data.
    """

    task: int
    candidate: Candidate
    split: Split
    seed: int


Steps = Generator[Sequence[Training], Sequence[Measured], T]
"""Yields trainings, is sent what they gave in the same order, and returns its result."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """A piece of a study.

    Attributes:
        label: for people.
        trainings: how many it will need, about.
        steps: what it does.
    """

    label: str
    trainings: int
    steps: Steps[T]


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        label: the piece of work that was begun last.
        done: trainings done, those that the ledger knew included.
        total: of all work, about.
        trained: trainings done just now.
        finished: pieces of work that are complete.
        pieces: of work in all.
    """

    label: str
    done: int
    total: int
    trained: int
    finished: int
    pieces: int


class View(Protocol):
    """Shows how far a study is."""

    def progress(self, progress: Progress) -> None:
        """The study has moved."""
        ...


class Silent:
    """A view that shows nothing."""

    def progress(self, progress: Progress) -> None:
        """Nothing."""


@dataclass
class _Active:
    """A piece of work that was begun."""

    work: Work[Any]
    missing: int = 0
    results: list[Measured | None] | None = None
    done: int = 0
    value: Any = None
    complete: bool = False


class Trials:
    """Does the trainings of a plan.

    Args:
        plan: its tasks, with one learning-rate factor and no hurdles.
        pool: of workers that were made for this plan.
        ledger: where results are kept.
        view: who is shown the progress.

    Raises:
        ValueError: a plan with factors or hurdles, in which one training is not one number.
    """

    def __init__(self, plan: Plan, pool: Pool, ledger: Ledger, view: View | None = None) -> None:
        if plan.factors != (1.0,) or plan.hurdles:
            raise ValueError("expected a plan without learning-rate factors and hurdles")
        self._plan, self._pool, self._ledger = plan, pool, ledger
        self._view = view or Silent()
        self._identity = cache(lambda task: task_identity(plan, task))
        self._waiters: dict[str, list[tuple[_Active, int]]] = {}
        self._jobs: dict[int, tuple[str, Training]] = {}
        self._next_id = 0
        self._trained = 0

    def run(self, works: Sequence[Work[T]]) -> Iterator[tuple[Work[T], T]]:
        """Do pieces of work; yields each with its result as soon as it is complete.

        Raises:
            StudyError: a training took too long or took its worker down, so there is no result.
            TaskError, SearchError: as `Pool.collect` does.
        """
        waiting, active = deque(works), list[_Active]()
        total, finished, over = sum(work.trainings for work in works), 0, 0
        label = ""
        while waiting or active:
            while waiting and len(self._jobs) < AHEAD * self._pool.size:
                one = _Active(waiting.popleft())
                label = one.work.label
                self._advance(one)
                active.append(one)
            for one in [one for one in active if one.complete]:
                active.remove(one)
                finished, over = finished + 1, over + one.work.trainings
                yield one.work, one.value
            done = over + sum(min(one.done, one.work.trainings) for one in active)
            self._view.progress(Progress(label, done, total, self._trained, finished, len(works)))
            if self._jobs:
                self._collect()

    def _advance(self, one: _Active) -> None:
        """Let a piece of work go on as long as the ledger knows what it asks for."""
        while one.missing == 0:
            try:
                if one.results is None:
                    trainings = next(one.work.steps)
                else:
                    self._ledger.sync()
                    trainings = one.work.steps.send([result for result in one.results if result is not None])
            except StopIteration as end:
                one.value, one.complete = end.value, True
                return
            keys = [self.key(training) for training in trainings]
            one.results = [self._ledger.get(key) for key in keys]
            one.done += sum(result is not None for result in one.results)
            jobs = []
            for place, (key, training) in enumerate(zip(keys, trainings, strict=True)):
                if one.results[place] is None:
                    one.missing += 1
                    if key not in self._waiters:
                        jobs.append(self._job(key, training))
                    self._waiters.setdefault(key, []).append((one, place))
            if jobs:
                self._pool.submit(jobs)

    def _job(self, key: str, training: Training) -> Job:
        self._next_id += 1
        self._jobs[self._next_id] = key, training
        seeds = tuple((training.seed,) if t == training.task else () for t in range(len(self._plan.tasks)))
        return Job(self._next_id, training.candidate, seeds, training.split)

    def _collect(self) -> None:
        for number, outcome in self._pool.collect():
            key, training = self._jobs.pop(number)
            if outcome.status not in (Status.OK, Status.DIVERGED):
                task = self._plan.tasks[training.task].name
                raise StudyError(
                    f"a training of {task} with {candidate_label(training.candidate)} (seed {training.seed}) "
                    f"gave no result: it {outcome.status.value}; nothing that was done is lost"
                )
            metric = outcome.metrics[training.task][0][0]
            curved = self._plan.tasks[training.task].curve > 0
            curve = outcome.curves[training.task][0][0] if curved else ()
            measured = Measured(outcome.status, metric, outcome.steps, outcome.seconds, curve)
            self._ledger.add(key, measured)
            self._trained += 1
            for one, place in self._waiters.pop(key):
                assert one.results is not None
                one.results[place] = measured
                one.missing -= 1
                one.done += 1
                if one.missing == 0:
                    self._advance(one)

    def key(self, training: Training) -> str:
        """What the ledger knows a training by: a hash of everything that its result depends on."""
        parts = {
            "task": self._identity(training.task),
            "candidate": candidate_identity(training.candidate),
            "split": training.split.name,
            "seed": training.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


def candidate_identity(candidate: Candidate) -> dict[str, Any]:
    """A candidate as plain data."""
    if isinstance(candidate, Tuned):
        return {"reference": candidate.name, "values": list(candidate.values)}
    return {"program": program_text(candidate)}


def candidate_label(candidate: Candidate) -> str:
    """A candidate for people."""
    if isinstance(candidate, Tuned):
        return f"{PREFIX}{candidate.name} at {', '.join(f'{value:g}' for value in candidate.values)}"
    return f"a program of {len(candidate)} statements"


def versions() -> dict[str, str]:
    """Versions that decide what a training gives."""
    return {
        "evosearch": __version__,
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "optax": version("optax"),
    }


def task_identity(plan: Plan, index: int) -> str:
    """A hash of everything about a task, and of how it is trained, that a result depends on.

    The task's own functions enter as JAX traces them, so that a ledger does not outlive a change to them.
    """
    task_plan = plan.tasks[index]
    task = task_plan.build()
    parts = {
        "schema": SCHEMA,
        "name": task_plan.name,
        "knobs": dict(task_plan.knobs),
        "schedule": [task_plan.schedule.kind, task_plan.schedule.warmup],
        "clip": task_plan.clip,
        "way": plan.way,
        "curve": task_plan.curve,
        "steps": task.steps,
        "data": task.data().fingerprint,
        "functions": _functions(task),
        "versions": versions(),
        "machine": [processor(), jax.default_backend()],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


_ADDRESS = re.compile(r"0x[0-9a-f]+")


def _functions(task: Task) -> str:
    """A hash of a task's functions as JAX sees them."""
    splits = task.data().splits
    key = jax.eval_shape(lambda: jax.random.key(0))
    train = splits[Split.TRAIN]
    w = jax.eval_shape(task.init, key, train)
    draw = lambda key, train: task.draw(key, train, task.steps)  # noqa: E731
    batches = jax.eval_shape(draw, key, train)
    batch = jax.eval_shape(lambda batches: jax.tree.map(lambda leaf: leaf[0], batches), batches)
    traces = (
        jax.make_jaxpr(task.init)(key, train),
        jax.make_jaxpr(draw)(key, train),
        jax.make_jaxpr(task.loss)(w, train, batch),
        jax.make_jaxpr(task.evaluate)(w, splits[Split.REPORT]),
    )
    text = "\n".join(_ADDRESS.sub("", str(trace)) for trace in traces)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# ---------------------------------------------------------------- tuning, as trainings


def tune(
    tunable: Tunable, effort: Effort, rng: random.Random, task: int, seeds: Sequence[int]
) -> Steps[Optimum]:
    """Tune on the search split of one task; see `tuning`.

    Args:
        tunable: who is tuned.
        effort: how much.
        rng: see `tuning.tuning`.
        task: which of the plan's tasks.
        seeds: at least `effort.seeds` of them.
    """
    search = tuning(tunable.grids, effort, rng)
    trials = next(search)
    while True:
        trainings = [
            Training(task, candidate, Split.SEARCH, seeds[seed])
            for trial in trials
            for candidate in (tunable.at(trial.place),)
            for seed in trial.seeds
        ]
        results = iter((yield trainings))
        scores = [tuple(next(results).metric for _ in trial.seeds) for trial in trials]
        try:
            trials = search.send(scores)
        except StopIteration as end:
            optimum: Optimum = end.value
            return optimum


def report(task: int, candidate: Candidate, seeds: int) -> Steps[Sequence[Measured]]:
    """Train on so many fresh seeds, with the metric on the report split, which no tuning sees."""
    return (yield [Training(task, candidate, Split.REPORT, seed) for seed in range(seeds)])
