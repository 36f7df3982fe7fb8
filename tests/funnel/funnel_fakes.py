"""Funnels whose trainings are made up: the metric is a program's quality, times noise of the seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from evosearch.evaluation import Job, Outcome, Plan, Status, Tuned
from evosearch.funnel.entrants import Entrant, of_program
from evosearch.funnel.plan import State
from evosearch.language import parse
from evosearch.language.program import Constant
from evosearch.study.trials import Progress

SECONDS = 0.12345678901
"""Of each training; more digits than a ledger keeps."""
BASELINE = 1.0
"""The quality of every reference."""


def program(mark: float) -> str:
    """A program that is known again by its constant."""
    return f"def train(w, g, m, v, lr):\n    update = g * {mark}\n    return update, m, v\n"


def entrant(name: str, mark: float, score: float | None = None) -> Entrant:
    """That program as an entrant."""
    return of_program(name, parse(program(mark)), "made up", score)


class MadeUpPool:
    """Outcomes are a function of the job, come in random order, and end with `stop` after so many.

    Args:
        plan: of the stage.
        quality: mean metric by the programs' marks, infinite for those that diverge.
        noise: spread of the logarithm of the metric.
        stop: after so many outcomes the pool raises KeyboardInterrupt, as Ctrl-C does.
    """

    size = 2

    def __init__(
        self, plan: Plan, quality: Mapping[float, float], noise: float = 0.05, stop: Callable[[], bool] = bool
    ) -> None:
        self.plan, self.quality, self.noise, self.stop = plan, quality, noise, stop
        self.jobs: list[Job] = []
        self.waiting: list[Job] = []
        self.rng = random.Random(0)

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        self.waiting += jobs

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        if self.stop():
            raise KeyboardInterrupt
        self.rng.shuffle(self.waiting)
        return [(job.id, self.outcome(job)) for job in (self.waiting.pop(),)]

    def outcome(self, job: Job) -> Outcome:
        ((task, (seed,)),) = [(t, seeds) for t, seeds in enumerate(job.seeds) if seeds]
        luck = blake2b(repr((job.candidate, task, seed, job.split)).encode(), digest_size=8).digest()
        metric = self.of(job) * math.exp(self.noise * random.Random(luck).gauss(0, 1))
        status = Status.OK if math.isfinite(metric) else Status.DIVERGED
        skipped, points = ((),) * task, self.plan.tasks[task].curve
        curve = tuple(metric * (2 - k / (points - 1)) for k in range(points))
        return Outcome(status, (*skipped, ((metric,),)), (), 5, SECONDS, (*skipped, ((curve,),)))

    def of(self, job: Job) -> float:
        """The quality of who is trained."""
        if isinstance(job.candidate, Tuned):
            return BASELINE
        numbers = {a.value for s in job.candidate for a in s.args if isinstance(a, Constant)}
        (mark,) = numbers & self.quality.keys()
        return self.quality[mark]

    def close(self) -> None: ...

    def __enter__(self) -> MadeUpPool:
        return self

    def __exit__(self, *_: object) -> None: ...


class Quiet:
    """A funnel's view that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.looks: list[tuple[str, int]] = []

    def progress(self, progress: Progress) -> None: ...

    def begun(self, name: str, entrants: int) -> None:
        self.stages.append((name, entrants))

    def looked(self, name: str, state: State) -> None:
        self.looks.append((name, state.look))
