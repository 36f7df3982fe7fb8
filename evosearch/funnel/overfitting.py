"""Meta-overfitting: does what a search finds late still help on a larger task, or only on its proxy?

A search lowers its score on the proxy task to the end. On a larger task (the meta-validation) the score of
the program that was best so far may turn and rise. Where it is lowest is the point of overfitting.

Reading order: `Course` (who was best along a run), `measure` (the trainings), `Relative` (a program against
its run's warm start), `judged` and `Overfitted` (the peak, and what is lost after it), `histogram` (of many
runs).

Three sets of trainings share no seed: settings are tuned on the search split, the peak is picked on the
selection split, and what is lost after it is measured again on the report split, tuned anew for each seed:
of so many programs the one that came out best was also the one that was tuned most luckily.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evosearch.errors import ProgramError, RunError, StudyError
from evosearch.evaluation import Plan, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.settings import EXTRA_STATEMENTS
from evosearch.funnel.contest import REPORT, TUNING, stage_seed
from evosearch.funnel.differences import differences
from evosearch.funnel.entrants import Entrant, course_ids, of_program, of_row, own_vocabulary
from evosearch.inspection import read_history
from evosearch.language import parse
from evosearch.language.fingerprint import fingerprint
from evosearch.records import RunReader
from evosearch.study.statistics import Interval, Paired, mean_of, paired
from evosearch.study.surrogate import Place
from evosearch.study.trials import Steps, Training, Trials, Work, tune
from evosearch.study.tuning import Effort, values_at
from proxy_tasks import Split

STUDY = "overfitting"
"""Takes the place of a stage's name in seeds."""
SELECTION = "selection"
"""What a training is for, besides `TUNING` and `REPORT`: to find the peak."""

BINS = 10
FINALISTS, MORE = 2, 1
"""Of each tuning: so many settings get so many further seeds."""

# ---------------------------------------------------------------- who was best along a run


@dataclass(frozen=True)
class Point:
    """A point of a run's progress.

    Attributes:
        progress: from 0, the warm start, to 1, the end of the run's record.
        programs: generated until then.
        id: of the best program so far; None while that is the warm start.
        entrant: that program.
        behaviour: its fingerprint; of the programs that share one, one is trained.
        search: its score in the search over the warm start's; None where the run does not tell the latter.
    """

    progress: float
    programs: int
    id: int | None
    entrant: Entrant
    behaviour: bytes
    search: float | None


@dataclass(frozen=True)
class Course:
    """Who was best along a run.

    Attributes:
        run: its folder, as people named it.
        points: of progress, rising; the first is the warm start.
    """

    run: str
    points: tuple[Point, ...]

    @property
    def warm(self) -> Point:
        """The warm start."""
        return self.points[0]

    @property
    def end(self) -> Point:
        """The end of the run."""
        return self.points[-1]


def course_of(run: RunReader, count: int) -> Course:
    """The best program so far at evenly spaced points of a run's progress.

    The run may still be growing: what its record holds now counts.

    Args:
        run: where the programs are.
        count: how many points besides the warm start, the end of the run the last.

    Raises:
        RunError: the run is empty, nothing in it trained, it has no warm start, or it holds primitives that
            are not known here.

    Example:
        course_of(RunReader("runs/quickstart"), 10).end.search
    """
    with own_vocabulary(run, "can't be followed", "study it"):
        history = read_history(run)
        history.best_id()  # says what is wrong with a run in which nothing trained
        if history.warm_start is None and not history.drawn:
            parse(run.row(0).text, f"{run.path}:0")  # says which primitive is not known
            raise ProgramError("its warm start has primitives that are not known here")
        if history.warm_start is None:
            raise RunError(
                f"{run.path} can't be followed: its programs were drawn at random, so there is no warm start "
                "to compare them with; name a run whose programs descend from one (method: evolution)"
            )
        warm = of_program("warm start", history.warm_start, str(run.path), history.warm_score)
        ids = course_ids(history, count)
        rows = run.take(sorted({id_ for id_ in ids if id_ is not None}))
        entrants: dict[int | None, Entrant] = {None: warm}
        entrants.update((row.id, of_row(run, row, row.score)) for row in rows)
    behaviours = {id_: fingerprint(entrant.statements or ()) for id_, entrant in entrants.items()}
    start = history.warm_score
    known = math.isfinite(start) and start > 0
    points = [
        Point(
            progress=k / count,
            programs=round(len(history) * k / count),
            id=id_,
            entrant=entrants[id_],
            behaviour=behaviours[id_],
            search=(start if id_ is None else float(history.score[id_])) / start if known else None,
        )
        for k, id_ in enumerate([None, *ids])
    ]
    return Course(str(run.path), tuple(points))


