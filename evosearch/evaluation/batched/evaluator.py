"""The batched evaluator: the trainings of many jobs at once on one device."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from evosearch.evaluation.batched.interpreter import AXES, BatchedInterpreter
from evosearch.evaluation.compilations import keep_compilations
from evosearch.evaluation.evaluator import Bench, Course, Evaluator, Job, Tuned
from evosearch.evaluation.flow import flow_of
from evosearch.evaluation.interpreters import batch_of
from evosearch.evaluation.outcome import Outcome
from evosearch.evaluation.plan import Plan
from evosearch.evaluation.references import REFERENCES, ReferenceRule
from evosearch.evaluation.rule import Rule
from evosearch.evaluation.training import Inputs, Trained, training
from evosearch.language.program import Statement
from proxy_tasks import Split

T = TypeVar("T")

INPUT_AXES = Inputs(
    params=0, batches=0, train=None, validation=None, factor=0, hurdle_steps=None, thresholds=0
)
"""Which inputs differ between the trainings of a batch."""


class _Training(NamedTuple):
    """One training of a job.

    Attributes:
        number: of the job among those that are evaluated together.
        task: its index.
        place: of the seed among the job's seeds for the task.
        factor: the index of the learning-rate factor.
    """

    number: int
    task: int
    place: int
    factor: int


class BatchedEvaluator(Evaluator):
    """Evaluates jobs together, `plan.batch` trainings at once; each gets the outcome that it would get alone.

    All trainings of a batch go on until the last of them ends. So first seeds are trained first, the other
    seeds of a task only with the factors that got through, and a further task only if that got through. With
    limits on metrics, which stop many candidates, seeds are trained one after the other.

    Tuned references of one name, whose settings are data, are trained side by side like programs.
    """

    def evaluate(self, job: Job) -> Outcome:
        """See `evaluate_many`."""
        return self.evaluate_many([job])[0]

    def evaluate_many(self, jobs: Sequence[Job]) -> list[Outcome]:
        """The outcomes of jobs, in order.

        As `seconds` each gets an equal share of what all took together.
        """
        begin = time.perf_counter()
        courses = [Course(self.plan, job) for job in jobs]
        done: dict[_Training, Trained] = {}
        while waiting := [t for n, course in enumerate(courses) for t in _next(n, jobs[n], course)]:
            for batch in self._batches(jobs, waiting):
                done.update(zip(batch, self._train(jobs, batch), strict=False))
            for number, course in enumerate(courses):
                _advance(number, course, done)
        seconds = (time.perf_counter() - begin) / max(1, len(jobs))
        return [replace(course.outcome, seconds=seconds) for course in courses]

    def _batches(self, jobs: Sequence[Job], trainings: Sequence[_Training]) -> Iterator[list[_Training]]:
        """Trainings that can go on side by side: of one task and split, and programs or one reference."""
        groups: dict[Hashable, list[_Training]] = defaultdict(list)
        for each in trainings:
            job = jobs[each.number]
            reference = job.candidate.name if isinstance(job.candidate, Tuned) else None
            groups[each.task, job.split, reference].append(each)
        for group in groups.values():
            for first in range(0, len(group), self.plan.batch):
                yield group[first : first + self.plan.batch]

    def _train(self, jobs: Sequence[Job], batch: Sequence[_Training]) -> Iterator[Trained]:
        """The results of a batch, and after them those of the copies that fill it up."""
        bench, split = self._bench(batch[0].task), jobs[batch[0].number].split
        lanes = [*batch, *[batch[-1]] * (self.plan.batch - len(batch))]
        candidates, train = self._together(bench, [jobs[each.number].candidate for each in lanes])
        seeds, seed_of = _distinct([jobs[each.number].seeds[each.task][each.place] for each in lanes])
        prepared = [jax.device_get(self._prepare(bench, split, seed)) for seed in seeds]
        params, batches = jax.tree.map(lambda *leaves: np.stack(leaves)[seed_of], *prepared)
        inputs = Inputs(
            params=params,
            batches=batches,
            train=bench.arrays[Split.TRAIN],
            validation=bench.arrays[split],
            factor=np.array([self.plan.factors[each.factor] for each in lanes], np.float32),
            hurdle_steps=bench.hurdle_steps,
            thresholds=np.stack([self._thresholds(bench, jobs[each.number], each.place) for each in lanes]),
        )
        results = jax.device_get(train(candidates, inputs))
        return (jax.tree.map(lambda x, lane=lane: x[lane], results) for lane in range(len(lanes)))

    def _together(
        self, bench: Bench, candidates: Sequence[Sequence[Statement] | Tuned]
    ) -> tuple[Any, Callable[[Any, Inputs], Trained]]:
        """Candidates of one kind as data, and the compiled training that takes them."""

        def compiled(key: Hashable, rule: Rule, axes: Any) -> Callable[[Any, Inputs], Trained]:
            def make() -> Callable[[Any, Inputs], Trained]:
                one = training(bench.task, bench.task.steps, rule, bench.plan.curve, bench.plan.clip)
                return jax.jit(jax.vmap(one, in_axes=(axes, INPUT_AXES)))

            return self._rules.get_or((bench.index, "together", key), make)

        tuned = [candidate for candidate in candidates if isinstance(candidate, Tuned)]
        if tuned:
            rule = ReferenceRule(REFERENCES[tuned[0].name])
            values = np.array([candidate.values for candidate in tuned], np.float32)
            return (bench.schedule, values), compiled(tuned[0].name, rule, (None, 0))
        interpreter = BatchedInterpreter(bench.interpreter.params, self.plan.capacity)
        programs, program_of = _distinct([c for c in candidates if not isinstance(c, Tuned)])
        flows = [flow_of(program, bench.schedule, self.plan.capacity) for program in programs]
        encoded = interpreter.encode_all(flows, program_of, bench.task.steps)
        return encoded, compiled(None, interpreter, AXES)


def make_evaluator(plan: Plan) -> Evaluator:
    """The evaluator that a plan asks for: batched, or one training after the other."""
    if plan.way == "interpreter":
        keep_compilations()
    return Evaluator(plan) if batch_of(plan) == 1 else BatchedEvaluator(plan)


def _next(number: int, job: Job, course: Course) -> list[_Training]:
    """What a job waits for: its next seed, and all others with it where most candidates that get through the
    first get through all.
    """
    if course.wanted is None:
        return []
    task, first, factors = course.wanted
    at_once = first > 0 and not job.limits
    places = range(first, len(job.seeds[task]) if at_once else first + 1)
    return [_Training(number, task, place, f) for place in places for f in factors]


def _advance(number: int, course: Course, done: dict[_Training, Trained]) -> None:
    """Tell a job the results that it waits for, as far as there are any."""
    while course.wanted is not None:
        task, place, factors = course.wanted
        results = {f: done.get(_Training(number, task, place, f)) for f in factors}
        known = {f: result for f, result in results.items() if result is not None}
        if len(known) < len(factors):
            return
        course.tell(known)


def _distinct(values: Sequence[T]) -> tuple[list[T], list[int]]:
    """The different values, and for each value its place among them."""
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return list(places), [places[value] for value in values]
