"""Meta-overfitting on known numbers, on scripted trainings, and on a tiny real task."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_runs import WARM_SCORE, bred_run, written_run

from evosearch.errors import RunError, StudyError
from evosearch.evaluation import Status, TaskPlan
from evosearch.funnel.entrants import of_program
from evosearch.funnel.overfitting import (
    Course,
    Point,
    Relative,
    Study,
    Trained,
    binned,
    course_ids,
    course_of,
    histogram,
    judged,
    lost,
    measure,
    peak_of,
    relative,
    trained_seeds,
)
from evosearch.inspection import History, read_history
from evosearch.language import builtin
from evosearch.records import RunReader
from evosearch.records.parts import rows_from
from evosearch.study.ledger import Ledger, Measured
from evosearch.study.trials import Training, Trials, Work, candidate_identity
from evosearch.workers import InProcessPool
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

INF = math.inf
TASK = TaskPlan("quadratic", (("steps", 5),))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    return bred_run(tmp_path_factory.mktemp("overfitting") / "bred", 200)


# ---------------------------------------------------------------- known numbers


def test_a_score_is_the_ratio_of_the_means_on_the_same_seeds() -> None:
    score = relative([0.8, 1.8, 2.2], [1.0, 2.0, 3.0])
    assert score.score == pytest.approx(0.8)
    assert np.mean(score.by_seed) == pytest.approx(0.8)
    assert score.failed == 0
    # The spread is that of the ratio: (ours - 0.8 theirs) / 2 is 0, 0.1, -0.1.
    assert score.by_seed == pytest.approx((0.8, 0.9, 0.7))
    low, high = score.interval or (INF, INF)
    assert (low + high) / 2 == pytest.approx(0.8)
    assert high - low == pytest.approx(2 * 4.302653 * 0.1 / math.sqrt(3), rel=1e-5)


def test_the_warm_start_is_exactly_one() -> None:
    warm = [1.1, 0.7, 1.3]
    assert relative(warm, warm) == Relative(1.0, (1.0, 1.0), 0, (1.0, 1.0, 1.0))


def test_scores_are_paired_by_seed() -> None:
    """What all seeds share does not widen the interval."""
    warm = [1.0, 5.0, 9.0, 13.0]
    interval = relative([0.9 * x for x in warm], warm).interval
    assert interval == pytest.approx((0.9, 0.9))


def test_a_program_that_fails_where_the_warm_start_trains_has_no_score() -> None:
    assert relative([0.1, INF, 0.1], [1.0, 1.0, 1.0]) == Relative(INF, None, 1, ())
    assert relative([0.1, math.nan, INF], [1.0, 1.0, 1.0]).failed == 2


def test_seeds_on_which_the_warm_start_fails_are_left_out() -> None:
    found = relative([0.5, INF, 1.0], [1.0, INF, 2.0])
    assert (found.score, found.failed, len(found.by_seed)) == (0.5, 0, 2)
    assert trained_seeds([INF, 1.0, 2.0], "r") == [1, 2]


def test_a_warm_start_that_fails_is_an_error() -> None:
    with pytest.raises(StudyError, match=r"warm start of runs/a trains on 1 of 3 seeds.*expected at least 2"):
        relative([1.0, 1.0, 1.0], [1.0, INF, INF], "runs/a")
    with pytest.raises(StudyError, match=r"mean metric of 0 .*expected one above 0"):
        relative([1.0, 1.0], [0.0, 0.0], "runs/a")


def test_the_peak_is_the_lowest_and_of_equal_ones_the_earliest() -> None:
    assert peak_of([1.0, 0.9, 0.8, 0.95]) == 2
    assert peak_of([1.0, 0.8, 0.8, INF]) == 1
    assert peak_of([1.0, 1.0]) == 0
    assert peak_of([1.0, INF, INF]) == 0


def test_what_is_lost_is_paired() -> None:
    peak, end = (relative(metrics, [1.0, 2.0, 3.0]) for metrics in ([0.5, 1.0, 1.5], [0.6, 1.2, 1.8]))
    loss = lost(peak, end)
    assert loss is not None
    assert (loss.difference, loss.pairs) == (pytest.approx(0.1), 3)
    assert loss.interval == pytest.approx((0.1, 0.1))
    assert lost(peak, relative([INF, 1.0, 1.0], [1.0, 2.0, 3.0])) is None


def test_bins_hold_the_points_at_their_end_and_the_first_also_the_warm_start() -> None:
    peaks = [(k / 10, 1 - k / 100) for k in range(11)]
    bins = binned(peaks, 10)
    assert [part.runs for part in bins] == [2, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert [part.best for part in bins] == pytest.approx([1 - k / 100 for k in range(1, 11)])
    assert [(part.begin, part.end) for part in bins][::9] == [(0.0, 0.1), (0.9, 1.0)]
    few = binned([(0.34, 0.9), (0.31, 0.7), (0.35, 0.8)], 10)
    assert [part.runs for part in few] == [0, 0, 0, 3, 0, 0, 0, 0, 0, 0]
    assert (few[3].best, few[4].best) == (0.7, None)


def course(*behaviours: str) -> Course:
    entrant = of_program("x", builtin("adamw"), "x")
    last = len(behaviours) - 1
    return Course(
        "runs/a",
        tuple(
            Point(k / last, 10 * k, k or None, entrant, name.encode(), 1.0)
            for k, name in enumerate(behaviours)
        ),
    )


def trained(metrics: Sequence[float], report: Sequence[float] = ()) -> Trained:
    return Trained((0, 0), {}, (), tuple(metrics), tuple(report))


def test_a_run_that_overfits() -> None:
    results = {
        b"w": trained([1.0, 2.0], [2.0, 2.0]),
        b"a": trained([0.8, 1.6], [1.5, 1.7]),
        b"b": trained([0.7, 1.4]),
        b"c": trained([0.9, 1.8], [1.6, 1.8]),
    }
    del results[b"b"]  # not asked for
    found = judged(course("w", "a", "a", "c"), results)
    assert [score.score for score in found.scores] == pytest.approx([1.0, 0.8, 0.8, 0.9])
    assert (found.peak, found.progress, found.same) == (1, 1 / 3, False)
    assert found.loss is not None
    assert found.loss.difference == pytest.approx(0.1)
    # On fresh seeds less is lost, and that has its own scale: the warm start's mean there.
    assert found.fresh_loss is not None
    assert (found.fresh_loss.difference, found.fresh_peak.score) == pytest.approx((0.05, 0.8))
    (part,) = [part for part in histogram([found]) if part.runs]
    assert (part.begin, part.end, part.best) == (0.3, 0.4, pytest.approx(0.8))


def test_a_run_whose_end_is_the_peak_loses_nothing() -> None:
    results = {b"w": trained([1.0, 2.0], [1.0, 2.0]), b"a": trained([0.8, 1.7], [0.9, 1.5])}
    found = judged(course("w", "w", "a", "a"), results)
    assert (found.peak, found.same) == (2, True)
    assert found.loss is not None
    assert found.fresh_loss is not None
    assert (found.loss.difference, found.loss.interval) == (0.0, (0.0, 0.0))
    assert (found.fresh_loss.difference, found.fresh_loss.interval) == (0.0, (0.0, 0.0))


def test_a_run_whose_end_fails_has_its_peak_before() -> None:
    results = {b"w": trained([1.0, 2.0], [1.0, 2.0]), b"a": trained([0.1, INF], [0.1, 0.1])}
    found = judged(course("w", "a"), results)
    assert (found.peak, found.loss) == (0, None)
    assert found.fresh_loss is not None


# ---------------------------------------------------------------- who was best along a run


def history_of(run: RunReader, scores: Sequence[float], warm: float) -> History:
    whole = read_history(run)
    return replace(
        whole, parent=whole.parent[: len(scores)], score=np.array(scores, np.float64), warm_score=warm
    )


def test_the_best_so_far_at_each_point(run: RunReader) -> None:
    scores = [INF, 3.0, 2.5, 1.8, 1.9, 1.5, INF, 1.5, 1.4, 1.6]
    assert course_ids(history_of(run, scores, 2.0), 5) == [None, 3, 5, 5, 8]
    assert course_ids(history_of(run, scores, 1.45), 2) == [None, 8]
    # Of two equal scores the first is the best so far: the warm start stays what its equals are.
    assert course_ids(history_of(run, scores, 1.4), 2) == [None, None]
    assert course_ids(history_of(run, scores, math.nan), 5) == [1, 3, 5, 5, 8]


def test_a_run_shorter_than_its_points(run: RunReader) -> None:
    assert course_ids(history_of(run, [1.0, 0.5], 2.0), 8) == [None, None, 0, 0, 0, 1, 1, 1]


def test_the_course_of_a_run(run: RunReader) -> None:
    found = course_of(run, 4)
    rows = rows_from(run.candidates())
    assert [point.progress for point in found.points] == [0, 0.25, 0.5, 0.75, 1]
    assert [point.programs for point in found.points] == [0, 50, 100, 150, 200]
    for point in found.points:
        best = min([row.score for row in rows[: point.programs]], default=INF)
        assert point.search == min(best, WARM_SCORE) / WARM_SCORE
        assert point.id is None or rows[point.id].score == best
    assert (found.warm.id, found.end.id) == (None, read_history(run).best_id())
    assert found.end.entrant.name == f"bred:{found.end.id}"
    assert found.warm.behaviour not in {point.behaviour for point in found.points if point.id is not None}


def test_a_run_that_does_not_tell_the_warm_starts_score(tmp_path: Path, run: RunReader) -> None:
    row = next(r for r in rows_from(run.candidates()) if r.parent == -1 and 0 < r.score < WARM_SCORE)
    found = course_of(written_run(tmp_path / "run", [row._replace(id=0)]), 2)
    assert [(point.id, point.search) for point in found.points] == [(None, None), (None, None), (0, None)]


def test_runs_that_cannot_be_followed(tmp_path: Path, run: RunReader) -> None:
    rows = rows_from(run.candidates())
    lost_row = next(row for row in rows if row.parent == -1 and row.score == INF)
    foreign = next(row for row in rows if row.parent == -1 and row.score < WARM_SCORE)
    text = foreign.text.replace("sqrt(", "unheard_of(")
    assert text != foreign.text
    cases: list[tuple[RunReader, str]] = [
        (written_run(tmp_path / "empty", []), r"empty holds no programs yet"),
        (written_run(tmp_path / "failed", [lost_row._replace(id=0)]), r"no program of .*failed has trained"),
        (bred_run(tmp_path / "drawn", 40, method="random"), r"drawn can't be followed: .* at random"),
        (
            written_run(tmp_path / "foreign", [foreign._replace(id=0, text=text)]),
            r"foreign can't be followed, .* another vocabulary: .*unheard_of.*; study it with the",
        ),
    ]
    for one, message in cases:
        with pytest.raises(RunError, match=message) as caught:
            course_of(one, 3)
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- the trainings


class Scripted:
    """Trainings whose metrics are made up."""

    def __init__(self, metric: Callable[[Training], float]) -> None:
        self.metric = metric
        self.trainings: list[Training] = []

    def run(self, works: Sequence[Work[Any]]) -> Iterator[tuple[Work[Any], Any]]:
        for work in works:
            done = 0
            try:
                wanted = next(work.steps)
                while True:
                    self.trainings += wanted
                    done += len(wanted)
                    metrics = [self.metric(training) for training in wanted]
                    status = [Status.OK if math.isfinite(m) else Status.DIVERGED for m in metrics]
                    pairs = zip(status, metrics, strict=True)
                    wanted = work.steps.send([Measured(s, m, 5, 0.1) for s, m in pairs])
            except StopIteration as end:
                assert done <= work.trainings
                yield work, end.value


def scripted(study: Study, courses: Sequence[Course], metric: Callable[[Training], float]) -> Any:
    trials = Scripted(metric)
    return measure(study, courses, trials), trials.trainings  # type: ignore[arg-type]


def test_purposes_share_no_seed_and_have_their_splits(run: RunReader) -> None:
    found, trainings = scripted(Study(TASK, seeds=4, settings=6), [course_of(run, 4)], lambda t: 1.0)
    seeds = {split: {t.seed for t in trainings if t.split is split} for split in Split}
    assert [len(seeds[s]) for s in (Split.SEARCH, Split.SELECTION, Split.REPORT)] == [2 + 4 * 2, 4, 4]
    assert len(set().union(*seeds.values())) == 18
    # All equal: the peak is the warm start, so that it and the end are reported, each once.
    assert found[0].peak == 0
    assert sum(t.split is Split.REPORT for t in trainings) == 2 * 4
    distinct = len({point.behaviour for point in found[0].course.points})
    assert distinct > 2
    assert sum(t.split is Split.SELECTION for t in trainings) == distinct * 4
    # Two reported programs are tuned anew for each of four seeds.
    assert sum(t.split is Split.SEARCH for t in trainings) == (distinct + 2 * 4) * (6 + 2)


def test_every_program_is_scored_at_the_setting_that_its_tuning_chose(run: RunReader) -> None:
    def metric(training: Training) -> float:
        return 1.0 + zlib.crc32(candidate_label_of(training).encode()) % 1000 / 1000

    (found,), trainings = scripted(Study(TASK, seeds=2, settings=6), [course_of(run, 4)], metric)
    rest = list(trainings)

    def tuned() -> Any:
        nonlocal rest
        search, rest = rest[:8], rest[8:]  # six settings, two of them on a second seed
        assert {t.split for t in search} == {Split.SEARCH}
        return min(search[6:], key=metric).candidate

    for _ in range(len({point.behaviour for point in found.course.points})):
        best = tuned()
        selection, rest = rest[:2], rest[2:]
        assert [(t.split, t.candidate) for t in selection] == [(Split.SELECTION, best)] * 2
    while rest:  # the report tunes anew for each seed
        best = tuned()
        report, rest = rest[0], rest[1:]
        assert (report.split, report.candidate) == (Split.REPORT, best)


def candidate_label_of(training: Training) -> str:
    return str(candidate_identity(training.candidate))


def test_without_tuning_programs_are_as_they_are(run: RunReader) -> None:
    courses = [course_of(run, 4)]
    found, trainings = scripted(Study(TASK, seeds=2, settings=0), courses, lambda t: 1.0)
    assert all(t.split is not Split.SEARCH for t in trainings)
    assert all((one.values["factor"], one.values["decay"]) == (1.0, 0.0) for one in found[0].trained)
    assert {t.candidate for t in trainings} == {
        point.entrant.tunable.at(found[0].trained[0].place) for point in courses[0].points
    }


def test_the_report_says_what_the_picked_peak_is_worth(run: RunReader) -> None:
    """On the selection split a program in the middle is lucky; on the report split it is no better."""
    one = course_of(run, 4)
    place = next(k for k, p in enumerate(one.points) if p.id is not None and p.id != one.end.id)
    lucky = one.points[place].entrant.tunable
    at = lucky.at(tuple(grid.start for grid in lucky.grids.values()))

    def metric(training: Training) -> float:
        luck = 0.5 if training.candidate == at and training.split is Split.SELECTION else 0.0
        return 2.0 - luck

    (found,), trainings = scripted(Study(TASK, seeds=3, settings=0), [one], metric)
    assert (found.peak, found.same) == (place, False)
    assert found.loss.difference == pytest.approx(0.25)
    assert found.fresh_loss.difference == 0.0
    assert sum(t.split is Split.REPORT for t in trainings) == 3 * 3


def test_runs_with_equal_programs_train_them_once(run: RunReader) -> None:
    study, one = Study(TASK, seeds=2, settings=3), course_of(run, 3)
    _, alone = scripted(study, [one], lambda t: 1.0)
    both, together = scripted(study, [one, replace(one, run="runs/b")], lambda t: 1.0)
    assert together == alone
    assert both[0].scores == both[1].scores


def test_a_warm_start_that_fails_is_told_before_others_train(run: RunReader) -> None:
    one = course_of(run, 3)
    trials = Scripted(lambda t: INF)
    with pytest.raises(StudyError, match=r"the warm start of .*bred trains on 0 of 2 seeds"):
        measure(Study(TASK, seeds=2, settings=0), [one], trials)  # type: ignore[arg-type]
    assert {t.candidate for t in trials.trainings} == {
        one.warm.entrant.tunable.at(tuple(grid.start for grid in one.warm.entrant.tunable.grids.values()))
    }


def test_a_tiny_real_run(tmp_path: Path, run: RunReader) -> None:
    study, courses = Study(TASK, seeds=3, settings=3), [course_of(run, 3)]
    plan = study.plan(courses)
    with Ledger(tmp_path) as ledger, InProcessPool(plan) as pool:
        (found,) = measure(study, courses, Trials(plan, pool, ledger))
        count = len(ledger)
        again = measure(study, courses, Trials(plan, pool, ledger))
        assert (again, len(ledger)) == ((found,), count)
    assert found.scores[0].score == 1.0
    assert len(found.trained[0].report) == 3
    assert all(one.score > 0 for one in found.scores)
    assert found.scores[found.peak].score == min(score.score for score in found.scores)
    for point, one, score in zip(found.course.points, found.trained, found.scores, strict=True):
        if not score.failed:
            assert score.score == pytest.approx(np.mean(one.metrics) / np.mean(found.trained[0].metrics))
        assert (point.behaviour == found.course.warm.behaviour) <= (score.score == 1.0)
