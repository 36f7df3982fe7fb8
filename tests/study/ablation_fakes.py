"""Trainings for tests of ablation: a metric that follows from a program's text, with noise of the seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from study_fakes import uniform

from evosearch.evaluation import Status, TaskPlan
from evosearch.language import Constant, Statement, builtin
from evosearch.language.abstract import live_statements
from evosearch.study.ledger import Measured
from evosearch.study.no_worse import Ablation
from evosearch.study.trials import Steps, Training

T = TypeVar("T")
Statements = tuple[Statement, ...]
Metric = Callable[[Training], float]

PROGRAM8 = builtin("program8").statements
LIVE = live_statements(PROGRAM8)
ABLATION = Ablation((TaskPlan("quadratic", (("steps", 4),)),), margin=0.05, most=64)
NEEDED = Counter(s.primitive for s in LIVE) - Counter(["clip", "arcsin"])


def drive(steps: Steps[T], metric: Metric) -> tuple[T, list[Training]]:
    """A piece of work with pretended trainings; what it gives, and all that it asked for."""
    asked: list[Training] = []
    found: list[Measured] | None = None
    while True:
        try:
            wanted = next(steps) if found is None else steps.send(found)
        except StopIteration as end:
            return end.value, asked
        asked += wanted
        found = []
        for training in wanted:
            value = metric(training)
            status = Status.OK if math.isfinite(value) else Status.DIVERGED
            found.append(Measured(status, value, 4, 0.01))


def factor_of(training: Training) -> float:
    """The learning-rate factor that is written at the end of a program."""
    last = training.candidate[-1]  # type: ignore[index]
    scaled = last.target == "update" and last.args[0] == "update" and isinstance(last.args[1], Constant)
    return float(last.args[1].value) if scaled else 1.0


def own(training: Training) -> Statements:
    """A program without the factor."""
    statements: Statements = training.candidate  # type: ignore[assignment]
    return statements if factor_of(training) == 1 else statements[:-1]


def noise(training: Training, size: float) -> float:
    """Mostly of the seed, so that pairs agree; a little of the program."""
    own = uniform("seed", training.seed, training.split) - 0.5
    return 1 + size * (own + 0.3 * (uniform(training.candidate, training.seed, training.split) - 0.5))


def only_arcsin_and_clip_are_idle(training: Training) -> float:
    """Best at factor 100; arcsin without clip diverges, and every other primitive is needed."""
    names = Counter(s.primitive for s in own(training))
    reads = {name for s in own(training) for name in s.variables}
    if names["arcsin"] and not names["clip"]:
        return math.inf
    missing = sum((NEEDED - names).values()) + 3 * len({"g", "w"} - reads)
    tuned = 1 + 0.3 * abs(math.log10(factor_of(training)) - 2)
    return (tuned + 0.3 * missing) * noise(training, 0.2)
