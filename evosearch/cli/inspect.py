"""`evosearch inspect`: a run, a program, or two of them side by side."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from evosearch.cli.console import (
    PROGRAM_THEME,
    make_console,
    make_table,
    number,
    percent,
    print_json,
    printable,
    program_syntax,
)
from evosearch.cli.curves import Curves, curves, draw_curves
from evosearch.cli.find import Found, find
from evosearch.errors import EvosearchError
from evosearch.language import Analysis, Program, analyze, parse, program_text
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.language.library import builtin_names, builtin_summary
from evosearch.records import RunReader

PAPER = {"cache_hits": 0.891, "redundancy": 0.698}
"""Measured late in the published search, over five runs (arXiv 2302.06675)."""


def inspect_command(what: Sequence[str], top: int, plot: str | None, as_json: bool) -> int:
    """Show one thing, or compare two of a kind."""
    if len(what) > 2:
        raise EvosearchError(f"expected one or two runs or programs, found {len(what)}")
    found = [find(text) for text in what]
    runs = [f for f in found if isinstance(f, RunReader)]
    programs = [f for f in found if isinstance(f, Found)]
    if runs and programs:
        raise EvosearchError("expected two programs or two runs, found one of each; name a program as RUN:ID")
    if plot and not runs:
        raise EvosearchError("--plot draws a run's curves, but no run was named")
    console = make_console()
    if runs:
        return _inspect_runs(console, runs, top, plot, as_json)
    if len(programs) == 2:
        return _inspect_pair(console, programs[0], programs[1], as_json)
    return _inspect_program(console, programs[0], as_json)


# ---------------------------------------------------------------------------------------- programs


def program_facts(found: Found) -> dict[str, Any]:
    """What abstract execution says of a program, as plain data."""
    program, analysis = found.program, analyze(found.program.statements)
    live = live_statements(program.statements)
    refusal = analysis.refusal
    return {
        "program": found.name,
        "valid": analysis.valid,
        "reason": refusal.reason if refusal else None,
        "statement": refusal.statement if refusal else None,
        "hash": analysis.hash or None,
        "statements": len(program),
        "live_statements": len(live),
        "text": str(program),
        "live_text": program_text(live) if analysis.valid else None,
        "state": list(analysis.state),
        "types": [str(value.type) for value in analysis.values],
    }


def _inspect_program(console: Console, found: Found, as_json: bool) -> int:
    facts = program_facts(found)
    if as_json:
        print_json(facts)
        return 0
    analysis = analyze(found.program.statements)
    if found.name in builtin_names():
        console.print(builtin_summary(found.name), markup=False)
    console.print(statements_table(printable(found.name), found.program, analysis))
    if analysis.refusal is not None:
        where = "" if analysis.refusal.statement is None else f"statement {analysis.refusal.statement + 1}: "
        console.print(Text.assemble(("invalid: ", "bold red"), where, analysis.refusal.reason))
        return 0
    state = " and ".join(analysis.state) or "nothing"
    verb = "are" if len(analysis.state) > 1 else "is"
    console.print(
        f"{facts['live_statements']} of {facts['statements']} statements are live; "
        f"{state} {verb} carried from step to step; hash {facts['hash']}"
    )
    return 0


def statements_table(name: str, program: Program, analysis: Analysis) -> RenderableType:
    """A program's statements with types; dead ones are dimmed and marked."""
    rows: list[list[RenderableType]] = []
    for index, statement in enumerate(program.statements):
        live = analysis.live[index]
        code = Syntax(statement.text, "python", theme=PROGRAM_THEME, background_color="default")
        text = code.highlight(statement.text)
        text.rstrip()
        wrong = analysis.refusal is not None and analysis.refusal.statement == index
        dim = analysis.valid and not live
        type_ = str(analysis.values[index].type) if index < len(analysis.values) else ""
        mark = "invalid" if wrong else "" if not analysis.valid else "live" if live else "dead"
        rows.append(
            [
                str(index + 1),
                Text(statement.text, "dim strike") if dim else text,
                Text(type_, "dim" if dim else "cyan"),
                Text(mark, "bold red" if wrong else "dim" if dim else "green"),
            ]
        )
    return make_table(name, ["", "statement", "type", ""], rows, left=4)


