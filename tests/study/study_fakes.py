"""What tests of studies share."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import inf

from evosearch.evaluation import Job, Outcome, Status


def uniform(*parts: object) -> float:
    """A number in [0, 1) that looks random and depends on nothing but the parts."""
    digest = blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


class PretendPool:
    """Outcomes are a function of the job and come in random order; `curves` by task have so many points."""

    def __init__(
        self,
        status: Callable[[Job], Status] = lambda job: Status.OK,
        size: int = 2,
        curves: Mapping[int, int] | None = None,
    ) -> None:
        self.size = size
        self.curves = curves or {}
        self.jobs: list[Job] = []
        self.waiting: list[Job] = []
        self.status = status
        self.idle = 0
        self.rng = random.Random(0)

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        self.waiting += jobs

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        self.idle += len(self.waiting) < self.size
        self.rng.shuffle(self.waiting)
        some, self.waiting = self.waiting[:3], self.waiting[3:]
        return [(job.id, self.outcome(job)) for job in some]

    def outcome(self, job: Job) -> Outcome:
        status = self.status(job)
        metric = uniform(job.candidate, job.seeds, job.split) if status is Status.OK else inf
        ((task, (_,)),) = [(t, seeds) for t, seeds in enumerate(job.seeds) if seeds]
        points = self.curves.get(task, 0)
        curve = tuple(metric + points - 1 - k for k in range(points))
        skipped = ((),) * task
        return Outcome(
            status, (*skipped, ((metric,),)), (), 3, 0.5, (*skipped, ((curve,),)) if points else ()
        )

    def close(self) -> None: ...

    def __enter__(self) -> PretendPool:
        return self

    def __exit__(self, *_: object) -> None: ...
