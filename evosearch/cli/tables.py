"""`evosearch tasks` and `evosearch primitives`: what there is, with one line each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, number, print_json
from evosearch.cli.study_view import checked_plan
from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.language import builtin
from evosearch.study.tuned import TunedRecord, place_of, read_tuned, shipped_file
from primitives import TABLE, VOCABULARIES
from proxy_tasks import PRESETS, TASKS, Split
from proxy_tasks.cost import step_flops, weights


def tasks_command(names: Sequence[str], preset: str, measure: bool, as_json: bool) -> int:
    """List tasks with their sizes, costs and knobs.

    Args:
        names: of tasks; none for all.
        preset: at which size.
        measure: train each here, instead of telling what its reference's tuning took.
        as_json: see `--json`.
    """
    plans = [
        checked_plan(name, () if preset == PRESETS[0] else (("preset", preset),)) for name in names or TASKS
    ]
    recorded = {} if measure else recorded_seconds(read_tuned(shipped_file()))
    with make_console(stderr=True).status("reading data"):
        facts = [
            _task_facts(plan, _measured(plan) if measure else recorded.get(place_of(plan, "adamw", 0)[:2]))
            for plan in plans
        ]
    if as_json:
        print_json({"tasks": facts})
        return 0
    console = make_console()
    sizes: list[list[RenderableType]] = [
        [
            Text(f["name"], "bold cyan"),
            f["family"],
            f"{f['weights']:,}",
            str(f["steps"]),
            str(f["batch_size"]),
            f"{f['flops'] / 1e6:,.1f}",
            "-" if f["seconds"] is None else number(f["seconds"]),
            number(f["chance"]),
            " / ".join(f"{n:,}" for n in f["examples"].values()),
        ]
        for f in facts
    ]
    columns = ["task", "family", "weights", "steps", "batch", "MFLOP a step", "s a training", "chance"]
    title = f"Proxy tasks, preset {preset}"
    console.print(make_table(title, [*columns, "train / search / selection / report"], sizes, left=2))
    where = "here, with the interpreter" if measure else "by `evosearch tune`, on the machine of its records"
    console.print(f"s a training: one core, AdamW, measured {where}; chance: the metric of a guess")
    words: list[list[RenderableType]] = [
        [
            Text(f["name"], "bold cyan"),
            f["summary"],
            f["metric"],
        ]
        for f in facts
    ]
    console.print(make_table("What they are", ["task", "what", "metric (lower is better)"], words, left=3))
    if not names:
        console.print("`evosearch tasks TASK` shows a task's knobs, which may stand in a search's YAML")
        return 0
    for f in facts:
        knobs = ", ".join(f"{name}: {_yaml(value)}" for name, value in f["knobs"].items())
        console.print(Text.assemble((f["name"], "bold cyan"), f" has the knobs {knobs}"))
    return 0


def _task_facts(plan: TaskPlan, seconds: float | None) -> dict[str, Any]:
    task = plan.build()
    data = task.data()
    row = TASKS[task.name]
    preset = dict(plan.knobs).get("preset", PRESETS[0])
    knobs = {field.name: field.default for field in dataclasses.fields(row.knobs)}
    return {
        "name": task.name,
        "family": task.family,
        "summary": row.summary,
        "metric": task.metric,
        "weights": weights(task),
        "steps": task.steps,
        "batch_size": task.batch_size,
        "flops": step_flops(task),
        "seconds": seconds,
        "chance": task.chance,
        "examples": {split.name.lower(): len(data.identity[split]) for split in Split},
        "data": data.fingerprint,
        "knobs": {**knobs, **row.preset(str(preset))},
    }


def _yaml(value: object) -> str:
    """A knob's value as it stands in YAML."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


REPEATS = 3


def _measured(plan: TaskPlan) -> float:
    """Seconds of one training with the warm start, compilation left out: the least of a few."""
    evaluator = Evaluator(Plan((plan,)))
    job = Job(0, builtin("adamw").statements, ((0,),))
    evaluator.evaluate(job)
    return min(evaluator.evaluate(job).seconds for _ in range(REPEATS))


def recorded_seconds(records: Sequence[TunedRecord]) -> dict[tuple[str, ...], float]:
    """Seconds of one training with AdamW, by task; the least where there are several records."""
    found: dict[tuple[str, ...], float] = {}
    for record in records:
        if record.reference == "adamw":
            key = record.place[:2]
            found[key] = min(found.get(key, math.inf), record.seconds_per_step * record.steps)
    return found


def primitives_command(as_json: bool) -> int:
    """List the primitives with their formulas."""
    facts = [
        {
            "name": p.name,
            "arity": p.arity,
            "group": p.group,
            "formula": p.formula,
            "summary": p.summary,
            "types": p.rule.sentence,
            "aliases": list(p.aliases),
            "infix": p.infix,
            "origin": p.origin,
            "vocabularies": [name for name, members in VOCABULARIES.items() if p.name in members],
        }
        for p in TABLE
    ]
    if as_json:
        print_json({"primitives": facts})
        return 0
    rows: list[list[RenderableType]] = [
        [
            Text(p.name, "bold cyan"),
            p.infix or "",
            p.group.replace("_", " "),
            p.formula,
            p.summary,
            ", ".join(p.aliases),
            p.origin,
        ]
        for p in TABLE
    ]
    columns = ["primitive", "infix", "group", "formula", "what", "aliases", "origin"]
    console = make_console()
    console.print(make_table(f"{len(TABLE)} primitives", columns, rows, left=len(columns)))
    sizes = ", ".join(f"{name} ({len(members)})" for name, members in VOCABULARIES.items())
    console.print(f"Vocabularies: {sizes}; a YAML may include and exclude single primitives.")
    return 0
