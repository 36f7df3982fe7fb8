"""What `evosearch inspect` shows of a run, a table for each question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from evosearch.cli.console import (
    duration,
    make_table,
    number,
    percent,
    printable,
    program_syntax,
    recognition_line,
)
from evosearch.cli.inspect_facts import Inspected
from evosearch.evolution.engine import WARM_START
from evosearch.inspection import Curves, Step
from evosearch.inspection.mutations import Effect
from evosearch.inspection.primitives_used import GOOD
from evosearch.simplify import known_as

PAPER = {"cache_hits": 0.891, "redundancy": 0.698}
"""Measured late in the published search, over five runs (arXiv 2302.06675)."""

SCORE = 5
"""Significant digits of scores."""


def signed(value: float | None) -> str:
    """A difference for a table, four digits at most."""
    return "" if value is None else f"{value:+.4g}"


def _score(value: float) -> str:
    return "" if value != value else number(value, SCORE)


def _id(id: int) -> str:
    return "start" if id == WARM_START else str(id)


# ---------------------------------------------------------------------------------------- one program


def change_text(before: str, after: str) -> Text:
    """A mutation: what was taken out in red, what came in in green."""
    text = Text()
    if before:
        text.append(f"- {printable(before)}", "red")
    if before and after:
        text.append("\n")
    if after:
        text.append(f"+ {printable(after)}", "green")
    return text


def _step_effect(step: Step) -> str:
    if not step.changed:
        return "dormant" if step.stays else "neutral"
    return signed(step.difference)


def show_lineage(it: Inspected) -> RenderableType:
    """The steps to a program; those that did not matter only if asked."""
    found = it.lineage
    shown = found.steps if it.all_steps else found.mattered
    rows: list[list[RenderableType]] = []
    if found.start is not None:
        rows.append([_id(WARM_START), Text("", "dim"), "", _score(found.start_score), "", ""])
    for step in shown:
        live = f"{step.live_statements} of {step.statements}"
        change = change_text(step.before, step.after)
        stays = Text("stays", "green") if step.stays else ""
        rows.append([str(step.id), change, stays, _score(step.score), _step_effect(step), live])
    title = f"{it.name}: {len(found.steps):,} steps from the warm start, {len(found.mattered):,} mattered"
    notes = ["stays: what the step wrote stands in the live code of the program."]
    if any(step.stays and not step.changed for step in shown):
        notes.append("dormant: it was dead code when it was written and came to life later.")
    hidden = len(found.steps) - len(shown)
    if hidden:
        notes.append(f"{hidden:,} neutral steps are left out; --all-steps shows them.")
    columns = ["id", "mutation", "", "score", "change", "live"]
    return Group(make_table(title, columns, rows, left=3), Text(" ".join(notes), "dim"))


def show_diff(it: Inspected) -> RenderableType:
    """Live code of the warm start and of a program, side by side."""
    styles = {"+": "green", "-": "red", "@": "dim"}
    lines = [Text(printable(line), styles.get(line[:1], "")) for line in it.lineage.diff()]
    return Group(*lines) if lines else Text("The live code is the warm start's.")


def show_ideas(it: Inspected) -> RenderableType:
    """Each live statement of a program and its past."""
    rows: list[list[RenderableType]] = [
        [
            Text(printable(idea.text), "dim" if idea.constant else ""),
            "number" if idea.first is None else _id(idea.first),
            "" if idea.first_score is None else _score(idea.first_score),
            _id(idea.written),
            _id(idea.alive),
            _score(idea.score),
            signed(idea.difference),
        ]
        for idea in it.ideas
    ]
    columns = ["live statement", "first", "score", "written", "alive", "score", "change"]
    note = (
        "first: the first program of the run whose live code computes this, from the inputs on, with any "
        "constants. written, alive: the ancestors that brought this text, and that first made it live."
    )
    return Group(make_table(f"{it.name}: when its ideas appeared", columns, rows), Text(note, "dim"))


# ---------------------------------------------------------------------------------------- the run


def show_best(it: Inspected) -> RenderableType:
    """The best programs, and the live code of the first."""
    rows: list[list[RenderableType]] = [
        [
            str(rank + 1),
            str(one.row.id),
            change_text(one.row.before, one.row.after),
            number(one.score, SCORE),
            str(one.seeds),
            f"{one.row.live_statements} of {one.row.statements}",
            str(one.alike) if one.alike else "",
        ]
        for rank, one in enumerate(it.best)
    ]
    title = (
        f"{printable(it.history.run)}: {len(it.history):,} programs, {it.history.different:,} different; "
        "the best, distinct by behaviour"
    )
    if not rows:
        return Group(Text(title, "bold"), Text("No program of this run has trained to the end yet."))
    columns = ["", "id", "latest mutation", "score", "seeds", "live", "alike"]
    first = it.best[0]
    panel = Panel(
        program_syntax(first.row.text if first.live is None else str(first.live)),
        title=f"{'all' if first.live is None else 'live'} statements of program {first.row.id}",
        title_align="left",
        border_style="green",
    )
    note = "alike: programs of another hash, no better, that the behavioural fingerprint takes for the same."
    notes = [Text(note, "dim")] if any(one.alike for one in it.best) else []
    known = None if first.live is None else known_as(first.live.statements)
    names = [recognition_line(known)] if known is not None else []
    return Group(make_table(title, columns, rows, left=3), *notes, panel, *names)


def show_mutations(it: Inspected) -> RenderableType:
    """What mutations did, by kind; and what became of their children, by effect."""
    found = it.mutations
    kinds = [*found.kinds, found.total]
    effects = list(Effect)
    rows: list[list[RenderableType]] = [
        [
            printable(kind.name),
            f"{kind.programs:,}",
            *[share_text(kind.effects[effect.name], kind.programs) for effect in effects],
            share_text(kind.accepted, kind.programs),
            str(kind.records),
        ]
        for kind in kinds
    ]
    columns = ["", "bred", *[effect.name.lower() for effect in effects], "parents", "best"]
    more: list[list[RenderableType]] = [
        [
            effect.name.lower(),
            Text(effect.value, "dim"),
            f"{row.programs:,}",
            share_text(row.accepted, row.programs),
            str(row.records),
        ]
        for effect, row in zip(effects, found.effects, strict=True)
    ]
    bred = found.invalid + found.total.programs
    note = (
        "parents: had children of their own, so were accepted by a tournament. best: were the best of the "
        f"run when they came. {found.invalid:,} children ({share_text(found.invalid, bred)}) were not valid: "
        "they are not among these, and their kind is not recorded."
    )
    return Group(
        make_table(f"{printable(it.history.run)}: what mutations did to the parent", columns, rows),
        make_table("What became of them", ["", "", "bred", "parents", "best"], more, left=2),
        Text(note, "dim"),
    )


def share_text(count: int, total: int) -> str:
    """A count as a share of a total; none of none is none."""
    return percent(count / max(1, total))


def show_primitives(it: Inspected) -> RenderableType:
    """What the good are made of."""
    rows: list[list[RenderableType]] = [
        [
            use.name,
            percent(use.good),
            percent(use.all),
            f"{use.ratio:.2f}",
            f"{use.programs:,}",
            percent(use.failed),
            _id(use.first),
            number(use.first_score, 3) if use.first_score == use.first_score else "",
        ]
        for use in it.primitives
        if use.good
    ]
    others = ", ".join(f"{use.name} ({percent(use.all)})" for use in it.primitives if not use.good)
    good = min(GOOD, len(it.history.ranked()))
    columns = ["", f"best {good}", "all", "ratio", "programs", "fail", "first", "score"]
    note = (
        "Shares of different programs with the primitive in live code that depends on an input. The best of "
        "a run are relatives: what many of them share may be one discovery."
        + (f" In none of the best, but in others: {others}." if others else "")
    )
    title = f"{printable(it.history.run)}: primitives of the best {good} programs, and of all"
    return Group(make_table(title, columns, rows), Text(note, "dim"))


def show_outcomes(it: Inspected) -> RenderableType:
    """How evaluations ended."""
    found = it.outcomes
    rows: list[list[RenderableType]] = [
        [
            "all" if row is found.total else row.reason,
            f"{row.evaluations:,}",
            percent(row.share),
            f"{row.steps:,}",
            duration(row.seconds),
            f"{row.programs:,}",
        ]
        for row in (*found.reasons, found.total)
    ]
    columns = ["", "evaluated", "share", "steps", "time", "programs"]
    note = "time: of workers, all together. programs: all that have such a score, cache hits included."
    title = f"{printable(it.history.run)}: how evaluations ended"
    return Group(make_table(title, columns, rows), Text(note, "dim"))


def show_curves(it: Inspected) -> RenderableType:
    """The curves of one run."""
    return curves_table([str(it.run.path)], [it.curves])


def curves_table(names: Sequence[str], all_curves: Sequence[Curves]) -> RenderableType:
    """Cache hits, redundancy, length and scores by tenths of each run's progress."""
    several = len(names) > 1
    kinds = ("cache hits", "redundant", "length", "median score", "best score")
    columns = ["progress"]
    for place in range(len(names)):
        columns += [f"{kind} {place + 1}" if several else kind for kind in kinds]
    rows: list[list[RenderableType]] = []
    for tenth in range(max(len(c.tenths) for c in all_curves)):
        row: list[RenderableType] = [f"{10 * (tenth + 1)} %"]
        for c in all_curves:
            row += _tenth(c.tenths[tenth]) if tenth < len(c.tenths) else [""] * len(kinds)
        rows.append(row)
    blank = [""] * (len(columns) - 3)
    rows.append(["paper, late", percent(PAPER["cache_hits"]), percent(PAPER["redundancy"]), *blank])
    title = "Curves, by tenths of the programs generated"
    if several:
        title += ": " + ", ".join(f"{place + 1} is {printable(name)}" for place, name in enumerate(names))
    return make_table(title, columns, rows)


def _tenth(t: Mapping[str, float | None]) -> list[RenderableType]:
    return [
        percent(t["cache_hits"] or 0.0),
        percent(t["redundancy"] or 0.0),
        f"{t['statements']:.1f}",
        number(t["median_score"], SCORE),
        number(t["best_score"], SCORE),
    ]
