"""From a new candidate to its score, against what a researcher would write without us."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from evosearch.benchmarks.measuring import Result, compared, compiling_anew, program, timed
from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.evaluation.compiled import Compiled
from evosearch.language.program import Statements
from proxy_tasks import Split

TASKS: Sequence[str] = ("char_mlp", "digits_mlp", "digits_vit", "modular_addition")
PROGRAMS = ("adamw", "lion", "program8")


def bench_candidate(tasks: Sequence[str] = ()) -> dict[str, Result]:
    """Time of a candidate: ours, with one compilation each, and with a jitted step in a Python loop.

    Args:
        tasks: instead of `TASKS`.
    """
    results = {}
    for task in tasks or TASKS:
        ours, compiled = (Evaluator(Plan((TaskPlan(task),), way=way)) for way in ("interpreter", "compiled"))
        loop = _optax_loop(TaskPlan(task))
        first = Job(0, program("sgd"), ((0,),))
        for evaluator in (ours, compiled):
            evaluator.evaluate(first)
        loop(program("sgd"))
        times: list[list[float]] = [[], [], []]
        for name in PROGRAMS:
            job = Job(0, program(name), ((0,),))
            times[0].append(timed(ours.evaluate, job))
            with compiling_anew():
                times[1].append(timed(compiled.evaluate, job))
                times[2].append(timed(loop, program(name)))
        results[f"candidate/{task}"] = compared(times, "ms", "one compiled training each", 1e3)
        results[f"candidate/{task}/loop"] = compared(
            times, "ms", "optax-style loop around a jitted step", 1e3, place=2
        )
    return results


def _optax_loop(plan: TaskPlan) -> Callable[[Any], float]:
    """What a researcher would write: an optax transformation, a jitted step, a Python loop over batches."""
    task = plan.build()
    splits = {split: jax.device_put(arrays) for split, arrays in task.data().splits.items()}
    weights, order = jax.random.split(jax.random.key(0))
    params = task.init(weights, splits[Split.TRAIN])
    batches = task.draw(order, splits[Split.TRAIN], task.steps)
    schedule = jnp.asarray(plan.schedule.values(task.steps))

    def score(statements: Statements) -> float:
        optimizer = as_optax(statements, params, schedule)

        @jax.jit
        def step(params: Any, state: Any, train: Any, batch: Any) -> Any:
            gradient = jax.grad(task.loss)(params, train, batch)
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state

        w, state = params, optimizer.init(params)
        for index in range(task.steps):
            batch = jax.tree.map(lambda leaf, index=index: leaf[index], batches)
            w, state = step(w, state, splits[Split.TRAIN], batch)
        return float(jax.jit(task.evaluate)(w, splits[Split.SEARCH]))

    return score


def as_optax(statements: Statements, params: Any, schedule: jax.Array) -> Any:
    """A program as an optax transformation; the step is part of the state."""
    rule = Compiled(statements, params)

    def init(params: Any) -> Any:
        return jnp.int32(0), rule.start(rule.pack(params))

    def update(gradient: Any, state: Any, params: Any) -> Any:
        step, slots = state
        w = rule.pack(params)
        moved, slots, _ = rule.step(schedule, slots, w, gradient, jnp.float32(1), step)
        updates = rule.unpack(tuple(b - a for a, b in zip(w, moved, strict=True)))
        return updates, (step + 1, slots)

    return optax.GradientTransformation(init, update)
