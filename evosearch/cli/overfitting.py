"""`evosearch overfitting`: where along a search its best program stops getting better on a larger task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, number, print_error, print_json, printable
from evosearch.cli.overfitting_plots import draw_overfitting
from evosearch.cli.study_view import (
    check_plot,
    checked_plan,
    make_study_view,
    parse_knobs,
    study_pool,
    task_errors,
    task_facts,
)
from evosearch.errors import RunError, StudyError
from evosearch.funnel.overfitting import (
    Bin,
    Course,
    Overfitted,
    Relative,
    Study,
    course_of,
    histogram,
    measure,
)
from evosearch.funnel.verdict import TOO_WIDE
from evosearch.json_text import json_text
from evosearch.records import RunReader
from evosearch.records.files import write_atomically
from evosearch.runtime import processor
from evosearch.study.ledger import Ledger
from evosearch.study.statistics import Interval, Paired
from evosearch.study.trials import Trials, versions

FAILED = 1
SCHEMA = 1


def overfitting_command(
    names: Sequence[str],
    task: str,
    preset: str,
    knobs: Sequence[str],
    points: int,
    seeds: int,
    settings: int,
    out: str | None,
    plot: str | None,
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Study runs; 1 if it was stopped before the end.

    Args:
        names: folders of runs.
        task: the meta-validation task.
        preset: its size.
        knobs: `knob=value` of it.
        points: of progress, besides the warm start.
        seeds: fresh seeds to find the peak, and as many to report.
        settings: that are tried for each program; 0 leaves programs as they are.
        out: where trainings are kept; `studies/overfitting` if None.
        plot: a picture's name.
        backend: who computes.
        workers: how many.
        as_json: print plain data.
    """
    check_plot(plot)
    study = Study(checked_plan(task, parse_knobs(preset, knobs)), seeds, settings)
    courses = find_courses(names, points)
    folder = Path(out) if out else Path("studies") / "overfitting"
    try:
        plan = study.plan(courses)
        with (
            task_errors(),
            Ledger(folder) as ledger,
            make_study_view(as_json) as view,
            study_pool(plan, backend, workers) as pool,
        ):
            found = measure(study, courses, Trials(plan, pool, ledger, view))
    except KeyboardInterrupt:
        print_error(f"stopped; nothing is lost: give the same command again to go on with {folder}")
        return FAILED
    metric = study.task.build().metric
    if plot is not None:
        draw_overfitting(Path(plot), found, task, metric)
    result = result_of(study, found, [plot] if plot else [])
    path = folder / "result.json"
    write_atomically(path, json_text(result).encode())
    if as_json:
        print_json(result)
    else:
        show(make_console(), study, found, [*([plot] if plot else []), str(path)])
    return 0


# ---------------------------------------------------------------- what is asked for


def find_courses(names: Sequence[str], points: int) -> list[Course]:
    """Who was best along each of the runs that people named.

    Raises:
        RunError: there is no such run, or it can't be followed.
        StudyError: a run is named twice.
    """
    places: dict[Path, str] = {}
    courses = []
    for name in names:
        place = Path(name).resolve()
        if place in places:
            raise StudyError(f"{name} is named twice; name each run once")
        places[place] = name
        if not place.is_dir():
            raise RunError(f"{name} is no run: expected a run's folder, such as runs/quickstart")
        courses.append(course_of(RunReader(Path(name)), points))
    return courses


# ---------------------------------------------------------------- what is told


def result_of(study: Study, found: Sequence[Overfitted], pictures: Sequence[str]) -> dict[str, Any]:
    """All of it as plain data; numbers that are not finite stand for failures."""
    task = study.task.build()
    return {
        "schema": SCHEMA,
        "task": task_facts(study.task),
        "metric": task.metric,
        "seeds": study.seeds,
        "settings": study.settings,
        "runs": [_run_facts(one) for one in found],
        "histogram": [
            {"begin": part.begin, "end": part.end, "runs": part.runs, "best": part.best}
            for part in histogram(found)
        ],
        "pictures": list(pictures),
        "versions": versions(),
        "machine": processor(),
    }


def _run_facts(one: Overfitted) -> dict[str, Any]:
    rows = zip(one.course.points, one.scores, one.trained, strict=True)
    return {
        "run": one.course.run,
        "programs": one.course.end.programs,
        "points": [
            {
                "progress": point.progress,
                "programs": point.programs,
                "id": point.id,
                "search": point.search,
                "meta_validation": _relative_facts(score),
                "metrics": list(trained.metrics),
                "settings": dict(trained.values),
                "at_the_edge": list(trained.edge),
                "text": point.entrant.text,
            }
            for point, score, trained in rows
        ],
        "peak": one.peak,
        "peak_progress": one.progress,
        "peak_is_end": one.same,
        "loss": _paired_facts(one.loss),
        "report": {
            "peak": _relative_facts(one.fresh_peak),
            "end": _relative_facts(one.fresh_end),
            "loss": _paired_facts(one.fresh_loss),
        },
        "in_words": verdict(one),
    }


def _relative_facts(score: Relative) -> dict[str, Any]:
    return {"score": score.score, "interval": score.interval, "failed": score.failed}


def _paired_facts(found: Paired | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"difference": found.difference, "interval": found.interval, "pairs": found.pairs}


