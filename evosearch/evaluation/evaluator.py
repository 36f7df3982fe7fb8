"""The evaluator: trains tasks with a candidate and says how well that went.

It is built once per process from a `Plan`, which is plain data, and compiles each task once. `evaluate` is a
pure function of the job: no score depends on what was evaluated before.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.compiled import Compiled
from evosearch.evaluation.encode import Capacity, encode
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.evaluation.references import REFERENCES, ReferenceRule
from evosearch.evaluation.schedule import Schedule
from evosearch.evaluation.training import Inputs, Rule, Trained, training
from evosearch.language.program import Statement
from proxy_tasks import Split, Task, build

WAYS = ("interpreter", "compiled")
"""How a program is run: as data through the interpreter, or traced into JAX (a compilation each)."""


@dataclass(frozen=True)
class TaskPlan:
    """One task of a search.

    Attributes:
        name: a row of the table of tasks.
        knobs: the task's settings, as pairs.
        schedule: of the learning rate.
        clip: gradients are scaled down to this global norm; None for never.
        curve: points of the learning curve that each training measures, at most its steps.
    """

    name: str
    knobs: tuple[tuple[str, object], ...] = ()
    schedule: Schedule = field(default_factory=Schedule)
    clip: float | None = None
    curve: int = 0

    def build(self) -> Task:
        """The task; raises TaskError as `proxy_tasks.build` does."""
        knobs: dict[str, Any] = dict(self.knobs)
        return build(self.name, **knobs)


@dataclass(frozen=True)
class Plan:
    """All that an evaluator needs to know; plain data, the same in every process.

    Attributes:
        tasks: what candidates are trained on.
        factors: learning-rate factors that each candidate is trained at; a factor multiplies every update.
        hurdles: shares of the steps, in (0, 1), after which a training may be cut.
        way: one of `WAYS`.
        capacity: the largest program that the interpreter takes.
    """

    tasks: tuple[TaskPlan, ...]
    factors: tuple[float, ...] = (1.0,)
    hurdles: tuple[float, ...] = ()
    way: str = "interpreter"
    capacity: Capacity = field(default_factory=Capacity)


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
    """

    id: int
    candidate: tuple[Statement, ...] | Tuned
    seeds: tuple[tuple[int, ...], ...]
    split: Split = Split.SEARCH
    thresholds: tuple[tuple[tuple[float, ...], ...], ...] = ()


_PREPARED_SEEDS = 128
_PREPARED_BYTES = 256 * 2**20
"""How many initial weights and minibatches are kept, over all tasks."""

