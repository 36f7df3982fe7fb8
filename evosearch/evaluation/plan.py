"""What an evaluator needs to know: tasks, schedules, and how programs are run; plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.schedule import Schedule
from proxy_tasks import Task, build

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
        interpreter: one of `interpreters.INTERPRETERS`.
        batch: how many trainings the batched interpreter does at once.
        factor_slack: a factor is left out on a task's further seeds where its mean is worse than the best
            factor's by more than this share; None for never.
    """

    tasks: tuple[TaskPlan, ...]
    factors: tuple[float, ...] = (1.0,)
    hurdles: tuple[float, ...] = ()
    way: str = "interpreter"
    capacity: Capacity = field(default_factory=Capacity)
    interpreter: str = "auto"
    batch: int = 64
    factor_slack: float | None = None
