"""`evosearch tune`: tune optax's optimizers on tasks, and keep what was found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, number, print_error, print_json, printable
from evosearch.cli.study_view import (
    check_references,
    checked_plan,
    make_study_view,
    parse_knobs,
    study_pool,
    task_errors,
)
from evosearch.errors import StudyError
from evosearch.evaluation.references import REFERENCES
from evosearch.study.campaign import Campaign, open_pieces, run_campaign
from evosearch.study.ledger import Ledger
from evosearch.study.rivals import rivalries
from evosearch.study.trials import Trials
from evosearch.study.tuned import TunedRecord, place_of, read_tuned, shipped_file
from evosearch.study.tuning import Effort
from proxy_tasks import TASKS

OUT = Path("studies") / "tune"
FAILED = 1


def tune_command(
    tasks: Sequence[str],
    preset: str | None,
    knobs: Sequence[str],
    references: Sequence[str],
    repeats: int,
    settings: int,
    finalists: int,
    finalist_seeds: int,
    seeds: int,
    out: str | None,
    file: str | None,
    rivals: Sequence[str],
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Tune what the file does not hold yet, unless only `rivals` are asked for; 1 if it was stopped."""
    if rivals:
        check_references(rivals)
        return rivals_command(Path(file) if file else shipped_file(), tasks, rivals[0], rivals[1], as_json)
    check_references(references)
    setting = parse_knobs(preset, knobs)
    campaign = Campaign(
        tasks=tuple(checked_plan(name, setting) for name in tasks or TASKS),
        references=tuple(references or REFERENCES),
        repeats=repeats,
        effort=Effort(settings=settings, finalists=finalists, more=finalist_seeds),
        seeds=seeds,
    )
    path = Path(file) if file else shipped_file()
    console = make_console(stderr=as_json)
    left = open_pieces(campaign, read_tuned(path))
    console.print(
        f"{len(left)} of {len(campaign.tasks) * len(campaign.references) * repeats} records to make; "
        f"records: {printable(str(path))}; trainings: {printable(out or str(OUT))}",
        markup=False,
        soft_wrap=True,
    )
    if left and not _run(campaign, path, Path(out) if out else OUT, backend, workers, as_json):
        print_error("stopped; nothing is lost: give the same command again to go on")
        return FAILED
    places = {
        place_of(plan, r, n) for plan in campaign.tasks for r in campaign.references for n in range(repeats)
    }
    records = [record for record in read_tuned(path) if record.place in places]
    if as_json:
        print_json({"file": str(path), "records": [record.model_dump() for record in records]})
    else:
        show_records(console, records)
    return 0


def _run(
    campaign: Campaign, path: Path, out: Path, backend: str, workers: int | Literal["auto"], as_json: bool
) -> bool:
    """Whether it came to its end."""
    try:
        with (
            task_errors(),
            Ledger(out) as ledger,
            make_study_view(as_json) as view,
            study_pool(campaign.plan, backend, workers) as pool,
        ):
            for record in run_campaign(campaign, Trials(campaign.plan, pool, ledger, view), path):
                view.say(record_line(record))
    except KeyboardInterrupt:
        return False
    return True


def record_line(record: TunedRecord) -> str:
    """A record in one line."""
    settings = ", ".join(f"{name} {value:g}" for name, value in record.hyperparameters.items())
    edge = f"  at the edge: {', '.join(record.edge)}" if record.edge else ""
    failed = record.report.scores.count(None)
    return (
        f"{record.task}: {record.reference}, repeat {record.repeat + 1}: "
        f"{_mean(record)} ± {record.report.error or math.nan:.2g}"
        + (f" ({failed} failed)" if failed else "")
        + f"  {settings}{edge}"
    )


def _mean(record: TunedRecord) -> str:
    return number(math.inf if record.report.mean is None else record.report.mean)


