"""Searches without trainings: scores are a pure function of the job."""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa

from evosearch.evaluation import Job, Outcome, Plan, Status, Tuned
from evosearch.language import analyze, builtin
from evosearch.records import RunReader
from evosearch.search.config import Config, load_config
from evosearch.search.progress import Progress

TINY = """\
name: tiny
tasks:
  - {name: digits_mlp, steps: 5, width: 8, batch: 16, seeds: 2}
search:
  population: 20
  lag: 16
  mutation: {max_statements: 20}
  budget: {programs: 150}
  fingerprint: false
workers: {backend: in_process}
report: {references: false, settings: 5, seeds: 3}
"""


ADAMW = analyze(builtin("adamw").statements).hash


def tiny(folder: Path, *overrides: str) -> Config:
    """A small search."""
    path = folder / "tiny.yaml"
    path.write_text(TINY)
    return load_config(path, overrides)


def uniform(*parts: object) -> float:
    """A number in [0, 1) that looks random and depends on nothing but the parts."""
    digest = blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


class Pretend:
    """Evaluates without training."""

    delay = 0.0

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def evaluate(self, job: Job) -> Outcome:
        time.sleep(self.delay)
        begin = time.perf_counter()
        tuned = isinstance(job.candidate, Tuned)
        who = repr(job.candidate) if tuned else analyze(job.candidate).hash  # type: ignore[arg-type]
        adamw = who == ADAMW
        steps = 5 * sum(map(len, job.seeds)) * len(self.plan.factors)
        if uniform("fails", who) < 0.2 and not (adamw or tuned):
            return Outcome(Status.DIVERGED, (), tuple(() for _ in job.seeds), steps // 2)
        hurdles = tuple(
            tuple(tuple(2.0 + uniform("loss", who, h) for h in self.plan.hurdles) for _ in seeds)
            for seeds in job.seeds
        )
        limits = [limit for task in job.thresholds for place in task for limit in place]
        losses = [loss for task in hurdles for place in task for loss in place]
        if limits and any(loss > limit for loss, limit in zip(losses, limits, strict=True)):
            return Outcome(Status.CUT, (), hurdles, steps // 2)
        metrics = tuple(
            tuple(
                tuple(
                    1 + uniform("quality", who, factor) + 0.3 * uniform("luck", who, task, seed, job.split)
                    for factor in self.plan.factors
                )
                for seed in seeds
            )
            for task, seeds in enumerate(job.seeds)
        )
        return Outcome(Status.OK, metrics, hurdles, steps, time.perf_counter() - begin)


class Watch:
    """A view that remembers, and acts."""

    def __init__(self, on_progress: Callable[[int], None] = lambda _: None) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.progresses: list[Progress] = []
        self.on_progress = on_progress

    def stage(self, name: str, done: int, total: int) -> None:
        self.stages.append((name, done, total))

    def progress(self, progress: Progress) -> None:
        self.progresses.append(progress)
        self.on_progress(len(self.progresses))


def history(folder: Path) -> pa.Table:
    """All that a run says of its candidates, except what clocks measured."""
    return RunReader(folder).candidates().drop_columns(["seconds"])
