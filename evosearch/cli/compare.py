"""`evosearch compare`: optimizers side by side on a task, tuned alike and judged on fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.cli.console import (
    make_console,
    make_table,
    number,
    percent,
    print_error,
    print_json,
    printable,
)
from evosearch.cli.find import find_program
from evosearch.cli.study_plots import draw_batches, draw_comparison, draw_sweeps
from evosearch.cli.study_view import (
    check_plot,
    check_references,
    checked_plan,
    make_study_view,
    parse_knobs,
    study_pool,
    task_errors,
    task_facts,
)
from evosearch.errors import ConfigError, ProgramError, StudyError
from evosearch.evaluation.cost import seconds_per_step, shapes_of, state_bytes
from evosearch.evaluation.references import PREFIX, REFERENCES
from evosearch.json_text import json_text
from evosearch.language import analyze
from evosearch.records.files import write_atomically
from evosearch.runtime import processor
from evosearch.study.comparison import (
    BATCHES,
    WITHIN,
    BatchPoint,
    Comparison,
    Contender,
    Raced,
    Standing,
    candidate_of,
    comparison_works,
    standings,
)
from evosearch.study.ledger import Ledger
from evosearch.study.trials import Trials, versions
from evosearch.study.tuned import read_tuned, shipped_file
from evosearch.study.tuning import Effort

FAILED = 1
SWEEPS = ("lr,wd", "batch")


def compare_command(
    names: Sequence[str],
    task: str,
    preset: str | None,
    knobs: Sequence[str],
    seeds: int,
    baseline: str,
    settings: int,
    sweeps: Sequence[str],
    out: str | None,
    plot: str | None,
    file: str | None,
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Compare; 1 if it was stopped before the end."""
    comparison = Comparison(
        task=checked_plan(task, parse_knobs(preset, knobs)),
        contenders=find_contenders(names, baseline),
        effort=Effort(settings=settings) if settings else None,
        seeds=seeds,
        sweep_lr="lr,wd" in sweeps,
        batches=BATCHES if "batch" in sweeps else (),
    )
    _check(comparison, plot)
    if file is not None and not Path(file).is_file():
        raise ConfigError(f"--file {file}: there is no such file")
    folder = Path(out) if out else Path("studies") / f"compare-{task}"
    found = _run(comparison, folder, Path(file) if file else shipped_file(), backend, workers, as_json)
    if found is None:
        print_error("stopped; nothing is lost: give the same command again to go on")
        return FAILED
    raced, points = found
    rows = _rows(comparison, raced)
    pictures = _draw(comparison, raced, rows, points, folder, plot)
    result = _result(comparison, raced, rows, points, pictures)
    path = folder / "result.json"
    write_atomically(path, json_text(result).encode())
    if as_json:
        print_json(result)
    else:
        _show(make_console(), comparison, raced, rows, points, [*pictures, str(path)])
    return 0


# ---------------------------------------------------------------- what is asked for


def find_contenders(names: Sequence[str], baseline: str) -> tuple[Contender, ...]:
    """The contenders that people named, the baseline first.

    Raises:
        ProgramError, RunError, StudyError: there is no such thing, it is invalid, or named twice.
    """
    for name in names:
        if list(names).count(name) > 1:
            raise StudyError(f"{name} is named twice")
    return tuple(find_contender(name) for name in dict.fromkeys([baseline, *names]))


def find_contender(text: str) -> Contender:
    """A program, or `optax:NAME`."""
    if text.startswith(PREFIX):
        name = text.removeprefix(PREFIX)
        check_references([name])
        return Contender(text, reference=name)
    try:
        found = find_program(text)
    except ProgramError:
        if text in REFERENCES:
            raise StudyError(f"{text!r} is no program; optax's optimizer is named {PREFIX}{text}") from None
        raise
    refusal = analyze(found.program.statements).refusal
    if refusal is not None:
        raise ProgramError(f"{text} is no valid program: {refusal.reason}")
    return Contender(text, statements=found.program.statements)


def _check(comparison: Comparison, plot: str | None) -> None:
    """Mistakes that would show only after hours."""
    with task_errors():
        for plan in comparison.plan.tasks:
            plan.build()
    check_plot(plot)


# ---------------------------------------------------------------- running