def rivals_command(path: Path, tasks: Sequence[str], first: str, second: str, as_json: bool) -> int:
    """Say where one reference beats another, by the records at hand."""
    found = [r for r in rivalries(read_tuned(path), first, second) if not tasks or r.task in tasks]
    if not found:
        raise StudyError(f"{path}: expected records of {first} and {second} on the same task, found none")
    if as_json:
        print_json({"file": str(path), "first": first, "second": second, "tasks": [asdict(r) for r in found]})
        return 0
    rows: list[list[RenderableType]] = []
    for r in found:
        knobs = " ".join(f"{name}={value}" for name, value in r.knobs.items())
        style = "bold green" if r.established and r.difference < 0 else "bold red" if r.established else ""
        rows.append(
            [
                Text.assemble((r.task, "bold cyan"), f"\n{knobs}" if knobs else ""),
                " / ".join(number(mean) for mean in r.first),
                " / ".join(number(mean) for mean in r.second),
                Text(f"{r.difference:+.2g}", style),
                f"[{r.interval[0]:+.2g}, {r.interval[1]:+.2g}]",
                f"[{r.spread[0]:+.2g}, {r.spread[1]:+.2g}]",
                "-" if r.effect is None else f"{r.effect:+.2f}",
                f"{math.ceil(r.seeds)}" if math.isfinite(r.seeds) and r.seeds < 10_000 else "-",
                f"{r.seconds:.2f}",
                f"{r.signal:.2f}",
            ]
        )
    heads = [first, second, "difference", "95 % (seeds)", "range (tunings)", "effect", "seeds", "s", "signal"]
    console = make_console()
    console.print(
        make_table(f"{first} - {second} on fresh seeds; negative favours {first}", ["task", *heads], rows)
    )
    console.print(
        "effect: difference over its deviation on one seed; seeds: to see it by two standard errors; s: of a "
        "training; signal: effect for one second of training both. Coloured: all seeds and tunings agree.",
        soft_wrap=True,
    )
    return 0


NAME_WIDTH, CELL_WIDTH = 24, 10


def show_records(console: Console, records: Sequence[TunedRecord]) -> None:
    """Tables of the means on the report split: a row for each task, split where they get too wide."""
    references = [name for name in REFERENCES if any(r.reference == name for r in records)]
    each = max(1, (console.width - NAME_WIDTH) // CELL_WIDTH)
    for begin in range(0, len(references), each):
        console.print(means_table(records, references[begin : begin + each]))
    edges = [record_line(record) for record in records if record.edge]
    if edges:
        console.print(f"{len(edges)} optima lie at the edge of a grid; a better one may lie beyond:")
        for line in edges:
            console.print(Text("  " + line, "dim"), soft_wrap=True)


def means_table(records: Sequence[TunedRecord], references: Sequence[str]) -> RenderableType:
    """Mean metrics, a row for each task and a column for each reference."""
    tasks: dict[tuple[str, ...], list[TunedRecord]] = {}
    for record in records:
        tasks.setdefault(record.place[:2], []).append(record)
    rows: list[list[RenderableType]] = []
    for group in tasks.values():
        finite = [r.report.mean for r in group if r.report.mean is not None]
        best = min(finite, default=None)
        first = group[0]
        knobs = " ".join(f"{knob}={value}" for knob, value in first.knobs.items())
        cells: list[RenderableType] = [
            _cell([r for r in group if r.reference == n], best) for n in references
        ]
        rows.append([Text.assemble((first.task, "bold cyan"), f"\n{knobs}" if knobs else ""), *cells])
    title = "Mean metric on fresh seeds, lower is better; below it, by how much further tunings differ"
    return make_table(title, ["task", *references], rows)


def _cell(records: Sequence[TunedRecord], best: float | None) -> Text:
    if not records:
        return Text("-")
    first, *others = sorted(records, key=lambda record: record.repeat)
    cell = Text(_mean(first) + ("*" if first.edge else ""))
    if best is not None and any(record.report.mean == best for record in records):
        cell.stylize("bold green")
    for other in others:
        cell.append("\n" + _difference(other.report.mean, first.report.mean), "dim")
    return cell


def _difference(ours: float | None, other: float | None) -> str:
    if ours is None or other is None:
        return number(ours) if ours is not None else "failed"
    return f"{ours - other:+.2g}"
