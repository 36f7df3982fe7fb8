"""`evosearch tasks` and `evosearch primitives`: what there is, with one line each."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from rich.console import RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, number, print_json
from primitives import TABLE, VOCABULARIES
from proxy_tasks import TASKS, Split, Task, build


def tasks_command(as_json: bool) -> int:
    """List the tasks with their sizes and knobs."""
    facts = [_task_facts(build(name)) for name in TASKS]
    if as_json:
        print_json({"tasks": facts})
        return 0
    rows: list[list[RenderableType]] = [
        [
            Text(f["name"], "bold cyan"),
            f["family"],
            f["summary"],
            f["metric"],
            f"{f['weights']:,}",
            str(f["steps"]),
            str(f["batch_size"]),
            number(f["chance"]),
            " / ".join(f"{n:,}" for n in f["examples"].values()),
        ]
        for f in facts
    ]
    columns = ["task", "family", "what", "metric (lower is better)", "weights", "steps", "batch", "chance"]
    console = make_console()
    console.print(make_table("Proxy tasks", [*columns, "train / search / selection / report"], rows, left=4))
    knobs: list[list[RenderableType]] = [
        [Text(f["name"], "bold cyan"), ", ".join(f"{k}={v}" for k, v in f["knobs"].items())] for f in facts
    ]
    console.print(
        make_table(
            "Knobs, with their defaults: any of them may stand in a search's YAML",
            ["task", "knobs"],
            knobs,
            left=2,
        )
    )
    return 0


def _task_facts(task: Task) -> dict[str, Any]:
    data = task.data()
    params = jax.eval_shape(task.init, jax.random.key(0), data.splits[Split.TRAIN])
    row = TASKS[task.name]
    return {
        "name": task.name,
        "family": task.family,
        "summary": task.summary,
        "metric": task.metric,
        "weights": sum(leaf.size for leaf in jax.tree.leaves(params)),
        "steps": task.steps,
        "batch_size": task.batch_size,
        "chance": task.chance,
        "examples": {split.name.lower(): len(data.identity[split]) for split in Split},
        "data": data.fingerprint,
        "knobs": {field.name: field.default for field in dataclasses.fields(row.knobs)},
    }


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
