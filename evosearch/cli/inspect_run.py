"""`evosearch inspect RUN` and `RUN:ID`: what is told, as plain data and as text for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evosearch.cli import inspect_tables as tables
from evosearch.cli.console import percent, printable
from evosearch.cli.curves import Page, draw_curves
from evosearch.cli.inspect_facts import Inspected
from evosearch.cli.inspect_parts import OVERVIEW
from evosearch.errors import ProgramError, RunError
from evosearch.inspection.mutations import Effect, KindStatistics

View = tuple[Callable[[Inspected], Any], Callable[[Inspected], RenderableType]]

VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "best": (lambda it: [one.to_json() for one in it.best], tables.show_best),
        "lineage": (lambda it: it.lineage.to_json(), tables.show_lineage),
        "diff": (lambda it: it.lineage.diff(), tables.show_diff),
        "ideas": (lambda it: [asdict(idea) for idea in it.ideas], tables.show_ideas),
        "mutations": (lambda it: it.mutations.to_json(), tables.show_mutations),
        "primitives": (lambda it: [asdict(use) for use in it.primitives], tables.show_primitives),
        "outcomes": (lambda it: it.outcomes.to_json(), tables.show_outcomes),
        "curves": (lambda it: it.curves.tenths, tables.show_curves),
    }
)
"""For each row of `PARTS`, how it is told: as plain data, and as text."""


def run_facts(it: Inspected, parts: Sequence[str]) -> dict[str, Any]:
    """The parts as plain data; without parts, all that the overview tells of."""
    history = it.history
    facts = {
        "run": str(it.run.path),
        "programs": len(history),
        "different": history.different,
        "warm_start_score": history.warm_score,
        "summary": it.run.summary,
        "read_only": it.foreign or None,
    }
    with _explained(it):
        return {**facts, **{part: VIEWS[part][0](it) for part in parts or _answerable(it)}}


def _answerable(it: Inspected) -> list[str]:
    """What the overview can tell of this run; asked for by name, the rest is an error that says why."""
    missing = set[str]()
    if not it.trained or it.foreign:
        missing |= {"lineage", "primitives"}
    if it.history.warm_start is None:
        missing |= {"mutations"}
    return [part for part in OVERVIEW if part not in missing]


def show_parts(console: Console, it: Inspected, parts: Sequence[str]) -> None:
    """The parts as text."""
    for place, part in enumerate(parts):
        if place:
            console.print()
        with _explained(it):
            console.print(VIEWS[part][1](it))


@contextmanager
def _explained(it: Inspected) -> Iterator[None]:
    """Say of what can't be told of a run of another vocabulary that this is why."""
    try:
        yield
    except (ProgramError, RunError) as error:
        if not it.foreign:
            raise
        raise RunError(f"{it.run.path} is {it.foreign} ({error})") from error


def show_overview(console: Console, runs: Sequence[Inspected]) -> None:
    """Of each run the best programs and the rest in short; the curves of all side by side."""
    for it in runs:
        console.print(tables.show_best(it))
        console.print(in_short(it))
    if any(it.curves.tenths for it in runs):
        names = [str(it.run.path) for it in runs]
        console.print(tables.curves_table(names, [it.curves for it in runs]))


def draw_runs(path: str, runs: Sequence[Inspected]) -> None:
    """Draw the runs on one page."""
    pages = {
        str(it.run.path): Page(
            curves=it.curves,
            mutations=None if it.history.warm_start is None else it.mutations,
            lineage=it.lineage
            if it.trained and it.history.warm_start is not None and not it.foreign
            else None,
            warm_score=it.history.warm_score,
        )
        for it in runs
    }
    draw_curves(Path(path), pages, tables.PAPER)


# ---------------------------------------------------------------------------------------- in a line each


def in_short(it: Inspected) -> RenderableType:
    """A run's other answers, a line each, after the option that tells more."""
    lines = [_outcomes_line(it)]
    if it.history.warm_start is not None:
        lines.append(_mutations_line(it.mutations.total))
    if it.foreign:
        lines.append(("read-only", it.foreign))
    elif it.trained:
        lines += [_lineage_line(it), _primitives_line(it)]
    grid = Table.grid(padding=(0, 2))
    for option, said in lines:
        grid.add_row(Text(option, "bold"), Text(printable(said)))
    return Group(grid, Text(""))


def _outcomes_line(it: Inspected) -> tuple[str, str]:
    found = it.outcomes
    said = ", ".join(f"{percent(row.share)} {row.reason}" for row in found.reasons)
    return "--outcomes", f"{found.total.evaluations:,} evaluations: {said}"


def _mutations_line(total: KindStatistics) -> tuple[str, str]:
    said = ", ".join(
        f"{tables.share_text(total.effects[e.name], total.programs)} {e.name.lower()}" for e in Effect
    )
    return "--mutations", f"{said}; {tables.share_text(total.accepted, total.programs)} became parents"


def _lineage_line(it: Inspected) -> tuple[str, str]:
    found = it.lineage
    said = f"{len(found.steps):,} steps from the warm start to {found.id}, {len(found.mattered):,} mattered"
    steps = [step for step in found.mattered if step.difference is not None]
    if steps:
        most = min(steps, key=lambda step: step.difference or 0.0)
        change = tables.change_text(most.before, most.after).plain.replace("\n", "  ")
        said += f", most of all {most.id}: {change}  ({tables.signed(most.difference)})"
    return "--lineage", said


def _primitives_line(it: Inspected) -> tuple[str, str]:
    used = [use.name for use in it.primitives if use.good >= 0.5]
    new = [use.name for use in it.primitives if use.good >= 0.1 and use.warm_start is False]
    said = f"most of the best use {', '.join(used) or 'none in common'}"
    return "--primitives", said + (f"; not from the warm start: {', '.join(new)}" if new else "")