_RULES = 32
"""How many compiled trainings are kept, over all tasks, besides the interpreter's."""

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
class _Bench:
    """One task, ready to train: its arrays on the device and its compiled functions."""

    index: int
    task: Task
    plan: TaskPlan
    schedule: NDArray[np.float32]
    arrays: Mapping[Split, Any]
    prepare: Callable[[Any, Any], tuple[Any, Any]]
    evaluate: Callable[[Any, Any], jax.Array] | None
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
        self._benches: dict[int, _Bench] = {}
        self._prepared = _Recent(_PREPARED_SEEDS, _PREPARED_BYTES)
        self._rules = _Recent(_RULES)

    def _bench(self, index: int) -> _Bench:
        if index not in self._benches:
            self._benches[index] = self._make_bench(index)
        return self._benches[index]

    def _make_bench(self, index: int) -> _Bench:
        task, task_plan = self.tasks[index], self.plan.tasks[index]
        arrays = {split: jax.device_put(data) for split, data in task.data().splits.items()}

        def prepare(key: Any, train: Any) -> tuple[Any, Any]:
            weights, batches = jax.random.split(key)
            return task.init(weights, train), task.draw(batches, train, task.steps)

        example = jax.eval_shape(task.init, jax.random.key(0), arrays[Split.TRAIN])
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), example)
        interpreter = Interpreter(zeros, self.plan.capacity)
        evaluate = lambda w, validation: jnp.float32(task.evaluate(w, validation))  # noqa: E731
        return _Bench(
            index=index,
            task=task,
            plan=task_plan,
            schedule=task_plan.schedule.values(task.steps),
            arrays=arrays,
            prepare=jax.jit(prepare),
            evaluate=None if task_plan.curve else jax.jit(evaluate),
            interpret=training(task, task.steps, interpreter, task_plan.curve, task_plan.clip),
            hurdle_steps=np.array([max(1, round(h * task.steps)) for h in self.plan.hurdles], np.int32),
        )

    def evaluate(self, job: Job) -> Outcome:
        """Train every task with the candidate; see `Outcome`.

        A learning-rate factor that fails on a task's first seed is not tried on its other seeds. A candidate
        none of whose factors gets through is not tried on anything further.
        """
        begin = time.perf_counter()
        metrics: list[tuple[tuple[float, ...], ...]] = []
        hurdles: list[tuple[tuple[float, ...], ...]] = []
        curves: list[tuple[tuple[tuple[float, ...], ...], ...]] = []
        curved = any(task_plan.curve for task_plan in self.plan.tasks)
        steps = 0
        status = Status.OK
        for index, seeds in enumerate(job.seeds):
            run = self._runner(self._bench(index), job) if seeds else None
            task_metrics: list[tuple[float, ...]] = []
            task_hurdles: list[tuple[float, ...]] = []
            task_curves: list[tuple[tuple[float, ...], ...]] = []
            alive = list(range(len(self.plan.factors)))
            for place, seed in enumerate(seeds):
                assert run is not None
                thresholds = job.thresholds[index][place] if job.thresholds else ()
                results = {f: run(seed, self.plan.factors[f], thresholds) for f in alive}
                steps += sum(int(r.steps) for r in results.values())
                task_metrics.append(_row_of_metrics(results, len(self.plan.factors)))
                task_hurdles.append(_best_hurdles(results))
                if points := self.plan.tasks[index].curve:
                    task_curves.append(_row_of_curves(results, len(self.plan.factors), points))
                alive = [f for f in alive if np.isfinite(results[f].metric)]
                if not alive:
                    status = Status.CUT if any(r.cut for r in results.values()) else Status.DIVERGED
                    break
            metrics.append(tuple(task_metrics))
            hurdles.append(tuple(task_hurdles))
            if curved:
                curves.append(tuple(task_curves))
            if status is not Status.OK:
                break
        seconds = time.perf_counter() - begin
        return Outcome(status, tuple(metrics), tuple(hurdles), steps, seconds, tuple(curves))

    def _runner(self, bench: _Bench, job: Job) -> Callable[[int, float, Sequence[float]], Trained]:
        """A function of (seed, factor, thresholds) that trains this task with the job's candidate."""
        program, train = self._rule(bench, job.candidate)
        free = np.full(len(bench.hurdle_steps), np.inf, np.float32)

        def run(seed: int, factor: float, thresholds: Sequence[float]) -> Trained:
            params, batches = self._prepare(bench, job.split, seed)
            inputs = Inputs(
                params=params,
                batches=batches,
                train=bench.arrays[Split.TRAIN],
                validation=bench.arrays[job.split],
                factor=np.float32(factor),
                hurdle_steps=bench.hurdle_steps,
                thresholds=np.asarray(thresholds, np.float32) if thresholds else free,
            )
            result: Trained = jax.device_get(train(program, inputs))
            return result

        return run

    def _rule(
        self, bench: _Bench, candidate: tuple[Statement, ...] | Tuned
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
            return bench.schedule, compiled(candidate, Compiled(candidate, params))
        return encode(candidate, bench.schedule, self.plan.capacity), bench.interpret

    def _prepare(self, bench: _Bench, split: Split, seed: int) -> tuple[Any, Any]:
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