def show(console: Console, study: Study, found: Sequence[Overfitted], files: Sequence[str]) -> None:
    """A table and a few words for each run; of several the histogram."""
    task = study.task.build()
    size = dict(study.task.knobs).get("preset", "tiny")
    how = f"tuned with {study.settings} settings each" if study.settings else "programs as they are"
    console.print(
        f"Meta-validation: {task.metric} of {task.name} {size} after {task.steps:,} steps, "
        f"{study.seeds} fresh seeds, {how}. All relative to the warm start; lower is better.",
        markup=False,
        soft_wrap=True,
    )
    for one in found:
        console.print()
        console.print(run_table(one))
        console.print(Text(printable(verdict(one))), soft_wrap=True)
        edges = edge_line(one)
        if edges:
            console.print(Text(edges, "dim"), soft_wrap=True)
    if len(found) > 1:
        console.print()
        console.print(histogram_table(histogram(found), len(found)))
    console.print(f"Written: {printable(', '.join(files))}", markup=False, soft_wrap=True)


def run_table(one: Overfitted) -> RenderableType:
    """Points of progress, the peak marked."""
    cells: list[list[RenderableType]] = []
    for place, (point, score) in enumerate(zip(one.course.points, one.scores, strict=True)):
        style = "bold green" if place == one.peak else ""
        cells.append(
            [
                Text(f"{100 * point.progress:.3g} %", style),
                f"{point.programs:,}",
                "warm start" if point.id is None else str(point.id),
                number(point.search),
                Text(score_text(score, len(one.trained[place].metrics)), style),
                interval_text(score.interval),
                Text("< peak" if place == one.peak else "", style),
            ]
        )
    columns = ["progress", "programs", "best so far", "search", "meta-validation", "95 % interval", ""]
    return make_table(f"{printable(one.course.run)}: relative to its warm start", columns, cells, left=0)


def score_text(score: Relative, seeds: int) -> str:
    """A relative score for a table.

    >>> score_text(Relative(0.91, (0.9, 0.92), 0, (0.9, 0.92)), 2)
    '0.9100'
    """
    return f"failed on {score.failed} of {seeds} seeds" if score.failed else number(score.score)


def interval_text(interval: Interval | None) -> str:
    """An interval for a table.

    >>> interval_text((0.9, 1.0))
    '[0.9000, 1.000]'
    """
    if interval is None:
        return ""
    low, high = interval
    return "too wide" if high - low > TOO_WIDE else f"[{number(low)}, {number(high)}]"


def verdict(one: Overfitted) -> str:
    """What a study says of a run, in words: the peak, what is lost after it, and how sure that is."""
    point = one.course.points[one.peak]
    who = "the warm start itself" if point.id is None else f"program {point.id}"
    seeds = len(one.trained[0].metrics)
    text = f"{one.course.run}: lowest at {100 * one.progress:.3g} % of the search ({who})"
    if point.id is not None:
        fresh = f"{score_text(one.fresh_peak, seeds)} {interval_text(one.fresh_peak.interval)}".rstrip()
        text += f": {number(one.scores[one.peak].score)}; on fresh seeds and the report split {fresh}"
    if one.same:
        return f"{text}. The end of the search still has that program: no meta-overfitting seen."
    if one.loss is None:
        text += f". On the seeds that picked the peak the end {score_text(one.scores[-1], seeds)}; "
    else:
        text += (
            f". From there to the end {paired_text(one.loss)} is lost on the seeds that picked the peak, "
            "which is too much on average; "
        )
    return text + f"on fresh ones {_fresh_text(one, seeds)}."


def _fresh_text(one: Overfitted, seeds: int) -> str:
    """What is lost where nothing was picked, and what follows."""
    if one.fresh_loss is not None:
        low, high = one.fresh_loss.interval
        sure = (
            "it meta-overfits"
            if low > 0
            else "no meta-overfitting, the end is better"
            if high < 0
            else "no meta-overfitting shown, the interval holds 0"
        )
        return f"{paired_text(one.fresh_loss)}: {sure}"
    if one.fresh_peak.failed:
        return f"the peak {score_text(one.fresh_peak, seeds)}: nothing can be told"
    sure = "it meta-overfits" if one.loss is None else "nothing can be told"
    return f"the end {score_text(one.fresh_end, seeds)}: {sure}"


def paired_text(found: Paired) -> str:
    """A difference in percent of the warm start's mean metric, with its interval.

    >>> paired_text(Paired(0.012, (-0.001, 0.025), 1.0, 8))
    '+1.20 % [-0.10, +2.50]'
    """
    low, high = found.interval
    return f"{100 * found.difference:+.2f} % [{100 * low:+.2f}, {100 * high:+.2f}]"


def edge_line(one: Overfitted) -> str:
    """Which programs were tuned to the end of a grid, so that a better setting may lie beyond."""
    ids = dict.fromkeys(
        "the warm start" if point.id is None else str(point.id)
        for point, trained in zip(one.course.points, one.trained, strict=True)
        if trained.edge
    )
    return f"Tuned to the end of a grid, a better setting may lie beyond: {', '.join(ids)}." if ids else ""


def histogram_table(bins: Sequence[Bin], runs: int) -> RenderableType:
    """How many runs peak in each part of progress, and the best score of those."""
    cells = [
        [
            f"{100 * part.begin:.0f} % to {100 * part.end:.0f} %",
            str(part.runs),
            "" if part.best is None else number(part.best),
        ]
        for part in bins
    ]
    return make_table(
        f"Where {runs} runs peak", ["progress of the peak", "runs", "lowest meta-validation"], cells
    )