# ---------------------------------------------------------------- the trainings


@dataclass(frozen=True)
class Study:
    """What is asked for.

    Attributes:
        task: the meta-validation task.
        seeds: fresh seeds to find the peak with, and as many to report, each tuned anew.
        settings: that are tried for each program; 0 leaves programs as they are.
        seed: all seeds follow from it.
    """

    task: TaskPlan
    seeds: int = 8
    settings: int = 12
    seed: int = 0

    @property
    def effort(self) -> Effort | None:
        """Of each tuning; None without."""
        if not self.settings:
            return None
        return Effort(settings=self.settings, finalists=min(FINALISTS, self.settings), more=MORE)

    def seeds_of(self, purpose: str, count: int) -> list[int]:
        """Seeds of one purpose; no other shares them."""
        return [stage_seed(self.seed, STUDY, purpose, index) for index in range(count)]

    def plan(self, courses: Sequence[Course]) -> Plan:
        """What workers are made for."""
        programs = (point.entrant.statements or () for course in courses for point in course.points)
        longest = max(map(len, programs)) + EXTRA_STATEMENTS
        return Plan((self.task,), capacity=Capacity(max(Capacity().statements, longest)))


@dataclass(frozen=True)
class Trained:
    """What a program's trainings gave.

    Attributes:
        place: the setting that tuning chose.
        values: at that place, by name.
        edge: which of them are the last of their grid.
        metrics: on the seeds that find the peak; infinite where training failed.
        report: on the seeds of the report; empty for a program that is not reported.
    """

    place: Place
    values: Mapping[str, float]
    edge: tuple[str, ...]
    metrics: tuple[float, ...]
    report: tuple[float, ...] = ()


def measure(study: Study, courses: Sequence[Course], trials: Trials) -> tuple[Overfitted, ...]:
    """Do the trainings of a study, and judge every run.

    Args:
        study: what is asked for.
        courses: of the runs.
        trials: of `study.plan(courses)`.

    Returns:
        What was found, in the order of the courses.

    Raises:
        StudyError: a warm start that fails.
    """
    warm = {course.warm.behaviour: course.run for course in reversed(courses)}
    entrants: dict[bytes, Entrant] = {}
    # Warm starts first: one that fails is told before the other programs have trained.
    for point in (*(course.warm for course in courses), *(p for course in courses for p in course.points)):
        entrants.setdefault(point.behaviour, point.entrant)
    trained: dict[bytes, Trained] = {}
    for _, (behaviour, found) in trials.run([_selection_work(study, *item) for item in entrants.items()]):
        if behaviour in warm:
            trained_seeds(found.metrics, warm[behaviour])
        trained[behaviour] = found
    wanted = dict.fromkeys(
        point.behaviour
        for course in courses
        for point in (course.warm, course.points[_peak(course, trained)], course.end)
    )
    reports = [
        _report_work(study, behaviour, entrants[behaviour], trained[behaviour].place, number)
        for behaviour in wanted
        for number in range(study.seeds)
    ]
    found_at = {key: metric for _, (key, metric) in trials.run(reports)}
    for behaviour in wanted:
        report = tuple(found_at[behaviour, number] for number in range(study.seeds))
        trained[behaviour] = replace(trained[behaviour], report=report)
    return tuple(judged(course, trained) for course in courses)


