"""Trainings on workers through a ledger, with a pool that only pretends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf
from pathlib import Path

import pytest
from study_fakes import PretendPool, uniform

from evosearch.errors import StudyError
from evosearch.evaluation import Job, Plan, Schedule, Status, TaskPlan, Tuned
from evosearch.language import builtin
from evosearch.study.ledger import Ledger, Measured
from evosearch.study.trials import Progress, Steps, Training, Trials, Work, report, task_identity, tune
from evosearch.study.tunable import tunable_program, tunable_reference
from evosearch.study.tuning import Effort
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

KNOBS = (("steps", 3), ("batch", 8))
PLAN = Plan((TaskPlan("digits_mlp", KNOBS), TaskPlan("char_mlp", KNOBS)))
LION = Tuned("lion", (0.01, 0.1, 0.1, 0.1))


class Watch:
    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        self.seen.append(progress)


def training(seed: int, task: int = 0, candidate: object = LION, split: Split = Split.SEARCH) -> Training:
    return Training(task, candidate, split, seed)  # type: ignore[arg-type]


def ask(*batches: Sequence[Training]) -> Steps[list[float]]:
    found: list[float] = []
    for batch in batches:
        found += [measured.metric for measured in (yield batch)]
    return found


def run(folder: Path, works: Sequence[Work[list[float]]], pool: PretendPool) -> dict[str, list[float]]:
    with Ledger(folder) as ledger:
        return {work.label: value for work, value in Trials(PLAN, pool, ledger).run(works)}


def test_results_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    asked = [[training(seed, task) for seed in range(5) for task in (0, 1)], [training(7)], []]
    pool = PretendPool()
    found = run(tmp_path, [Work("a", 11, ask(*asked))], pool)
    expected = [
        uniform(t.candidate, ((t.seed,), ()) if t.task == 0 else ((), (t.seed,)), t.split)
        for batch in asked
        for t in batch
    ]
    assert found == {"a": expected}
    assert len(pool.jobs) == 11


def test_nothing_is_trained_twice(tmp_path: Path) -> None:
    seeds = [training(seed) for seed in range(20)]
    works = [Work(name, 20, ask(seeds[:15], seeds)) for name in "ab"]
    pool, again = PretendPool(), PretendPool()
    first = run(tmp_path, works, pool)
    assert first["a"] == first["b"]
    assert len(pool.jobs) == 20
    second = run(tmp_path, [Work(name, 20, ask(seeds[:15], seeds)) for name in "ab"], again)
    assert (second, again.jobs) == (first, [])


def test_workers_never_wait_for_one_piece_of_work(tmp_path: Path) -> None:
    """While each piece asks for one training at a time."""
    works = [Work(f"{n}", 10, ask(*[[training(100 * n + k)] for k in range(10)])) for n in range(200)]
    pool = PretendPool()
    found = run(tmp_path, works, pool)
    assert len(found) == 200
    assert pool.idle < 10


def test_progress(tmp_path: Path) -> None:
    watch = Watch()
    works = [
        Work(name, 10, ask([training(seed + 100 * n) for seed in range(10)])) for n, name in enumerate("ab")
    ]
    with Ledger(tmp_path) as ledger:
        list(Trials(PLAN, PretendPool(), ledger, watch).run(works))
    done = [progress.done for progress in watch.seen]
    assert done == sorted(done)
    assert watch.seen[-1] == Progress("b", 20, 20, 20, 2, 2)
    assert watch.seen[0].done == 0


def test_a_failed_training_is_a_result_and_a_lost_one_is_not(tmp_path: Path) -> None:
    def status(job: Job) -> Status:
        return Status.DIVERGED if job.seeds == ((1,), ()) else Status.OK

    works = [Work("a", 2, ask([training(0), training(1)]))]
    assert run(tmp_path, works, PretendPool(status))["a"][1] == inf
    for lost in (Status.TIMED_OUT, Status.WORKER_LOST):
        works = [Work("a", 2, ask([training(0), training(2)]))]
        with pytest.raises(
            StudyError,
            match=rf"digits_mlp with optax:lion at 0.01, .* \(seed 2\) gave no result: it {lost.value}",
        ):
            run(tmp_path, works, PretendPool(lambda job, lost=lost: lost))  # type: ignore[misc]
    with Ledger(tmp_path) as ledger:
        assert len(ledger) == 2


def test_what_a_result_depends_on_is_in_its_key(tmp_path: Path) -> None:
    sgd = builtin("sgd").statements
    plans = [
        PLAN,
        Plan((TaskPlan("digits_mlp", (("steps", 4), ("batch", 8))),)),
        Plan((TaskPlan("digits_mlp", KNOBS, Schedule("linear")),)),
        Plan((TaskPlan("digits_mlp", KNOBS, clip=1.0),)),
        Plan((TaskPlan("digits_mlp", KNOBS),), way="compiled"),
        Plan((TaskPlan("digits_mlp", KNOBS, curve=2),)),
    ]
    trainings = [
        training(0),
        training(1),
        training(0, split=Split.REPORT),
        training(0, candidate=sgd),
        training(0, candidate=builtin("adamw").statements),
        training(0, candidate=Tuned("lion", (0.01, 0.1, 0.1, 0.2))),
        training(0, candidate=Tuned("adamw", LION.values)),
    ]
    with Ledger(tmp_path) as ledger:
        keys = [Trials(plan, PretendPool(), ledger).key(training(0)) for plan in plans]
        trials = Trials(PLAN, PretendPool(), ledger)
        keys += [trials.key(one) for one in trainings[1:]] + [trials.key(training(0, task=1))]
        assert len(set(keys)) == len(keys) == 13
        # Not on which other tasks a plan has, nor on where in it a task stands.
        swapped = Trials(Plan(PLAN.tasks[::-1]), PretendPool(), ledger)
        assert swapped.key(training(0, task=1)) == keys[0]
    assert task_identity(PLAN, 0) == task_identity(PLAN, 0) != task_identity(PLAN, 1)


def test_a_plan_with_factors_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger, pytest.raises(ValueError, match="without learning-rate factors"):
        Trials(Plan(PLAN.tasks, (1.0, 2.0)), PretendPool(), ledger)


@pytest.mark.parametrize(
    "who", [tunable_reference("sgd"), tunable_program("lion", builtin("lion").statements)]
)
def test_tuning_as_trainings(tmp_path: Path, who: object) -> None:
    """On the search split with the tuning seeds; and the report on the other split with fresh ones."""
    pool = PretendPool()
    effort = Effort(settings=10)

    def steps() -> Steps[Sequence[Measured]]:
        optimum = yield from tune(who, effort, random.Random(0), 1, range(50, 90))  # type: ignore[arg-type]
        assert optimum.settings == 10
        return (yield from report(1, who.at(optimum.place), 5))  # type: ignore[attr-defined]

    with Ledger(tmp_path) as ledger:
        ((_, fresh),) = Trials(PLAN, pool, ledger).run([Work("a", 49, steps())])
    own = [job for job in pool.jobs if job.split is Split.SEARCH]
    assert len(own) == 10 * effort.first + effort.finalists * effort.more
    assert {job.seeds for job in own} == {((), (seed,)) for seed in range(50, 50 + effort.seeds)}
    reported = [job for job in pool.jobs if job.split is Split.REPORT]
    assert [job.seeds for job in reported] == [((), (seed,)) for seed in range(5)]
    assert len({job.candidate for job in reported}) == 1
    assert len(fresh) == 5