def _run(
    comparison: Comparison,
    folder: Path,
    file: Path,
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> tuple[list[Raced], list[BatchPoint]] | None:
    """What the trainings gave, in the order of the contenders; None if somebody stopped them."""
    works = comparison_works(comparison, read_tuned(file))
    places = {work.label: place for place, work in enumerate(works)}
    done: dict[int, Raced | BatchPoint] = {}
    try:
        with (
            task_errors(),
            Ledger(folder) as ledger,
            make_study_view(as_json) as view,
            study_pool(comparison.plan, backend, workers) as pool,
        ):
            for work, result in Trials(comparison.plan, pool, ledger, view).run(works):
                done[places[work.label]] = result
    except KeyboardInterrupt:
        return None
    results = [done[place] for place in range(len(works))]
    raced = [result for result in results if isinstance(result, Raced)]
    return raced, [result for result in results if isinstance(result, BatchPoint)]


def _rows(comparison: Comparison, raced: Sequence[Raced]) -> list[Standing]:
    """Standings, with the costs measured here and now that no worker is busy any more."""
    candidates = [candidate_of(one) for one in raced]
    shapes = shapes_of(comparison.task.build())
    state = [state_bytes(candidate, shapes) for candidate in candidates]
    return standings(raced, comparison.steps, state, seconds_per_step(comparison.task, candidates))


def _draw(
    comparison: Comparison,
    raced: Sequence[Raced],
    rows: Sequence[Standing],
    points: Sequence[BatchPoint],
    folder: Path,
    plot: str | None,
) -> list[str]:
    """Draw what was asked for; the pictures' names."""
    metric = comparison.task.build().metric
    pictures = []
    if plot is not None:
        draw_comparison(Path(plot), raced, rows, comparison.steps, metric)
        pictures.append(plot)
    sweeps = [(one.contender.name, one.sweep) for one in raced if one.sweep is not None]
    if sweeps:
        pictures.append(str(folder / "sweep-lr-wd.png"))
        draw_sweeps(Path(pictures[-1]), sweeps, metric)
    if points:
        pictures.append(str(folder / "sweep-batch.png"))
        draw_batches(Path(pictures[-1]), points, metric, comparison.effort is not None)
    return pictures


# ---------------------------------------------------------------- what is told


def _result(
    comparison: Comparison,
    raced: Sequence[Raced],
    rows: Sequence[Standing],
    points: Sequence[BatchPoint],
    pictures: Sequence[str],
) -> dict[str, Any]:
    """All of it as plain data."""
    task = comparison.task.build()
    return {
        "task": task_facts(comparison.task),
        "metric": task.metric,
        "baseline": rows[0].name,
        "settings": comparison.effort.settings if comparison.effort else 0,
        "seeds": comparison.seeds,
        "contenders": [asdict(row) for row in rows],
        "sweep_lr_wd": {one.contender.name: asdict(one.sweep) for one in raced if one.sweep},
        "sweep_batch": [
            {
                "name": point.contender.name,
                "batch": point.batch,
                "mean": asdict(point.mean),
                "scores": point.scores,
                "settings": point.chosen.settings,
                "source": point.chosen.source,
            }
            for point in points
        ],
        "pictures": list(pictures),
        "versions": versions(),
        "machine": processor(),
    }


def _show(
    console: Console,
    comparison: Comparison,
    raced: Sequence[Raced],
    rows: Sequence[Standing],
    points: Sequence[BatchPoint],
    files: Sequence[str],
) -> None:
    task = comparison.task.build()
    console.print(scores_table(rows, f"{task.name}: {task.metric} on {comparison.seeds} fresh seeds"))
    console.print(cost_table(rows))
    for row in rows:
        console.print(Text(settings_line(row), "dim"), soft_wrap=True)
    for line in verdicts(rows):
        console.print(line, markup=False)
    if any(one.sweep for one in raced):
        console.print(sweep_table(raced))
    if points:
        console.print(batch_table(points))
    console.print(f"Written: {printable(', '.join(files))}", markup=False, soft_wrap=True)


def interval_text(interval: tuple[float, float] | None, signed: bool = False) -> str:
    """An interval for a table."""
    if interval is None:
        return ""
    low, high = (f"{x:+.3g}" if signed else f"{x:.4g}" for x in interval)
    return f"[{low}, {high}]"


def scores_table(rows: Sequence[Standing], title: str) -> RenderableType:
    """Metrics, and differences to the baseline."""
    cells: list[list[RenderableType]] = []
    best = min(row.mean.mean for row in rows)
    for row in rows:
        difference = row.difference
        failed = f" ({row.mean.failed} failed)" if row.mean.failed else ""
        cells.append(
            [
                Text(row.name, "bold green" if row.mean.mean == best and not failed else ""),
                f"{row.settings:,}" + ("*" if row.edge else ""),
                number(row.mean.mean) + failed,
                interval_text(row.mean.interval),
                f"{difference.difference:+.3g}" if difference else "",
                interval_text(difference.interval, signed=True) if difference else "",
            ]
        )
    columns = ["", "tried", "mean", "95 % interval", "difference", "95 % interval"]
    return make_table(f"{title}, lower is better; difference to {rows[0].name}", columns, cells)


def cost_table(rows: Sequence[Standing]) -> RenderableType:
    """Steps to where the baseline ends, memory, time."""
    cells: list[list[RenderableType]] = []
    for row in rows:
        speed = row.speed
        cells.append(
            [
                row.name,
                "-" if speed is None else "never" if speed.steps is None else f"{speed.steps:.0f}",
                f"{speed.speed_up:.2f} x" if speed and speed.steps else "-",
                interval_text(speed.interval) if speed else "",
                f"{row.state_bytes:.3g}",
                "-" if row.microseconds is None else f"{row.microseconds:.1f}",
                "-" if row.ratio is None else f"{row.ratio:.2f}",
            ]
        )
    columns = ["", "steps", "speed-up", "95 % interval", "B/weight", "us/step", "ratio"]
    title = f"Steps to the metric that {rows[0].name} ends with; bytes of state; time of a step"
    return make_table(title, columns, cells)


def settings_line(row: Standing) -> str:
    """A contender's setting; betas as people write them."""
    settings = ", ".join(
        f"{name.removeprefix('one_minus_')} {1 - value if name.startswith('one_minus_') else value:.4g}"
        for name, value in row.hyperparameters.items()
    )
    edge = f"; *at the end of its grid: {', '.join(row.edge)}" if row.edge else ""
    return f"{row.name}: {settings} ({row.source}{edge})"


def verdicts(rows: Sequence[Standing]) -> list[str]:
    """What the comparison says, in words."""
    baseline = rows[0]
    lines = []
    for row in rows[1:]:
        if row.difference is None:
            lines.append(f"{row.name} can't be compared with {baseline.name}: too few seeds trained.")
            continue
        low, high = row.difference.interval
        sure = (
            "better than"
            if high < 0
            else "worse than"
            if low > 0
            else "no different within the interval from"
        )
        both = (
            ""
            if row.difference.pairs == len(row.scores)
            else f" on the {row.difference.pairs} seeds where both train"
        )
        lines.append(f"{row.name} is {sure} {baseline.name}{both}.")
    return lines


def sweep_table(raced: Sequence[Raced]) -> RenderableType:
    """The best cell of each sweep, and how many are nearly as good."""
    cells: list[list[RenderableType]] = []
    for one in raced:
        sweep = one.sweep
        if sweep is None:
            continue
        row, column = sweep.best or (0, 0)
        tuned_row, tuned_column = sweep.tuned
        cells.append(
            [
                one.contender.name,
                number(sweep.metrics[row][column]) if sweep.best else "failed",
                f"{sweep.columns[column]:.3g}" if sweep.best else "-",
                f"{sweep.rows[row]:.3g}" if sweep.best else "-",
                number(sweep.metrics[tuned_row][tuned_column]),
                percent(sweep.good),
            ]
        )
    columns = [
        "",
        "best cell",
        "lr or factor",
        "decay",
        "tuned cell",
        f"within {100 * WITHIN:.0f} % of the best",
    ]
    return make_table("Learning rate and weight decay around the tuned setting", columns, cells)


def batch_table(points: Sequence[BatchPoint]) -> RenderableType:
    """Mean metrics, a row for each batch size."""
    names = list(dict.fromkeys(point.contender.name for point in points))
    cells: list[list[RenderableType]] = []
    for batch in dict.fromkeys(point.batch for point in points):
        row: list[RenderableType] = [str(batch)]
        for name in names:
            (point,) = (p for p in points if p.batch == batch and p.contender.name == name)
            error = "" if math.isnan(point.mean.error) else f" ± {point.mean.error:.2g}"
            row.append(number(point.mean.mean) + error)
        cells.append(row)
    return make_table("Batch sizes: mean metric and its standard error", ["batch", *names], cells)
