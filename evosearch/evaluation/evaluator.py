"""The evaluator: trains tasks with a candidate and says how well that went.

It is built once per process from a `Plan`, which is plain data, and compiles each task once. `evaluate` is a
pure function of the job: no score depends on what was evaluated before.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.compiled import Compiled
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.interpreters import choose, make_interpreter
from evosearch.evaluation.native.interpreter import NativeInterpreter
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.evaluation.plan import Plan, TaskPlan
from evosearch.evaluation.references import REFERENCES, ReferenceRule
from evosearch.evaluation.rule import Rule
from evosearch.evaluation.training import Inputs, Trained, training
from evosearch.language.program import Statement
from proxy_tasks import Split, Task


@dataclass(frozen=True)
class Tuned:
    """A reference optimizer with its hyperparameters, in the order of its `grids`."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Job:
    """One candidate to evaluate.

    Attributes:
        id: whatever the sender wants to recognise the outcome by.
        candidate: the statements of a valid program, or a tuned reference.
        seeds: for each task, the seeds to train with; a task without is left out. A seed decides initial
            weights and the order of the data; seeds of different splits have nothing in common.
        split: where the metric is taken, and the family of seeds.
        thresholds: running losses above which training is cut [task][seed][hurdle]; empty for none.
        limits: metrics above which nothing further is tried [task][seed]; empty for none.
        factors: for each task the places of the learning-rate factors to try; empty for all.
    """

    id: int
    candidate: Sequence[Statement] | Tuned
    seeds: tuple[tuple[int, ...], ...]
    split: Split = Split.SEARCH
    thresholds: tuple[tuple[tuple[float, ...], ...], ...] = ()
    limits: tuple[tuple[float, ...], ...] = ()
    factors: tuple[tuple[int, ...], ...] = ()


class Wanted(NamedTuple):
    """Trainings that a job needs next: of one task with one seed.

    Attributes:
        task: its index.
        place: of the seed among the job's seeds for the task.
        factors: indices of the learning-rate factors.
    """

    task: int
    place: int
    factors: tuple[int, ...]


class Course:
    """Which trainings a job needs, one after the other, and what follows from them.

    A learning-rate factor that fails on one seed of a task, or is clearly worse than the best there, is not
    tried on further seeds. A candidate none of whose factors gets through, or whose metric is above the job's
    limit, is not tried on anything further.

    Attributes:
        wanted: the next trainings; None at the end.
        outcome: what the trainings so far amount to, its seconds left out; complete at the end.
    """

    def __init__(self, plan: Plan, job: Job) -> None:
        self._plan, self._job = plan, job
        self._results: list[list[Mapping[int, Trained]]] = [[] for _ in job.seeds]
        self._status = Status.OK
        self.wanted: Wanted | None = self._first_of(0)

    def tell(self, results: Mapping[int, Trained]) -> None:
        """The results of what was wanted, by factor."""
        assert self.wanted is not None
        task, place, _ = self.wanted
        self._results[task].append(results)
        alive = tuple(f for f, result in results.items() if np.isfinite(result.metric))
        following = self._following(task, place, alive)
        if not alive:
            self._status = Status.CUT if any(r.cut for r in results.values()) else Status.DIVERGED
        elif following and self._job.limits:
            best = min(float(results[f].metric) for f in alive)
            self._status = Status.CUT if best > self._job.limits[task][place] else Status.OK
        if self._status is Status.OK:
            self.wanted = following
        else:
            self.wanted = None
            del self._results[task + 1 :]

    def _following(self, task: int, place: int, alive: tuple[int, ...]) -> Wanted | None:
        """What would come next, if the candidate goes on."""
        if place + 1 == len(self._job.seeds[task]):
            return self._first_of(task + 1)
        slack = self._plan.factor_slack
        if slack is not None and alive:
            totals = {f: sum(float(r[f].metric) for r in self._results[task]) for f in alive}
            alive = tuple(f for f in alive if totals[f] <= (1 + slack) * min(totals.values()))
        return Wanted(task, place + 1, alive)

    def _first_of(self, begin: int) -> Wanted | None:
        """The first seed of the next task that has seeds, from this one on."""
        for task in range(begin, len(self._job.seeds)):
            if self._job.seeds[task]:
                factors = self._job.factors[task] if self._job.factors else range(len(self._plan.factors))
                return Wanted(task, 0, tuple(factors))
        return None

    @property
    def outcome(self) -> Outcome:
        """See above."""
        factors = len(self._plan.factors)
        points = [task_plan.curve for task_plan in self._plan.tasks]
        metrics = tuple(tuple(_row_of_metrics(r, factors) for r in task) for task in self._results)
        hurdles = tuple(tuple(_best_hurdles(r) for r in task) for task in self._results)
        curves = tuple(
            tuple(_row_of_curves(r, factors, count) for r in task if count)
            for task, count in zip(self._results, points, strict=False)  # a failure ends it early
        )
        steps = sum(int(r.steps) for task in self._results for seed in task for r in seed.values())
        return Outcome(self._status, metrics, hurdles, steps, curves=curves if any(points) else ())