def _selection_work(study: Study, behaviour: bytes, entrant: Entrant) -> Work[tuple[bytes, Trained]]:
    """Tune a program, and train it on the seeds that find the peak."""
    effort, tunable = study.effort, entrant.tunable

    def steps() -> Steps[tuple[bytes, Trained]]:
        place, edge = tuple(grid.start for grid in tunable.grids.values()), tuple[str, ...]()
        if effort is not None:
            rng = random.Random(f"{study.seed} {STUDY} {behaviour.hex()}")
            optimum = yield from tune(tunable, effort, rng, 0, study.seeds_of(TUNING, effort.seeds))
            place, edge = optimum.place, optimum.edge
        seeds = study.seeds_of(SELECTION, study.seeds)
        results = yield [Training(0, tunable.at(place), Split.SELECTION, seed) for seed in seeds]
        metrics = tuple(measured.metric for measured in results)
        return behaviour, Trained(place, values_at(tunable.grids, place), edge, metrics)

    total = (effort.trainings if effort else 0) + study.seeds
    return Work(f"meta-validation: {entrant.name}", total, steps())


def _report_work(
    study: Study, behaviour: bytes, entrant: Entrant, place: Place, number: int
) -> Work[tuple[tuple[bytes, int], float]]:
    """Train a program on one seed of the report, tuned anew: the peak had the luckiest tuning of all."""
    effort, tunable = study.effort, entrant.tunable

    def steps() -> Steps[tuple[tuple[bytes, int], float]]:
        chosen = place
        if effort is not None:
            rng = random.Random(f"{study.seed} {STUDY} {behaviour.hex()} {number}")
            seeds = study.seeds_of(f"{REPORT} {TUNING} {number}", effort.seeds)
            chosen = (yield from tune(tunable, effort, rng, 0, seeds)).place
        seed = study.seeds_of(REPORT, study.seeds)[number]
        (measured,) = yield [Training(0, tunable.at(chosen), Split.REPORT, seed)]
        return (behaviour, number), measured.metric

    return Work(f"report: {entrant.name}", 1 + (effort.trainings if effort else 0), steps())


# ---------------------------------------------------------------- what they say


@dataclass(frozen=True)
class Relative:
    """A program's metric over the mean of its run's warm start, both on the same seeds; lower is better.

    Attributes:
        score: the ratio of the means, 1.0 for the warm start; infinite if the program failed on a seed on
            which the warm start trained.
        interval: at 95 % confidence, of the ratio, paired by seed; None where the program failed.
        failed: on so many of those seeds.
        by_seed: each seed's part, whose mean is `score`; empty where the program failed.
    """

    score: float
    interval: Interval | None
    failed: int
    by_seed: tuple[float, ...]


def trained_seeds(metrics: Sequence[float], run: str) -> list[int]:
    """The seeds on which a warm start trained.

    Raises:
        StudyError: fewer than two, or their mean metric is not above 0.
    """
    finite = [seed for seed, metric in enumerate(metrics) if math.isfinite(metric)]
    if len(finite) < 2:
        raise StudyError(
            f"the warm start of {run} trains on {len(finite)} of {len(metrics)} seeds of the meta-validation "
            "task, and everything is told relative to it: expected at least 2; take another --task or "
            "preset, more --tune, or more --seeds"
        )
    mean = sum(metrics[seed] for seed in finite) / len(finite)
    if mean <= 0:
        raise StudyError(
            f"the warm start of {run} reaches a mean metric of {mean:g} on the meta-validation task, and "
            "everything is told as a share of that: expected one above 0; take another --task or preset"
        )
    return finite


def relative(metrics: Sequence[float], warm: Sequence[float], run: str = "the run") -> Relative:
    """A program against its run's warm start.

    Args:
        metrics: of the program, on each seed; not finite where training failed.
        warm: the warm start's, on the same seeds; those on which it failed are left out.
        run: for the message.

    Raises:
        StudyError: see `trained_seeds`.

    >>> relative([0.9, 1.8], [1.0, 2.0]).score
    0.9
    """
    seeds = trained_seeds(warm, run)
    ours, theirs = np.array(metrics, np.float64)[seeds], np.array(warm, np.float64)[seeds]
    failed = int((~np.isfinite(ours)).sum())
    if failed:
        return Relative(math.inf, None, failed, ())
    by_seed = 1 + differences(ours[None, None], theirs[None], 0.0)[0]
    found = mean_of(by_seed)
    return Relative(found.mean, found.interval, 0, tuple(map(float, by_seed)))


