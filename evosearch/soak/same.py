"""One history whatever happens: any workers, any order and size of batches, stopped and resumed or not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from evosearch.config.yaml_file import dump_yaml
from evosearch.evaluation import Job, Outcome, Plan, make_evaluator
from evosearch.evolution import python_engine
from evosearch.search.config import Config, load_config
from evosearch.search.run import MakePool, Stop, run_search
from evosearch.soak.histories import differences, history
from evosearch.soak.report import Report, Show, silent
from evosearch.workers import InProcessPool, Pool
from evosearch.workers.pool import EvaluatesJobs

PROGRAMS = 250

KNOBS: dict[str, Sequence[Any]] = {
    "search.population": (10, 40, 200),
    "search.tournament": (1, 2, 5),
    "search.lag": (1, 7, 40, 300),
    "search.fingerprint": (True, False),
    "search.cache": (5, 20_000),
    "search.mutation": ({}, {"delete": 3.0}, {"max_statements": 12}, {"constants": {"share": 0.9}}),
    "search.restarts": ({}, {"rounds": 2, "runs": 2}, {"runs": 3, "patience": 30}),
    "evaluation.seeds": (
        {},
        {"policy": "fresh", "start": 2},
        {"policy": "accumulating", "penalty": 0.1},
    ),
    "evaluation.hurdles": (None, {}, {"at": [0.5], "quantile": 0.3, "slack": 0.0}),
    "evaluation.factor_slack": (None, 0.2),
}
"""What searches differ in; each value of each knob is met after some dozens of searches."""

TASKS = (
    [{"name": "digits_mlp", "steps": 8, "width": 8, "batch": 16, "seeds": 3}],
    [
        {"name": "modular_addition", "steps": 6, "seeds": 2},
        {"name": "quadratic", "steps": 6, "seeds": 2},
    ],
)
"""Few, so that evaluators are compiled once for many searches."""


class ShufflingPool:
    """Workers at their worst: jobs come back in any order, in batches of any size, early or late.

    Args:
        evaluator: of the plan.
        rng: decides what comes back, and when.
        size: how many workers it claims to have.
        stop: is asked for a clean end of the search after some batches; None for never.
    """

    def __init__(
        self, evaluator: EvaluatesJobs, rng: random.Random, size: int, stop: Stop | None = None
    ) -> None:
        self._evaluator = evaluator
        self._rng = rng
        self._stop = stop
        self._waiting: list[Job] = []
        self.size = size

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        self._waiting.extend(jobs)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """Some of what waits; nothing now and then, if the caller can stand that."""
        if not self._waiting or (timeout is not None and self._rng.random() < 0.3):
            return []
        if self._stop is not None and self._rng.random() < 0.1:
            self._stop.requested = True
        self._rng.shuffle(self._waiting)
        some = self._rng.randint(1, len(self._waiting))
        jobs, self._waiting = self._waiting[:some], self._waiting[some:]
        return [(job.id, self._evaluator.evaluate(job)) for job in jobs]

    def close(self) -> None:
        """See `Pool.close`."""
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def random_config(folder: Path, rng: random.Random) -> Config:
    """A small search with knobs drawn at random."""
    data: dict[str, Any] = {
        "name": "same",
        "seed": rng.randrange(2**31),
        "tasks": rng.choice(TASKS),
        "warm_start": rng.choice(("adamw", "lion", "momentum")),
        "search": {"budget": {"programs": PROGRAMS}},
        "evaluation": {"lr_factors": rng.choice(([1.0], [0.3, 1.0, 3.0]))},
        "workers": {"backend": "in_process"},
        "report": {"references": False, "settings": 5, "seeds": 2},
    }
    for knob, values in KNOBS.items():
        section, key = knob.split(".")
        data[section][key] = rng.choice(values)
    path = folder / "same.yaml"
    path.write_text(dump_yaml(data), encoding="utf-8")
    return load_config(path)


def check_same(
    folder: Path,
    count: int,
    seed: int,
    show: Show = silent,
    *,
    ray_workers: Sequence[int] = (),
    ray_pool: Callable[[Plan, int], Pool] | None = None,
    every: int = 1,
) -> Report:
    """Run random searches in this process, then again in other ways, and compare all rows.

    Each search runs undisturbed; with a pool that shuffles; with one that shuffles and with random stops and
    resumes; with the engine that machines without a compiler have; and every so often on Ray with several
    numbers of workers.

    Args:
        folder: an empty one to work in.
        count: how many searches.
        seed: of what they are.
        show: is told of each search.
        ray_workers: numbers of workers for Ray; none for no Ray.
        ray_pool: makes a pool of so many workers.
        every: how often Ray is tried, every so many searches.

    Returns:
        Broken are histories that differ in any column but `seconds`.
    """
    broken: list[str] = []
    evaluators: dict[Plan, EvaluatesJobs] = {}
    runs = resumes = rows = 0
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        config = random_config(folder, rng)

        def evaluator(plan: Plan) -> EvaluatesJobs:
            if plan not in evaluators:
                evaluators[plan] = make_evaluator(plan)
            return evaluators[plan]

        def shuffling(plan: Plan, stop: Stop | None, rng: random.Random = rng) -> ShufflingPool:
            return ShufflingPool(evaluator(plan), rng, rng.choice((1, 2, 4, 16)), stop)

        def undisturbed(_: Config, plan: Plan) -> InProcessPool:
            return InProcessPool(plan, evaluator)

        ways: dict[str, MakePool] = {"shuffled": lambda _, plan: shuffling(plan, None)}
        if ray_pool is not None and number % every == 0:
            for workers in ray_workers:
                ways[f"ray-{workers}"] = partial(_on_ray, ray_pool, workers)
        run_search(config, folder / f"{number}", workers=undisturbed)
        expected = history(folder / f"{number}")
        rows += expected.num_rows
        for way, pool in ways.items():
            run_search(config, folder / f"{number}-{way}", workers=pool)
        resumes += _in_pieces(config, folder / f"{number}-pieces", shuffling)
        run_search(config, folder / f"{number}-python", workers=undisturbed, engine=python_engine)
        for way in (*ways, "pieces", "python"):
            runs += 1
            different = differences(folder / f"{number}-{way}", expected)
            if different:
                text = (folder / f"{number}" / "config.yaml").read_text(encoding="utf-8")
                broken.append(f"search {number} of seed {seed}, {way}: {different[0]}; {text}")
        show("searches", number + 1, count)
    figures = (
        ("searches", count),
        ("runs compared with the undisturbed one", runs),
        ("stops and resumes", resumes),
        ("rows of the undisturbed ones", rows),
    )
    return Report(figures, tuple(broken))


def _in_pieces(config: Config, folder: Path, pool: Callable[[Plan, Stop], ShufflingPool]) -> int:
    """Run a search that is stopped again and again; how often it was resumed."""
    resumes = 0
    while True:
        stop = Stop()

        def stopping(_: Config, plan: Plan, stop: Stop = stop) -> ShufflingPool:
            return pool(plan, stop)

        if run_search(config, folder, resume=resumes > 0, stop=stop, workers=stopping).finished:
            return resumes
        resumes += 1


def _on_ray(make: Callable[[Plan, int], Pool], workers: int, _: Config, plan: Plan) -> Pool:
    return make(plan, workers)
