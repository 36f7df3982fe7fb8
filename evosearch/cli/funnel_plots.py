"""Pictures of a funnel: differences with intervals, learning curves, survivors of each stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evosearch.cli.study_plots import COLOURS, figure, short, tidy
from evosearch.evaluation.training import curve_steps
from evosearch.funnel.result import Funnel
from evosearch.funnel.stage import Staged
from evosearch.funnel.verdict import Decision, Difference, Verdict

SHOWN = 30
"""Verdicts in a picture, the best first."""
WIDEST = 1.0
"""Differences are drawn up to 100 % of the baseline's metric."""
NAMED = 7
"""Learning curves that get a name and a colour, the best; those of who goes on are thicker."""


def draw_stage(path: Path, staged: Staged) -> None:
    """Differences from the hardest baseline on the left, learning curves on each task on the right."""
    shown = staged.ranked[:SHOWN]
    height = max(4.2, 1.6 + 0.24 * len(shown))
    panels = 1 + len(staged.tasks)
    with figure(path, 1, panels, (5.2 + 4.2 * len(staged.tasks), height)) as ((forest, *curves),):
        _forest(forest, staged, shown)
        for task, axis in enumerate(curves):
            _curves(axis, staged, task, shown)


def _forest(axis: Any, staged: Staged, shown: Sequence[Verdict]) -> None:
    means = [hardest.mean for verdict in shown if (hardest := _hardest(staged, verdict))]
    edge = 100 * min(WIDEST, max([0.01, *(abs(mean) for mean in means)]))
    for place, verdict in enumerate(shown):
        hardest = _hardest(staged, verdict)
        if hardest is not None:
            colour = COLOURS[2] if verdict.promoted else "0.55"
            low, mean, high = 100 * hardest.low, 100 * hardest.mean, 100 * hardest.high
            axis.plot([low, high], [place, place], color=colour, lw=1.6, solid_capstyle="butt")
            inside = abs(mean) <= 1.4 * edge
            axis.plot(mean if inside else 1.4 * edge, place, "o" if inside else ">", color=colour, ms=4)
    axis.axvline(0, color="0.2", lw=1)
    axis.set_xlim(-1.5 * edge, 1.5 * edge)
    axis.set_yticks(range(len(shown)), [short(verdict.name) for verdict in shown], fontsize=7)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlabel("difference from the baseline that is hardest to beat, % of its metric")
    axis.set_title(f"Stage {staged.name}: who goes on (green)", fontsize=10)
    tidy(axis)


def _hardest(staged: Staged, verdict: Verdict) -> Difference | None:
    """From the baseline that it does worst against."""
    return max(staged.differences[verdict.name], key=lambda d: d.mean, default=None)


def _curves(axis: Any, staged: Staged, task: int, shown: Sequence[Verdict]) -> None:
    for verdict in shown[NAMED:]:
        _curve(axis, staged, task, verdict.name, color="0.8", lw=0.8, zorder=1)
    for index, verdict in enumerate(shown[:NAMED]):
        width = 1.8 if verdict.promoted else 1.0
        _curve(axis, staged, task, verdict.name, color=COLOURS[index], lw=width, label=short(verdict.name))
    for baseline, dash in zip(staged.baselines, ("--", ":", "-.") * len(staged.baselines), strict=False):
        _curve(axis, staged, task, baseline.name, color="0.1", lw=1.8, ls=dash, label=baseline.name)
    drawn = [v.name for v in shown[:NAMED]] + [b.name for b in staged.baselines]
    finite = [c for name in drawn for c in staged.curves[name][task] if np.isfinite(c)]
    if finite and min(finite) > 0:
        axis.set_yscale("log")
        top = float(np.quantile(finite, 0.9))  # the first steps may be far off
        axis.set_ylim(min(finite) * 0.95, 1.5 * top)
    axis.set_xlabel("share of the training steps")
    axis.set_ylabel(staged.metrics[task])
    axis.set_title(f"{staged.tasks[task]}: mean over the first seeds", fontsize=10)
    axis.legend(frameon=False, fontsize=7)
    tidy(axis)


def _curve(axis: Any, staged: Staged, task: int, name: str, **style: Any) -> None:
    values = np.array(staged.curves[name][task])
    if len(values):
        axis.plot(
            curve_steps(1000, len(values)) / 1000, np.where(np.isfinite(values), values, np.nan), **style
        )


def draw_survivors(path: Path, funnel: Funnel) -> None:
    """How many went into each stage, and what became of them."""
    decisions = [d for d in Decision if any(v.decision is d for s in funnel.stages for v in s.verdicts)]
    with figure(path, 1, 1, (8, 1.4 + 0.55 * len(funnel.stages))) as ((axis,),):
        for row, staged in enumerate(funnel.stages):
            counts = Counter(verdict.decision for verdict in staged.verdicts)
            left = 0
            for index, decision in enumerate(decisions):
                count = counts[decision]
                colour = COLOURS[2] if decision is Decision.PROMOTED else plain_grey(index, len(decisions))
                label = decision.value if row == 0 else None
                axis.barh(row, count, left=left, color=colour, label=label, height=0.6)
                if count:
                    axis.text(left + count / 2, row, str(count), ha="center", va="center", fontsize=8)
                left += count
        axis.set_yticks(range(len(funnel.stages)), [staged.name for staged in funnel.stages])
        axis.invert_yaxis()
        axis.set_xlabel("programs")
        axis.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axis.set_title("What became of the programs of each stage", fontsize=10)
        tidy(axis)


def plain_grey(index: int, count: int) -> str:
    """One of several greys, from dark to light.

    >>> plain_grey(0, 3), plain_grey(2, 3)
    ('0.55', '0.90')
    """
    return f"{0.55 + 0.35 * index / max(1, count - 1):.2f}"