_PREPARED_SEEDS = 128
_PREPARED_BYTES = 256 * 2**20
"""How many initial weights and minibatches are kept, over all tasks."""

_RULES = 32
"""How many compiled trainings are kept, over all tasks, besides those of the interpreter in `Bench`."""

T = TypeVar("T")


class _Recent:
    """The most recently used results of a function: a bounded number, and bytes, of them."""

    def __init__(self, limit: int, bytes_limit: float = float("inf")) -> None:
        self._limit, self._bytes_limit = limit, bytes_limit
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get_or(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int] = lambda _: 0) -> T:
        """The result kept under this key, or a new one; `size` tells its bytes."""
        if key in self._kept:
            self._kept.move_to_end(key)
            result: T = self._kept[key][0]
            return result
        result = make()
        taken = size(result)
        self._bytes += taken
        self._kept[key] = result, taken
        while len(self._kept) > 1 and (len(self._kept) > self._limit or self._bytes > self._bytes_limit):
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed
        return result


@dataclass
class Bench:
    """One task, ready to train: its arrays on the device and its compiled functions."""

    index: int
    task: Task
    plan: TaskPlan
    schedule: NDArray[np.float32]
    arrays: Mapping[Split, Any]
    prepare: Callable[[Any, Any], tuple[Any, Any]]
    evaluate: Callable[[Any, Any], jax.Array] | None
    interpreter: Interpreter | NativeInterpreter
    interpret: Callable[[Any, Inputs], Trained]
    hurdle_steps: NDArray[np.int32]


