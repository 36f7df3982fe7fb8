"""What a comparison trains, and what it says; nothing is trained here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_fakes import PretendPool, uniform

from evosearch.evaluation import Job, Status, TaskPlan, Tuned
from evosearch.language import builtin, parse
from evosearch.study.comparison import (
    CURVE,
    DECAYS,
    FIRST_BATCH,
    LR_STEPS,
    TUNING,
    BatchPoint,
    Comparison,
    Contender,
    Raced,
    comparison_works,
    find_record,
    standings,
    sweep_of,
)
from evosearch.study.ledger import Ledger
from evosearch.study.trials import Trials, versions
from evosearch.study.tuned import ScheduleRecord, TunedRecord, TunedScores
from evosearch.study.tuning import Effort
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

TASK = TaskPlan("quadratic", (("steps", 4),))
ADAMW, LION = Contender("optax:adamw", reference="adamw"), Contender("optax:lion", reference="lion")
PROGRAM = Contender("mine.py", statements=builtin("lion").statements)
EFFORT = Effort(settings=5)


def record(reference: str = "adamw", **changes: Any) -> TunedRecord:
    scores = TunedScores(mean=1.0, error=0.1, scores=[1.0])
    values = {
        "adamw": {"lr": 0.1, "decay": 0.1, "one_minus_b1": 0.1, "one_minus_b2": 0.01},
        "lion": {"lr": 0.01, "decay": 1.0, "one_minus_b1": 0.1, "one_minus_b2": 0.02},
    }
    facts = {
        "task": "quadratic",
        "knobs": {"steps": 4},
        "schedule": ScheduleRecord(kind="cosine", warmup=0.1),
        "clip": None,
        "reference": reference,
        "repeat": 0,
        "hyperparameters": values[reference],
        "settings": 5,
        "runs": 10,
        "edge": ["lr"],
        "gap": None,
        "tuning": scores,
        "report": scores,
        "steps": 4,
        "seconds_per_step": 1.0,
        "data": TASK.build().data().fingerprint,
        "versions": versions(),
        "machine": "here",
    }
    return TunedRecord(**{**facts, **changes})


def run(folder: Path, comparison: Comparison, records: list[TunedRecord]) -> tuple[list[Any], PretendPool]:
    pool = PretendPool(curves={CURVE: comparison.points})
    with Ledger(folder) as ledger:
        works = comparison_works(comparison, records)
        labels = [work.label for work in works]
        found = {w.label: r for w, r in Trials(comparison.plan, pool, ledger).run(works)}
    return [found[label] for label in labels], pool


def jobs_of(pool: PretendPool, task: int, split: Split) -> list[Job]:
    return [job for job in pool.jobs if job.split is split and job.seeds[task]]


# ---------------------------------------------------------------- what is trained


def test_everybody_is_tuned_alike_and_trained_on_the_same_fresh_seeds(tmp_path: Path) -> None:
    comparison = Comparison(TASK, (ADAMW, PROGRAM), EFFORT, seeds=3)
    (adamw, mine), pool = run(tmp_path, comparison, [])
    tuning = jobs_of(pool, TUNING, Split.SEARCH)
    for is_reference, one in ((True, adamw), (False, mine)):
        own = [job for job in tuning if isinstance(job.candidate, Tuned) is is_reference]
        assert len({job.candidate for job in own}) == EFFORT.settings == one.chosen.settings
        assert len(own) == EFFORT.settings * EFFORT.first + 5 * EFFORT.more
        assert one.chosen.source == "tuned now"
    fresh = jobs_of(pool, CURVE, Split.REPORT)
    assert len(fresh) == 6 == len(pool.jobs) - len(tuning)
    assert [job.seeds[CURVE] for job in fresh[:3]] == [(0,), (1,), (2,)]
    for one in (adamw, mine):
        candidate = one.contender.tunable.at(one.chosen.place)
        assert sum(job.candidate == candidate for job in fresh) == 3
        assert all(len(measured.curve) == 4 for measured in one.fresh)


def test_equal_programs_are_tuned_alike_whatever_they_are_called(tmp_path: Path) -> None:
    other = Contender("copy.py", statements=parse(str(builtin("lion"))).statements)
    (mine, copy), _ = run(tmp_path, Comparison(TASK, (PROGRAM, other), EFFORT, seeds=3), [])
    assert mine.chosen == copy.chosen
    first, second = standings([mine, copy], 4, [4, 4], [1e-6, 2e-6])
    assert first.difference is None
    assert second.difference is not None
    assert (second.difference.difference, second.difference.interval) == (0, (0, 0))
    assert second.speed is not None
    assert second.speed.speed_up == 1
    assert (second.ratio, second.microseconds) == (2, 2)


def test_recorded_settings_spare_the_tuning(tmp_path: Path) -> None:
    comparison = Comparison(TASK, (ADAMW, PROGRAM), EFFORT, seeds=3)
    (adamw, _), pool = run(tmp_path, comparison, [record()])
    assert (adamw.chosen.source, adamw.chosen.settings, adamw.chosen.edge) == ("recorded", 5, ("lr",))
    assert not any(isinstance(job.candidate, Tuned) for job in jobs_of(pool, TUNING, Split.SEARCH))
    (row, *_) = standings([adamw, adamw], 4, [8, 8], None)
    assert row.hyperparameters == record().hyperparameters
    assert (row.microseconds, row.ratio, row.program) == (None, None, None)


def test_which_records_count() -> None:
    good = record()
    assert find_record([good], TASK, ADAMW, EFFORT) == good
    assert find_record([record(repeat=1), good], TASK, ADAMW, Effort(settings=3)) == good
    for other in (
        record("lion"),
        record(repeat=1),
        record(knobs={"steps": 5}),
        record(knobs={"steps": 4, "preset": "x10"}),
        record(schedule=ScheduleRecord(kind="linear", warmup=0.1)),
        record(clip=1.0),
        record(data="0" * 16),
        record(settings=4),
        record(hyperparameters={**good.hyperparameters, "lr": 0.12}),  # of a grid of another time
    ):
        assert find_record([other], TASK, ADAMW, EFFORT) is None
    assert find_record([record(settings=1)], TASK, ADAMW, None) is not None
    assert find_record([good], TASK, PROGRAM, EFFORT) is None


def test_nobody_is_tuned_if_nobody_is_to_be(tmp_path: Path) -> None:
    comparison = Comparison(TASK, (ADAMW, LION, PROGRAM), None, seeds=2)
    (adamw, lion, mine), pool = run(tmp_path, comparison, [record()])
    assert not jobs_of(pool, TUNING, Split.SEARCH)
    sources = [(one.chosen.source, one.chosen.settings) for one in (adamw, lion, mine)]
    assert sources == [("recorded", 5), ("where its grids start", 0), ("as it is", 0)]
    assert mine.contender.tunable.at(mine.chosen.place) == builtin("lion").statements


def test_a_sweep_goes_around_the_tuned_setting(tmp_path: Path) -> None:
    comparison = Comparison(TASK, (ADAMW, LION, PROGRAM), None, seeds=6, sweep_lr=True)
    (adamw, lion, mine), pool = run(tmp_path, comparison, [record(), record("lion")])
    assert adamw.sweep is not None
    assert adamw.sweep.columns == (0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0)
    assert adamw.sweep.rows == (0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0, 3.16)
    assert adamw.sweep.tuned == (3, LR_STEPS)
    assert adamw.sweep.names == ("decay", "lr")
    # Where the tuned decay is near an end of its grid, the window stops there.
    assert mine.sweep is not None
    assert (mine.sweep.names, mine.sweep.rows[0], mine.sweep.tuned) == (
        ("decay", "factor"),
        0.0,
        (0, LR_STEPS),
    )
    swept = jobs_of(pool, TUNING, Split.REPORT)
    assert len(swept) == 3 * DECAYS * (2 * LR_STEPS + 1) * 4
    cell = Tuned("adamw", (0.178, 0.01, 0.1, 0.01))
    expected = [uniform(job.candidate, job.seeds, job.split) for job in swept if job.candidate == cell]
    assert len(expected) == 4
    assert adamw.sweep.metrics[1][5] == pytest.approx(np.mean(expected))
    assert lion.sweep is not None
    assert len(lion.sweep.metrics) == DECAYS


def test_what_a_sweep_says() -> None:
    metrics = [[2.0, 1.0, math.inf], [1.1, 1.09, 3.0]]
    sweep = sweep_of(("decay", "lr"), (0.0, 0.1), (1.0, 2.0, 4.0), metrics, (1, 1))
    assert (sweep.best, sweep.good) == ((0, 1), pytest.approx(3 / 6))
    failed = sweep_of(("decay", "lr"), (0.0,), (1.0,), [[math.inf]], (0, 0))
    assert (failed.best, failed.good) == (None, 0)


def test_batch_sizes(tmp_path: Path) -> None:
    comparison = Comparison(TASK, (ADAMW, PROGRAM), EFFORT, seeds=3, batches=(8, 16))
    results, pool = run(tmp_path, comparison, [record(), record(knobs={"steps": 4, "batch": 16})])
    points = [result for result in results if isinstance(result, BatchPoint)]
    assert [(p.contender.name, p.batch) for p in points] == [
        ("optax:adamw", 8),
        ("mine.py", 8),
        ("optax:adamw", 16),
        ("mine.py", 16),
    ]
    # Tuned at each size, unless there is a record of that very size.
    assert [p.chosen.source for p in points] == ["tuned now", "tuned now", "recorded", "tuned now"]
    assert [dict(plan.knobs)["batch"] for plan in comparison.plan.tasks[FIRST_BATCH:]] == [8, 16]
    for index, point in enumerate(points):
        jobs = jobs_of(pool, FIRST_BATCH + index // 2, Split.REPORT)
        mine = [job for job in jobs if job.candidate == point.contender.tunable.at(point.chosen.place)]
        assert point.scores == tuple(uniform(job.candidate, job.seeds, job.split) for job in mine)
        assert point.mean.mean == pytest.approx(np.mean(point.scores))
    untuned, _ = run(
        tmp_path / "0", Comparison(TASK, (ADAMW, PROGRAM), None, seeds=3, batches=(8, 16)), [record()]
    )
    sources = [p.chosen.source for p in untuned if isinstance(p, BatchPoint)]
    assert sources == ["recorded", "as it is"] * 2


def test_a_long_program_fits_with_its_settings() -> None:
    statements = builtin("program8").statements * 3
    plan = Comparison(TASK, (Contender("long", statements=statements),)).plan
    assert plan.capacity.statements == len(statements) + 4
    assert Comparison(TASK, (PROGRAM,)).plan.capacity.statements == 40


# ---------------------------------------------------------------- what it says


def test_failures_are_counted(tmp_path: Path) -> None:
    def status(job: Job) -> Status:
        failed = isinstance(job.candidate, tuple) and job.seeds[CURVE] == (1,)
        return Status.DIVERGED if failed else Status.OK

    comparison = Comparison(TASK, (ADAMW, PROGRAM), None, seeds=4)
    pool = PretendPool(status, curves={CURVE: comparison.points})
    with Ledger(tmp_path) as ledger:
        found = [r for _, r in Trials(comparison.plan, pool, ledger).run(comparison_works(comparison, []))]
    raced = sorted(found, key=lambda r: r.contender.name, reverse=True)
    adamw, mine = standings([r for r in raced if isinstance(r, Raced)], 4, [8, 4], [2e-6, 1e-6])
    assert (adamw.name, mine.name) == ("optax:adamw", "mine.py")
    assert (adamw.mean.failed, mine.mean.failed, mine.scores[1]) == (0, 1, math.inf)
    assert mine.difference is not None
    assert mine.difference.pairs == 3
    assert mine.speed is not None
    assert mine.speed.pairs == 3
    assert len(mine.curve) == 4
    assert all(map(math.isfinite, mine.curve))
    assert (mine.state_bytes, mine.ratio) == (4, 0.5)
    assert mine.program is not None
    assert parse(mine.program).statements == builtin("lion").statements