def _inspect_pair(console: Console, one: Found, other: Found, as_json: bool) -> int:
    facts = [program_facts(one), program_facts(other)]
    same_hash = facts[0]["hash"] is not None and facts[0]["hash"] == facts[1]["hash"]
    valid = all(f["valid"] for f in facts)
    behaves = valid and fingerprint(one.program.statements) == fingerprint(other.program.statements)
    diff = list(
        difflib.unified_diff(
            str(one.program).splitlines(),
            str(other.program).splitlines(),
            printable(one.name),
            printable(other.name),
            lineterm="",
            n=100,
        )
    )
    if as_json:
        print_json({"same_hash": same_hash, "same_fingerprint": behaves, "diff": diff, "programs": facts})
        return 0
    for line in diff:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
        console.print(Text(line, style))
    if not diff:
        console.print("The same text.")
    for f in facts:
        if not f["valid"]:
            console.print(Text.assemble((f"{f['program']} is invalid: ", "bold red"), f["reason"]))
    if valid:
        console.print(
            "Same canonical hash: one score serves both."
            if same_hash
            else "Different canonical hashes, but they behave alike on the fingerprint's probes."
            if behaves
            else "Different canonical hashes and different behaviour."
        )
    return 0


# ---------------------------------------------------------------------------------------- runs


def _inspect_runs(
    console: Console, runs: Sequence[RunReader], top: int, plot: str | None, as_json: bool
) -> int:
    all_curves = [curves(run) for run in runs]
    if plot:
        draw_curves(Path(plot), {str(run.path): c for run, c in zip(runs, all_curves, strict=True)}, PAPER)
    if as_json:
        print_json({"runs": [_run_facts(run, c, top) for run, c in zip(runs, all_curves, strict=True)]})
        return 0
    for run in runs:
        _show_run(console, run, top)
    if all_curves[0].tenths:
        console.print(curves_table([str(run.path) for run in runs], all_curves))
    if plot:
        console.print(f"The curves are in {printable(plot)}", markup=False)
    return 0


def _run_facts(run: RunReader, run_curves: Curves, top: int) -> dict[str, Any]:
    best = [
        {
            "id": row.id,
            "score": row.score,
            "seeds": row.seeds,
            "statements": row.statements,
            "live_statements": row.live_statements,
            "hash": row.hash.hex(),
            "text": row.text,
        }
        for row in run.best(top)
    ]
    return {
        "run": str(run.path),
        "programs": run.rows,
        "outcomes": run_curves.outcomes,
        "best": best,
        "curves": run_curves.tenths,
        "summary": run.summary,
    }


def _show_run(console: Console, run: RunReader, top: int) -> None:
    best = run.best(top)
    rows: list[list[RenderableType]] = [
        [
            str(rank + 1),
            str(row.id),
            number(row.score, 5),
            str(row.seeds),
            f"{row.live_statements} of {row.statements}",
            str(row.round + 1),
            row.mutation,
            Text(row.after or f"without {row.before}", "dim"),
        ]
        for rank, row in enumerate(best)
    ]
    columns = ["", "id", "score", "seeds", "live", "round", "latest mutation", "statement"]
    title = f"{printable(str(run.path))}: {run.rows:,} programs; the best, distinct by hash"
    console.print(make_table(title, columns, rows))
    if not best:
        console.print("No program of this run has trained to the end yet.")
        return
    live = program_text(live_statements(parse(best[0].text).statements))
    panel = Panel(
        program_syntax(live),
        title=f"live statements of program {best[0].id}",
        title_align="left",
        border_style="green",
    )
    console.print(panel)


def curves_table(names: Sequence[str], all_curves: Sequence[Curves]) -> RenderableType:
    """Cache hits, redundancy, length and best score by tenths of each run's progress."""
    several = len(names) > 1
    columns = ["progress"]
    for place in range(len(names)):
        mark = f" {place + 1}" if several else ""
        columns += [f"cache hits{mark}", f"redundant{mark}", f"length{mark}", f"best score{mark}"]
    rows: list[list[RenderableType]] = []
    for tenth in range(max(len(c.tenths) for c in all_curves)):
        row: list[RenderableType] = [f"{10 * (tenth + 1)} %"]
        for c in all_curves:
            if tenth < len(c.tenths):
                t = c.tenths[tenth]
                row += [
                    percent(t["cache_hits"]),
                    percent(t["redundancy"]),
                    f"{t['statements']:.1f}",
                    number(t["best_score"], 5),
                ]
            else:
                row += [""] * 4
        rows.append(row)
    blank = [""] * (4 * len(names) - 2)
    rows.append(["paper, late", percent(PAPER["cache_hits"]), percent(PAPER["redundancy"]), *blank])
    title = "Curves, by tenths of the programs generated"
    if several:
        title += ": " + ", ".join(f"{place + 1} is {printable(name)}" for place, name in enumerate(names))
    return make_table(title, columns, rows)