def peak_of(scores: Sequence[float]) -> int:
    """Where meta-validation is lowest; of equal ones the earliest.

    >>> peak_of([1.0, 0.9, 0.9, float("inf")])
    1
    """
    return min(range(len(scores)), key=lambda place: (scores[place], place))


def lost(peak: Relative, end: Relative) -> Paired | None:
    """What is lost from the peak to the end, as a share of the warm start's mean; None if one failed."""
    return paired(end.by_seed, peak.by_seed) if peak.by_seed and end.by_seed else None


@dataclass(frozen=True)
class Overfitted:
    """What a study says of a run.

    Attributes:
        course: who was best along it.
        scores: of each point in the meta-validation.
        trained: of each point.
        peak: the point whose score is lowest, the point of overfitting.
        loss: end - peak on the seeds that picked the peak. The peak is the lowest of several noisy scores, so
            on average this is too large. None if the end's program failed.
        fresh_peak: the peak's score on fresh seeds and the report split.
        fresh_end: the end's likewise.
        fresh_loss: end - peak there, which nothing was picked by; None if one of them failed.
    """

    course: Course
    scores: tuple[Relative, ...]
    trained: tuple[Trained, ...]
    peak: int
    loss: Paired | None
    fresh_peak: Relative
    fresh_end: Relative
    fresh_loss: Paired | None

    @property
    def progress(self) -> float:
        """Of the peak."""
        return self.course.points[self.peak].progress

    @property
    def same(self) -> bool:
        """Whether the end still has the peak's program, or one that behaves the same."""
        return self.course.points[self.peak].behaviour == self.course.end.behaviour


def judged(course: Course, trained: Mapping[bytes, Trained]) -> Overfitted:
    """What the trainings say of a run.

    Args:
        course: of the run.
        trained: by behaviour; with a report for the warm start, the peak and the end.

    Raises:
        StudyError: the warm start failed.
    """
    scores = _scores(course, trained)
    peak = peak_of([score.score for score in scores])
    warm = trained[course.warm.behaviour].report
    fresh_peak, fresh_end = (
        relative(trained[point.behaviour].report, warm, course.run)
        for point in (course.points[peak], course.end)
    )
    return Overfitted(
        course=course,
        scores=scores,
        trained=tuple(trained[point.behaviour] for point in course.points),
        peak=peak,
        loss=lost(scores[peak], scores[-1]),
        fresh_peak=fresh_peak,
        fresh_end=fresh_end,
        fresh_loss=lost(fresh_peak, fresh_end),
    )


def _scores(course: Course, trained: Mapping[bytes, Trained]) -> tuple[Relative, ...]:
    warm = trained[course.warm.behaviour].metrics
    return tuple(relative(trained[point.behaviour].metrics, warm, course.run) for point in course.points)


def _peak(course: Course, trained: Mapping[bytes, Trained]) -> int:
    return peak_of([score.score for score in _scores(course, trained)])


# ---------------------------------------------------------------- many runs


@dataclass(frozen=True)
class Bin:
    """A part of progress.

    Attributes:
        begin: where it begins; a peak just there belongs to the bin before, but for 0.
        end: where it ends; a peak just there belongs to it.
        runs: how many peak in it.
        best: the lowest meta-validation score of their peaks; None without any.
    """

    begin: float
    end: float
    runs: int
    best: float | None


def histogram(found: Iterable[Overfitted], bins: int = BINS) -> tuple[Bin, ...]:
    """How many runs peak in each part of progress.

    Args:
        found: one for each run.
        bins: of equal width.
    """
    return binned([(one.progress, one.scores[one.peak].score) for one in found], bins)


def binned(peaks: Iterable[tuple[float, float]], bins: int) -> tuple[Bin, ...]:
    """The histogram of peaks, each the progress and the score there.

    >>> [b.runs for b in binned([(0.0, 1.0), (0.5, 0.9), (0.51, 0.8), (1.0, 0.7)], 2)]
    [2, 2]
    """
    scores: list[list[float]] = [[] for _ in range(bins)]
    for progress, score in peaks:
        place = math.ceil(progress * bins) - 1
        scores[min(max(place, 0), bins - 1)].append(score)
    return tuple(
        Bin(k / bins, (k + 1) / bins, len(of_bin), min(of_bin, default=None))
        for k, of_bin in enumerate(scores)
    )
