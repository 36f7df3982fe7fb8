"""A training step through the interpreter, against the same program fused by XLA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from evosearch.benchmarks.measuring import FORTY, Result, compared, in_turn, program
from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan

TASKS: Mapping[str, tuple[tuple[str, object], ...]] = {
    "char_mlp": (),
    "digits_mlp": (),
    "char_transformer": (("steps", 20),),
    "digits_vit": (("steps", 40),),
}
WITHOUT_COMPILER = ("char_mlp", "digits_mlp")
"""Of these also without machine code; where the gradient costs more there is little to see, and that compiles
for five seconds on each."""

PROGRAMS = ("adamw", "lion", "program8", FORTY)
ROUNDS = 9


def bench_step(tasks: Sequence[str] = ()) -> dict[str, Result]:
    """Medians over trainings of two or three ways in turn, the metric at the end included.

    Args:
        tasks: instead of `TASKS`.
    """
    results = {}
    for task in tasks or TASKS:
        plan = TaskPlan(task, TASKS.get(task, ()))
        plans = [Plan((plan,)), Plan((plan,), way="compiled")]
        if tasks or task in WITHOUT_COMPILER:
            plans.append(Plan((plan,), interpreter="xla"))
        evaluators = [Evaluator(each) for each in plans]
        for name in PROGRAMS:
            job = Job(0, program(name), ((0,),))
            native, fused, *xla = in_turn([_per_step(each, job) for each in evaluators], ROUNDS)
            results[f"step/{task}/{name}"] = compared([native, fused], "us/step", "fused by XLA", 1e6)
            for times in xla:
                results[f"step/{task}/{name}/xla"] = compared(
                    [times, fused], "us/step", "fused by XLA; ours without machine code", 1e6
                )
    return results


def _per_step(evaluator: Evaluator, job: Job) -> Callable[[], float]:
    def once() -> float:
        outcome = evaluator.evaluate(job)
        if not outcome.ok:
            raise RuntimeError(f"a benchmark's training must reach its end, found {outcome.status.value}")
        return outcome.seconds / outcome.steps

    return once
