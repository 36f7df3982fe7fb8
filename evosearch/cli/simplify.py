"""`evosearch simplify`: from a raw program to one that a person would have written, each step named."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from evosearch.cli.console import (
    make_console,
    make_table,
    print_error,
    print_json,
    printable,
    program_syntax,
    recognition_line,
)
from evosearch.cli.find import find, program_in
from evosearch.cli.study_view import checked_plan, make_study_view, parse_knobs, study_pool, task_errors
from evosearch.errors import ConfigError, ProgramError, RunError, nearest
from evosearch.evaluation import TaskPlan
from evosearch.language import Program, analyze, program_text
from evosearch.records import RunReader
from evosearch.records.files import write_atomically
from evosearch.search.run import run_config
from evosearch.simplify import PARTS, Stage, recognise
from evosearch.simplify.normal_form import WRITTEN_ANEW
from evosearch.simplify.stages import STAGES
from evosearch.simplify.step import Statements
from evosearch.study.ablation import Ablated, ablation_work, told
from evosearch.study.ablation_evolution import evolution_work
from evosearch.study.ledger import Ledger
from evosearch.study.no_worse import DEFAULT_TASKS, Ablation
from evosearch.study.rounding import rounding_work
from evosearch.study.trials import Trials, Work

METHODS = ("removals", "evolution")
FAILED = 1
WIDTH = 90
"""Characters of a step's before and after in the table; `--json` has them whole."""


REORDERING = ("commutes", "associates", "associates, backwards", WRITTEN_ANEW)
"""Rules that only change the order of operands: told in one line."""


@dataclass(frozen=True)
class Subject:
    """What is to be simplified.

    Attributes:
        name: as people call it.
        program: valid.
        run: that it comes from, or None.
    """

    name: str
    program: Program
    run: RunReader | None = None


@dataclass(frozen=True)
class Measuring:
    """How the measured parts are done; see `Ablation`.

    Attributes:
        ablation: tasks, margin, confidence, seeds and budget.
        method: one of `METHODS`.
        digits: that constants keep at least.
        out: where trainings are kept.
        backend: who computes.
        workers: how many.
    """

    ablation: Ablation
    method: str
    digits: int
    out: Path
    backend: str
    workers: int | Literal["auto"]


