"""`evosearch bench`: speed, side by side with the alternatives, measured in one run on this machine."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.benchmarks.measuring import Result
from evosearch.benchmarks.table import PARTS, TASKED
from evosearch.cli.console import make_console, make_table, print_json
from evosearch.cli.live import search_panel
from evosearch.cli.study_view import checked_plan
from evosearch.errors import EvosearchError, nearest
from evosearch.runtime import processor
from evosearch.search.progress import Progress
from proxy_tasks import TASKS

VIEW = "view"
REFRESHES = 4
"""How often the live view is drawn in a second."""


def bench_view() -> dict[str, Result]:
    """What the live view takes of the driver's time."""
    progress = Progress(
        "bench",
        100.0,
        0.5,
        100_000,
        10_000,
        0,
        900.0,
        90.0,
        0.9,
        0.7,
        1.0,
        0.9,
        5,
        "update = g * lr\n" * 12,
        0,
        0,
    )
    console = Console(file=open(os.devnull, "w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    curve = [1.0 - i / 10_000 for i in range(4000)]
    begin = time.process_time()
    for _ in range(20):
        console.print(search_panel(progress, curve))
    each = (time.process_time() - begin) / 20
    console.file.close()
    return {"view": Result(100 * each * REFRESHES, None, "% of a core", f"drawn {REFRESHES} times a second")}


ALL = {**PARTS, VIEW: bench_view}


def bench_command(parts: Sequence[str], tasks: Sequence[str], as_json: bool) -> int:
    """Measure the parts asked for, or all; `tasks` replace the own ones of those in `TASKED`."""
    for part in parts:
        if part not in ALL:
            raise EvosearchError(f"unknown part {part!r}{nearest(part, ALL)} (known: {', '.join(ALL)})")
    tasks = list(TASKS) if list(tasks) == ["all"] else list(tasks)
    for task in tasks:
        checked_plan(task, ())
    for part in parts if tasks else ():
        if part not in TASKED:
            raise EvosearchError(f"{part} is measured on its own tasks; --task is for {', '.join(TASKED)}")
    console = make_console(stderr=as_json)
    results: dict[str, Result] = {}
    begin = time.monotonic()
    for part in parts or ALL:
        with console.status(f"measuring: {part}"):
            results.update(TASKED[part](tasks) if part in TASKED else ALL[part]())
    machine = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "jax": version("jax"),
        "numpy": version("numpy"),
        "date": datetime.date.today().isoformat(),
        "seconds": round(time.monotonic() - begin),
    }
    if as_json:
        rows = {name: {**asdict(result), "ratio": result.ratio} for name, result in results.items()}
        print_json({"machine": machine, "results": rows})
        return 0
    show(console, results, machine)
    return 0


def show(console: Console, results: dict[str, Result], machine: dict[str, object]) -> None:
    """The table: medians, how far they spread, and ratios."""
    rows: list[list[RenderableType]] = [
        [
            Text(name, "bold cyan"),
            f"{r.ours:,.1f}",
            "" if r.spread is None else f"{r.spread:.0%}",
            "" if r.other is None else f"{r.other:,.1f}",
            "" if r.ratio is None else f"{r.ratio:.2f}",
            r.unit,
            Text(r.versus, "dim"),
        ]
        for name, r in results.items()
    ]
    title = (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}, jax {machine['jax']}, "
        f"{machine['date']}, {machine['seconds']} s"
    )
    headings = ["", "ours", "+-", "other", "ours / other", "unit", "other is"]
    console.print(make_table(title, headings, rows))
