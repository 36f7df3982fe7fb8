"""`evosearch funnel --simulate`: what a funnel's promises are worth where the truth is known."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import RenderableType
from rich.progress import track

from evosearch.cli.console import make_console, make_table, percent, print_json
from evosearch.funnel.plan import usual_looks
from evosearch.funnel.rules import Better
from evosearch.funnel.simulation import Simulated, simulate
from evosearch.funnel.truths import TRUTHS

LOOKS = usual_looks(4, 64)
SEED = 0


def simulation_command(funnels: int, as_json: bool) -> int:
    """Simulate so many funnels of each truth, and print error rates, power and cost."""
    rule, console = Better(), make_console(stderr=as_json)
    names = track(TRUTHS, "simulating", console=console, disable=not console.is_terminal, transient=True)
    found = {name: simulate(TRUTHS[name], rule, LOOKS, funnels, SEED) for name in names}
    if as_json:
        print_json(
            {
                "funnels": funnels,
                "seed": SEED,
                "looks": LOOKS,
                "confidence": rule.confidence,
                "truths": {name: {**asdict(one), "factor": one.factor} for name, one in found.items()},
            }
        )
        return 0
    console.print(simulation_table(found, funnels, rule))
    return 0


def simulation_table(found: dict[str, Simulated], funnels: int, rule: Better) -> RenderableType:
    """A row for each truth."""
    rows = [
        [
            name,
            percent(one.erred),
            f"{100 * one.erred_interval[0]:.1f} to {100 * one.erred_interval[1]:.1f}",
            percent(one.covered),
            percent(one.power) if one.power == one.power else "",
            f"{one.evaluations:,.0f}",
            f"{one.equal_evaluations:,}" if one.equal_evaluations else "",
            f"{one.factor:.1f}" if one.factor else "",
        ]
        for name, one in found.items()
    ]
    columns = [
        "truth",
        "funnels that erred",
        "95 % interval",
        "all intervals true",
        "power",
        "evaluations",
        "equal seeds",
        "factor",
    ]
    looks = ", ".join(map(str, LOOKS))
    stated = percent(1 - rule.confidence)
    title = f"{funnels:,} funnels of each truth, looks at {looks} seeds; stated chance of any error {stated}"
    return make_table(title, columns, rows)
