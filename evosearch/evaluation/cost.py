"""What a training step costs: time, and memory for the state; measured and counted, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evosearch.evaluation.compiled import Compiled
from evosearch.evaluation.evaluator import Tuned
from evosearch.evaluation.plan import TaskPlan
from evosearch.evaluation.references import REFERENCES, ReferenceRule, state_bytes_per_parameter
from evosearch.evaluation.rule import Rule
from evosearch.evaluation.training import Inputs, Trained, training
from evosearch.language import Statement, analyze
from proxy_tasks import Split, Task

FLOAT_BYTES = 4

STEPS = 200
"""Timed trainings have so many steps at most."""

Candidate = tuple[Statement, ...] | Tuned


def state_bytes(candidate: Candidate, params: Any) -> float:
    """Bytes of state for each weight: of a program, float32 for each slot that it carries.

    Args:
        candidate: a valid program, or a reference.
        params: weights, or their shapes.

    >>> from evosearch.language import builtin
    >>> state_bytes(builtin("lion").statements, None)
    4.0
    """
    if isinstance(candidate, Tuned):
        return state_bytes_per_parameter(REFERENCES[candidate.name], params)
    return float(FLOAT_BYTES * len(analyze(candidate).state))


def shapes_of(task: Task) -> Any:
    """The shapes of a task's weights."""
    return jax.eval_shape(task.init, jax.random.key(0), task.data().splits[Split.TRAIN])


def seconds_per_step(plan: TaskPlan, candidates: Sequence[Candidate], rounds: int = 9) -> list[float]:
    """Seconds of a training step, programs compiled like the references.

    Medians over trainings that the candidates do in turn, after one each to warm up, so that whatever else
    the machine does meanwhile meets all of them. The metric at the end is not part of it.

    Args:
        plan: the task.
        candidates: who trains; each is compiled.
        rounds: how many timed trainings of each.
    """
    knobs = dict(plan.knobs)
    task = replace(plan, knobs=tuple({**knobs, "steps": min(STEPS, plan.build().steps)}.items())).build()
    train = jax.device_put(task.data().splits[Split.TRAIN])
    weights, order = jax.random.split(jax.random.key(0))
    params = jax.jit(task.init)(weights, train)
    batches = jax.jit(lambda key, train: task.draw(key, train, task.steps))(order, train)
    none = np.zeros(0, np.float32)
    inputs = Inputs(params, batches, train, None, np.float32(1), none.astype(np.int32), none)
    schedule = plan.schedule.values(task.steps)

    def trainer(candidate: Candidate) -> Callable[[], float]:
        rule: Rule
        program: Any = schedule
        if isinstance(candidate, Tuned):
            rule = ReferenceRule(REFERENCES[candidate.name])
            program = schedule, np.asarray(candidate.values, np.float32)
        else:
            rule = Compiled(candidate, params)
        run = training(task, task.steps, rule, clip=plan.clip, evaluate=lambda *_: jnp.float32(0))

        def once() -> float:
            begin = time.perf_counter()
            done: Trained = jax.device_get(run(program, inputs))
            return (time.perf_counter() - begin) / float(done.steps)

        return once

    trainers = [trainer(candidate) for candidate in candidates]
    for once in trainers:
        once()
    times = [[once() for once in trainers] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times, strict=True)]
