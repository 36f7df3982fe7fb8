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
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.compiled import Compiled
from evosearch.evaluation.encode import Capacity, encode
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.evaluation.references import REFERENCES, ReferenceRule
from evosearch.evaluation.schedule import Schedule
from evosearch.evaluation.training import Inputs, Trained, training
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
    """

    name: str
    knobs: tuple[tuple[str, object], ...] = ()
    schedule: Schedule = field(default_factory=Schedule)

    def build(self) -> Task:
        """The task; raises TaskError as `proxy_tasks.build` does."""
        return build(self.name, **dict(self.knobs))


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
    """A reference optimizer with its hyperparameters, in the order of its `ranges`."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Job:
    """One candidate to evaluate.

    Attributes:
        id: whatever the sender wants to recognise the outcome by.
        candidate: the statements of a valid program, or a tuned reference.
        seeds: for each task, the seeds to train with. A seed decides initial weights and the order of the
            data; seeds of different splits have nothing in common.
        split: where the metric is taken, and the family of seeds.
        thresholds: running losses above which training is cut [task][seed][hurdle]; empty for none.
    """

    id: int
    candidate: tuple[Statement, ...] | Tuned
    seeds: tuple[tuple[int, ...], ...]
    split: Split = Split.SEARCH
    thresholds: tuple[tuple[tuple[float, ...], ...], ...] = ()


_PREPARED = 64
_RULES = 8

T = TypeVar("T")


class _Recent(OrderedDict[Hashable, Any]):
    """The most recently used results of a function, a bounded number of them."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    def get_or(self, key: Hashable, make: Callable[[], T]) -> T:
        if key not in self:
            while len(self) >= self.limit:
                self.popitem(last=False)
            self[key] = make()
        self.move_to_end(key)
        result: T = self[key]
        return result


@dataclass
class _Bench:
    """One task, ready to train: its arrays on the device and its compiled functions."""

    task: Task
    schedule: NDArray[np.float32]
    arrays: Mapping[Split, Any]
    prepare: Callable[[Any, Any], tuple[Any, Any]]
    interpret: Callable[[Any, Inputs], Trained]
    hurdle_steps: NDArray[np.int32]
    prepared: _Recent = field(default_factory=lambda: _Recent(_PREPARED))
    rules: _Recent = field(default_factory=lambda: _Recent(_RULES))


class Evaluator:
    """Evaluates jobs on the tasks of a plan, one after the other, in this process."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._benches = [self._bench(task_plan) for task_plan in plan.tasks]

    def _bench(self, task_plan: TaskPlan) -> _Bench:
        task = task_plan.build()
        arrays = {split: jax.device_put(data) for split, data in task.data().splits.items()}

        def prepare(key: Any, train: Any) -> tuple[Any, Any]:
            weights, batches = jax.random.split(key)
            return task.init(weights, train), task.draw(batches, train, task.steps)

        example = jax.eval_shape(task.init, jax.random.key(0), arrays[Split.TRAIN])
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), example)
        return _Bench(
            task=task,
            schedule=task_plan.schedule.values(task.steps),
            arrays=arrays,
            prepare=jax.jit(prepare),
            interpret=training(task, task.steps, Interpreter(zeros, self.plan.capacity)),
            hurdle_steps=np.array([max(1, round(h * task.steps)) for h in self.plan.hurdles], np.int32),
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks of the plan, built."""
        return tuple(bench.task for bench in self._benches)

    def evaluate(self, job: Job) -> Outcome:
        """Train every task with the candidate; see `Outcome`.

        A learning-rate factor that fails on a task's first seed is not tried on its other seeds. A candidate
        none of whose factors gets through is not tried on anything further.
        """
        begin = time.perf_counter()
        metrics: list[tuple[tuple[float, ...], ...]] = []
        hurdles: list[tuple[tuple[float, ...], ...]] = []
        steps = 0
        status = Status.OK
        for index, bench in enumerate(self._benches):
            run = self._runner(bench, job)
            task_metrics: list[tuple[float, ...]] = []
            task_hurdles: list[tuple[float, ...]] = []
            alive = list(range(len(self.plan.factors)))
            for place, seed in enumerate(job.seeds[index]):
                thresholds = job.thresholds[index][place] if job.thresholds else ()
                results = {f: run(seed, self.plan.factors[f], thresholds) for f in alive}
                steps += sum(int(r.steps) for r in results.values())
                task_metrics.append(_row_of_metrics(results, len(self.plan.factors)))
                task_hurdles.append(_best_hurdles(results))
                alive = [f for f in alive if np.isfinite(results[f].metric)]
                if not alive:
                    status = Status.CUT if any(r.cut for r in results.values()) else Status.DIVERGED
                    break
            metrics.append(tuple(task_metrics))
            hurdles.append(tuple(task_hurdles))
            if status is not Status.OK:
                break
        return Outcome(status, tuple(metrics), tuple(hurdles), steps, time.perf_counter() - begin)

    def _runner(self, bench: _Bench, job: Job) -> Callable[[int, float, Sequence[float]], Trained]:
        """A function of (seed, factor, thresholds) that trains this task with the job's candidate."""
        program, train = self._rule(bench, job.candidate)
        free = np.full(len(bench.hurdle_steps), np.inf, np.float32)

        def run(seed: int, factor: float, thresholds: Sequence[float]) -> Trained:
            params, batches = self._prepared(bench, job.split, seed)
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
        steps = bench.task.steps
        if isinstance(candidate, Tuned):
            rule = ReferenceRule(REFERENCES[candidate.name])
            train = bench.rules.get_or(candidate.name, lambda: training(bench.task, steps, rule))
            return (bench.schedule, np.asarray(candidate.values, np.float32)), train
        if self.plan.way == "compiled":
            params, _ = self._prepared(bench, Split.SEARCH, 0)
            train = bench.rules.get_or(
                candidate, lambda: training(bench.task, steps, Compiled(candidate, params))
            )
            return bench.schedule, train
        return encode(candidate, bench.schedule, self.plan.capacity), bench.interpret

    def _prepared(self, bench: _Bench, split: Split, seed: int) -> tuple[Any, Any]:
        """Initial weights and minibatches of a seed, the same for every candidate."""

        def make() -> tuple[Any, Any]:
            family = list(Split).index(split)
            key = jax.random.fold_in(jax.random.key(family), seed)
            return bench.prepare(key, bench.arrays[Split.TRAIN])

        return bench.prepared.get_or((split, seed), make)


def _row_of_metrics(results: Mapping[int, Trained], factors: int) -> tuple[float, ...]:
    row = [float("inf")] * factors
    for f, result in results.items():
        row[f] = float(result.metric) if np.isfinite(result.metric) else float("inf")
    return tuple(row)


def _best_hurdles(results: Mapping[int, Trained]) -> tuple[float, ...]:
    losses = np.array([result.hurdles for result in results.values()])
    best: list[float] = np.where(np.isnan(losses), np.inf, losses).min(axis=0).tolist()
    return tuple(best)
