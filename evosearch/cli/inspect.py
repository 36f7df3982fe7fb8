"""`evosearch inspect`: a run, a program, or two of them side by side."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.syntax import Syntax
from rich.text import Text

from evosearch.cli.console import (
    PROGRAM_THEME,
    make_console,
    make_table,
    number,
    print_json,
    printable,
    program_syntax,
    recognition_line,
)
from evosearch.cli.find import Found, find
from evosearch.cli.inspect_facts import Inspected
from evosearch.cli.inspect_parts import PARTS
from evosearch.cli.inspect_run import draw_runs, run_facts, show_overview, show_parts
from evosearch.cli.inspect_tables import change_text
from evosearch.errors import EvosearchError, ProgramError
from evosearch.evaluation import Status
from evosearch.evolution.engine import WARM_START
from evosearch.language import Analysis, Program, analyze, parse, program_text
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.language.library import builtin_names, builtin_summary
from evosearch.records import Row, RunReader
from evosearch.simplify import Recognition, known_as


def inspect_command(
    what: Sequence[str], parts: Sequence[str], all_steps: bool, top: int, plot: str | None, as_json: bool
) -> int:
    """Show one thing, or compare two of a kind.

    Args:
        what: one or two runs, or one or two programs.
        parts: names of `PARTS`: what to show of a run, or of one program of a run.
        all_steps: show every step of a lineage.
        top: how many of a run's best programs.
        plot: where to draw runs.
        as_json: print plain data.
    """
    if len(what) > 2:
        raise EvosearchError(f"expected one or two runs or programs, found {len(what)}")
    if len(what) == 1 and not parts and (unreadable := _unreadable(what[0])) is not None:
        return _inspect_unreadable(*unreadable, as_json)
    found = [find(text) for text in what]
    runs = [f for f in found if isinstance(f, RunReader)]
    programs = [f for f in found if isinstance(f, Found)]
    if runs and programs:
        raise EvosearchError("expected two programs or two runs, found one of each; name a program as RUN:ID")
    if plot and not runs:
        raise EvosearchError("--plot draws a run's curves, but no run was named")
    parts = [*parts, "lineage"] if all_steps and "lineage" not in parts else parts
    console = make_console()
    if runs:
        asked = [Inspected(run, top=top, all_steps=all_steps) for run in runs]
        return _inspect_runs(console, asked, parts, plot, as_json)
    if parts:
        return _inspect_past(console, what, parts, all_steps, as_json)
    if len(programs) == 2:
        return _inspect_pair(console, programs[0], programs[1], as_json)
    return _inspect_program(console, programs[0], _place(what[0]), as_json)


def _inspect_runs(
    console: Console, runs: Sequence[Inspected], parts: Sequence[str], plot: str | None, as_json: bool
) -> int:
    if plot:
        draw_runs(plot, runs)
    if as_json:
        print_json({"runs": [run_facts(run, parts) for run in runs]})
        return 0
    if parts:
        for run in runs:
            show_parts(console, run, parts)
    else:
        show_overview(console, runs)
    if plot:
        console.print(f"The curves are in {printable(plot)}", markup=False)
    return 0


def _inspect_past(
    console: Console, what: Sequence[str], parts: Sequence[str], all_steps: bool, as_json: bool
) -> int:
    """The parts that are about one program of a run."""
    if set(parts) == set(PARTS):  # `--all`
        parts = [part for part in parts if PARTS[part].of_program]
    asked = []
    for text in what:
        place = _place(text)
        if place is None:
            raise EvosearchError(
                f"--{parts[0]} is about a run or a program of it: expected RUN or RUN:ID, found {text!r}"
            )
        for part in parts:
            if not PARTS[part].of_program:
                raise EvosearchError(
                    f"--{part} is about a whole run: expected {str(place[0].path)!r}, found {text!r}"
                )
        asked.append(Inspected(*place, all_steps=all_steps))
    if as_json:
        facts = [{"program": it.name, **run_facts(it, parts)} for it in asked]
        print_json(facts[0] if len(facts) == 1 else {"programs": facts})
        return 0
    for it in asked:
        show_parts(console, it, parts)
    return 0


def _place(text: str) -> tuple[RunReader, int] | None:
    """The run and the id of RUN:ID, as `find` reads it; None for another program."""
    folder, _, number = text.rpartition(":")
    if not folder or not number.isdigit() or text in builtin_names() or Path(text).exists():
        return None
    return RunReader(folder), int(number)


def _unreadable(text: str) -> tuple[Inspected, Row] | None:
    """A program of a run whose vocabulary is another one, so that it can't be read; None for any other."""
    place = _place(text)
    if place is None:
        return None
    it, row = Inspected(*place), place[0].row(place[1])
    try:
        parse(row.text, text)
    except ProgramError:
        return (it, row) if it.foreign else None
    return None


def _inspect_unreadable(it: Inspected, row: Row, as_json: bool) -> int:
    """What the record says of a program that can't be read."""
    if as_json:
        facts = {"program": it.name, "text": row.text, "hash": row.hash.hex(), "read_only": it.foreign}
        print_json({**facts, "row": row_facts(row)})
        return 0
    console = make_console()
    console.print(program_syntax(row.text))
    console.print(row_line(row), Text(f"{it.run.path} is {it.foreign}", "yellow"), sep="\n")
    return 0


def row_facts(row: Row) -> dict[str, Any]:
    """Where a program of a run comes from, and its score, as plain data."""
    past = ("id", "parent", "mutation", "before", "after", "outcome", "score", "seeds")
    return {name: getattr(row, name) for name in past}


# ---------------------------------------------------------------------------------------- programs


def program_facts(found: Found, known: Recognition | None) -> dict[str, Any]:
    """What abstract execution says of a program, and which optimizer it is known as, as plain data."""
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
        "recognised": None if known is None else known.to_json(),
    }


def _inspect_program(
    console: Console, found: Found, place: tuple[RunReader, int] | None, as_json: bool
) -> int:
    known = known_as(found.program.statements)
    facts = program_facts(found, known)
    row = place[0].row(place[1]) if place else None
    if row is not None:
        facts["row"] = row_facts(row)
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
    if row is not None:
        console.print(row_line(row), Text("Its past: --lineage, --diff, --ideas", "dim"), sep="\n")
    state = " and ".join(analysis.state) or "nothing"
    verb = "are" if len(analysis.state) > 1 else "is"
    console.print(
        f"{facts['live_statements']} of {facts['statements']} statements are live; "
        f"{state} {verb} carried from step to step; hash {facts['hash']}"
    )
    if known is not None:
        console.print(recognition_line(known))
    return 0


def row_line(row: Row) -> Text:
    """Where a program of a run comes from, and its score."""
    parent = "the warm start" if row.parent == WARM_START else f"program {row.parent}"
    change = change_text(row.before, row.after).plain.replace("\n", "  ")
    failed = Status[row.outcome].value if row.outcome in Status.__members__ else row.outcome
    score = f"score {number(row.score, 5)}" if math.isfinite(row.score) else failed
    seeds = "" if row.seeds < 1 else f" ({row.seeds} seed{'s' if row.seeds > 1 else ''})"
    origin = f"{row.mutation} of {parent}: {change}" if change else f"{row.mutation}, without a parent"
    return Text(printable(f"{origin}; {score}{seeds}"))


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
    facts = [program_facts(each, known_as(each.program.statements)) for each in (one, other)]
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