class Evaluator:
    """Evaluates jobs on the tasks of a plan, one after the other, in this process.

    A task's data are put on the device when a job first asks for it, so a plan may hold many tasks.

    Attributes:
        plan: what it was built from.
        tasks: the tasks of the plan, built.

    Raises:
        TaskError: a task can't be built.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tasks: tuple[Task, ...] = tuple(task_plan.build() for task_plan in plan.tasks)
        self._benches: dict[int, Bench] = {}
        self._prepared = _Recent(_PREPARED_SEEDS, _PREPARED_BYTES)
        self._rules = _Recent(_RULES)
        self._interpreter = choose(plan.interpreter).name

    def _bench(self, index: int) -> Bench:
        if index not in self._benches:
            self._benches[index] = self._make_bench(index)
        return self._benches[index]

    def _make_bench(self, index: int) -> Bench:
        task, task_plan = self.tasks[index], self.plan.tasks[index]
        arrays = {split: jax.device_put(data) for split, data in task.data().splits.items()}

        def prepare(key: Any, train: Any) -> tuple[Any, Any]:
            weights, batches = jax.random.split(key)
            return task.init(weights, train), task.draw(batches, train, task.steps)

        example = jax.eval_shape(task.init, jax.random.key(0), arrays[Split.TRAIN])
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), example)
        interpreter = make_interpreter(self._interpreter, zeros, self.plan.capacity)
        evaluate = lambda w, validation: jnp.float32(task.evaluate(w, validation))  # noqa: E731
        return Bench(
            index=index,
            task=task,
            plan=task_plan,
            schedule=task_plan.schedule.values(task.steps),
            arrays=arrays,
            prepare=jax.jit(prepare),
            evaluate=None if task_plan.curve else jax.jit(evaluate),
            interpreter=interpreter,
            interpret=training(task, task.steps, interpreter, task_plan.curve, task_plan.clip),
            hurdle_steps=np.array([max(1, round(h * task.steps)) for h in self.plan.hurdles], np.int32),
        )

    def evaluate(self, job: Job) -> Outcome:
        """Train every task with the candidate; see `Course` and `Outcome`."""
        begin = time.perf_counter()
        course = Course(self.plan, job)
        rules: dict[int, tuple[Any, Callable[[Any, Inputs], Trained]]] = {}
        while course.wanted is not None:
            task, place, factors = course.wanted
            bench = self._bench(task)
            if task not in rules:
                rules[task] = self._rule(bench, job.candidate)
            program, train = rules[task]
            course.tell(
                {f: jax.device_get(train(program, self._inputs(bench, job, place, f))) for f in factors}
            )
        return replace(course.outcome, seconds=time.perf_counter() - begin)

    def _inputs(self, bench: Bench, job: Job, place: int, factor: int) -> Inputs:
        """What one training of a job reads: the task's seed at this place, with this factor."""
        params, batches = self._prepare(bench, job.split, job.seeds[bench.index][place])
        return Inputs(
            params=params,
            batches=batches,
            train=bench.arrays[Split.TRAIN],
            validation=bench.arrays[job.split],
            factor=np.float32(self.plan.factors[factor]),
            hurdle_steps=bench.hurdle_steps,
            thresholds=self._thresholds(bench, job, place),
        )

    def _thresholds(self, bench: Bench, job: Job, place: int) -> NDArray[np.float32]:
        """Running losses above which a training is cut; infinite where the job has none."""
        thresholds = job.thresholds[bench.index][place] if job.thresholds else ()
        free = np.full(len(bench.hurdle_steps), np.inf, np.float32)
        return np.asarray(thresholds, np.float32) if thresholds else free

    def _rule(
        self, bench: Bench, candidate: Sequence[Statement] | Tuned
    ) -> tuple[Any, Callable[[Any, Inputs], Trained]]:
        """What varies between candidates, and the compiled training that takes it."""

        def compiled(key: Hashable, rule: Rule) -> Callable[[Any, Inputs], Trained]:
            def make() -> Callable[[Any, Inputs], Trained]:
                task, plan = bench.task, bench.plan
                return training(task, task.steps, rule, plan.curve, plan.clip, bench.evaluate)

            return self._rules.get_or((bench.index, key), make)

        if isinstance(candidate, Tuned):
            train = compiled(candidate.name, ReferenceRule(REFERENCES[candidate.name]))
            return (bench.schedule, np.asarray(candidate.values, np.float32)), train
        if self.plan.way == "compiled":
            params, _ = self._prepare(bench, Split.SEARCH, 0)
            statements = tuple(candidate)
            return bench.schedule, compiled(statements, Compiled(statements, params))
        return bench.interpreter.encode(candidate, bench.schedule), bench.interpret

    def _prepare(self, bench: Bench, split: Split, seed: int) -> tuple[Any, Any]:
        """Initial weights and minibatches of a seed, the same for every candidate."""

        def make() -> tuple[Any, Any]:
            family = list(Split).index(split)
            key = jax.random.fold_in(jax.random.key(family), seed)
            return bench.prepare(key, bench.arrays[Split.TRAIN])

        prepared: tuple[Any, Any] = self._prepared.get_or((bench.index, split, seed), make, _bytes_of)
        return prepared


def _bytes_of(arrays: Any) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))


def _row_of_curves(
    results: Mapping[int, Trained], factors: int, points: int
) -> tuple[tuple[float, ...], ...]:
    rows = [(float("inf"),) * points] * factors
    for f, result in results.items():
        rows[f] = tuple(float(x) if np.isfinite(x) else float("inf") for x in result.curve)
    return tuple(rows)


def _row_of_metrics(results: Mapping[int, Trained], factors: int) -> tuple[float, ...]:
    row = [float("inf")] * factors
    for f, result in results.items():
        row[f] = float(result.metric) if np.isfinite(result.metric) else float("inf")
    return tuple(row)


def _best_hurdles(results: Mapping[int, Trained]) -> tuple[float, ...]:
    losses = np.array([result.hurdles for result in results.values()])
    best: list[float] = np.where(np.isnan(losses), np.inf, losses).min(axis=0).tolist()
    return tuple(best)