def simplify_command(
    what: str,
    parts: Sequence[str],
    without: Sequence[str],
    tasks: Sequence[str],
    preset: str | None,
    knobs: Sequence[str],
    margin: float,
    confidence: float,
    seeds: int,
    digits: int,
    budget: int,
    method: str,
    output: str | None,
    out: str | None,
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Simplify; 1 if it was stopped before the end."""
    chosen = _chosen(parts, without)
    subject = find_subject(what)
    if output is not None and Path(output).exists():
        raise ConfigError(f"-o {output} exists already: choose another name, or remove it")
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise ConfigError(f"-o {output}: there is no folder {Path(output).parent}")
    plans = tuple(checked_plan(name, parse_knobs(preset, knobs)) for name in tasks)
    measuring = Measuring(
        Ablation(
            plans or _tasks_of(subject, chosen, parse_knobs(preset, knobs)),
            margin=margin,
            confidence=confidence,
            most=seeds,
            budget=budget,
        ),
        method,
        digits,
        Path(out) if out else Path("studies") / "simplify",
        backend,
        workers,
    )
    stages = _stages(subject, chosen, measuring, as_json)
    if stages is None:
        print_error("stopped; nothing is lost: give the same command again to go on")
        return FAILED
    simple = stages[-1].after if stages else subject.program.statements
    if output is not None:
        write_atomically(Path(output), program_text(simple).encode())
    if as_json:
        print_json(facts(subject, stages, simple))
    else:
        show(make_console(), subject, stages, simple, output)
    return 0


# ---------------------------------------------------------------- what is asked for


def _chosen(parts: Sequence[str], without: Sequence[str]) -> list[str]:
    for part in [*parts, *without]:
        if part not in PARTS:
            raise ConfigError(f"unknown part {part!r}{nearest(part, PARTS)} (known: {', '.join(PARTS)})")
    chosen = [part for part in PARTS if part in (parts or PARTS) and part not in without]
    if not chosen:
        raise ConfigError("no part of the simplifier is left to do; leave out --parts or --without")
    return chosen


def find_subject(text: str) -> Subject:
    """The program, or a run's best one, with the run's tasks.

    Raises:
        ProgramError, RunError: there is none, or it is not valid.
    """
    found = find(text)
    if isinstance(found, RunReader):
        best = found.best(1)
        if not best:
            raise RunError(f"no program of {found.path} has trained to the end, so there is none to simplify")
        return Subject(f"{found.path}:{best[0].id}", program_in(found, best[0].id), found)
    refusal = analyze(found.program.statements).refusal
    if refusal is not None:
        raise ProgramError(f"{found.name} is no valid program: {refusal.reason}")
    folder, colon, number = text.rpartition(":")
    run = RunReader(folder) if colon and number.isdigit() and Path(folder).is_dir() else None
    return Subject(found.name, found.program, run)


def _tasks_of(subject: Subject, chosen: Sequence[str], knobs: Knobs) -> tuple[TaskPlan, ...]:
    """Where it is measured if nobody says: on its run's own tasks, or on the default ones."""
    if subject.run is not None and set(chosen) - set(STAGES):
        tasks = run_config(subject.run).plan().tasks
        for path in sorted({str(p) for task in tasks if (p := dict(task.knobs).get("path")) is not None}):
            line = printable(f"the run's own tasks train on the data in {path}")
            make_console(stderr=True).print(line, soft_wrap=True)
        return tasks
    return tuple(checked_plan(task.name, knobs) for task in DEFAULT_TASKS)


Knobs = tuple[tuple[str, Any], ...]


# ---------------------------------------------------------------- doing it


def _stages(
    subject: Subject, chosen: Sequence[str], measuring: Measuring, as_json: bool
) -> list[Stage] | None:
    """What each part did; None if somebody stopped it."""
    stages: list[Stage] = []
    for part in chosen:
        before = stages[-1].after if stages else subject.program.statements
        if part in STAGES:
            stages.append(STAGES[part](before))
            continue
        measured = _measured(part, subject.program.statements, before, measuring, as_json)
        if measured is None:
            return None
        stages.append(measured)
    return stages


def _measured(
    part: str, original: Statements, before: Statements, measuring: Measuring, as_json: bool
) -> Stage | None:
    ablation = measuring.ablation
    plan = ablation.plan(original)
    try:
        with (
            task_errors(),
            Ledger(measuring.out) as ledger,
            make_study_view(as_json) as view,
            study_pool(plan, measuring.backend, measuring.workers) as pool,
        ):
            work = _work(part, original, before, measuring)
            ((_, ablated),) = Trials(plan, pool, ledger, view).run([work])
    except KeyboardInterrupt:
        return None
    return _told(ablated, ablation)


def _work(part: str, original: Statements, before: Statements, measuring: Measuring) -> Work[Ablated]:
    if part == "constants":
        return rounding_work(original, before, measuring.ablation, measuring.digits)
    if measuring.method == "evolution":
        return evolution_work(before, measuring.ablation, random.Random(0))
    return ablation_work(before, measuring.ablation)


def _told(ablated: Ablated, ablation: Ablation) -> Stage:
    """What a measured part did, with what it was measured by."""
    stage = ablated.stage
    promise = (
        f"; with {ablation.confidence:.0%} confidence all together lose less than {100 * ablation.margin:g} %"
    )
    measured = (
        f"{ablated.trainings:,} trainings on {ablation.names}: {len(ablated.tried)} changes tried, "
        f"{len(ablated.steps)} taken{promise if ablated.steps else ''}"
    )
    confirmed = ablated.confirmed
    fresh = (
        [] if confirmed is None else [f"confirmed on fresh seeds and other data: {told(ablation, confirmed)}"]
    )
    return replace(stage, notes=(measured, *fresh, *stage.notes))


# ---------------------------------------------------------------- showing it


def facts(subject: Subject, stages: Sequence[Stage], simple: Statements) -> dict[str, Any]:
    """Everything as plain data."""
    known = recognise(simple)
    return {
        "program": subject.name,
        "text": program_text(simple),
        "statements": len(simple),
        "state": list(analyze(simple).state),
        "recognised": None if known is None else known.to_json(),
        "steps": [
            {
                "part": step.part,
                "rule": step.rule,
                "before": step.before,
                "after": step.after,
                "reason": step.reason,
                "exactness": step.exactness.value,
            }
            for stage in stages
            for step in stage.steps
        ],
        "stages": [
            {
                "part": stage.part,
                "statements_before": len(stage.before),
                "statements": len(stage.after),
                "text": program_text(stage.after),
                "notes": list(stage.notes),
            }
            for stage in stages
        ],
    }


def show(
    console: Console, subject: Subject, stages: Sequence[Stage], simple: Statements, output: str | None
) -> None:
    """A table for each part, and the program in the end."""
    for stage in stages:
        console.print(stage_table(stage))
    panel = Panel(
        program_syntax(program_text(simple)),
        title=Text(f"{printable(subject.name)}, simplified: {len(simple)} statements"),
        title_align="left",
        border_style="green",
    )
    console.print(panel)
    known = recognise(simple)
    if known is not None:
        console.print(recognition_line(known))
    if output is not None:
        console.print(f"The program is in {printable(output)}", markup=False)


def stage_table(stage: Stage) -> RenderableType:
    """One part: its steps, and what else there is to say."""
    rows: list[list[RenderableType]] = [
        [
            Text(step.rule, "cyan"),
            Text(_short(step.before)),
            Text(_short(step.after)),
            Text(step.exactness.value, "dim"),
            Text(step.reason, "dim"),
        ]
        for step in stage.steps
        if not step.rule.endswith(REORDERING)
    ]
    count = f"{len(stage.before)} statements -> {len(stage.after)}"
    title = f"{stage.part}: {count}" if stage.steps else f"{stage.part}: nothing changed"
    table = (
        make_table(title, ["step", "before", "after", "holds", "why"], rows, left=5)
        if rows
        else Text(title, "bold")
    )
    reordered = [step.rule for step in stage.steps if step.rule.endswith(REORDERING)]
    notes = [*stage.notes, *([f"operands were reordered: {', '.join(reordered)}"] if reordered else [])]
    return Group(table, *(Text(f"  {note}", "dim") for note in notes), Text())


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= WIDTH else shown[: WIDTH - 3] + "..."
