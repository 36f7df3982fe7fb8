"""The picture of meta-overfitting: scores along searches, and where they peak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evosearch.cli.study_plots import COLOURS, figure, short, tidy
from evosearch.funnel.overfitting import Overfitted, histogram

NAMED = 6
"""So many runs get a colour, a name and a band; more are grey lines with their peaks."""
HIGHEST = 1.5
"""Scores above this, and failures, are drawn at the upper end."""


def draw_overfitting(path: Path, found: Sequence[Overfitted], task: str, metric: str) -> None:
    """Scores against progress on the left; of several runs the histogram of their peaks on the right.

    Args:
        path: of the picture.
        found: one for each run.
        task: the meta-validation task, for the title.
        metric: of that task.

    Raises:
        EvosearchError: the picture can't be written.
    """
    several = len(found) > 1
    with figure(path, 1, 2 if several else 1, (12 if several else 7.4, 4.4)) as ((curves, *others),):
        _curves(curves, found, task, metric)
        for axis in others:
            _histogram(axis, found)


def _curves(axis: Any, found: Sequence[Overfitted], task: str, metric: str) -> None:
    limits = _limits(found)
    named = len(found) <= NAMED
    axis.axhline(1.0, color="0.3", lw=0.8, ls=":")
    for index, one in enumerate(found):
        colour = COLOURS[index] if named else "0.6"
        progress = np.array([100 * point.progress for point in one.course.points])
        scores = np.array([score.score for score in one.scores])
        drawn = np.minimum(scores, limits[1])
        if named:
            search = np.array([np.nan if p.search is None else p.search for p in one.course.points])
            axis.plot(progress, np.clip(search, *limits), color=colour, lw=1.2, ls="--", alpha=0.8)
            bounds = np.array([score.interval or (limits[1], limits[1]) for score in one.scores])
            axis.fill_between(
                progress,
                *np.clip(bounds.T, *limits),
                where=scores <= limits[1],
                color=colour,
                alpha=0.15,
                lw=0,
            )
        axis.plot(
            progress, drawn, color=colour, lw=1.8 if named else 0.8, marker="o" if named else "", ms=3.5
        )
        above = scores > limits[1]
        axis.plot(progress[above], drawn[above], ls="", marker="^", color=colour, ms=8, clip_on=False)
        axis.plot(
            progress[one.peak],
            drawn[one.peak],
            ls="",
            marker="*",
            color=colour if named else COLOURS[1],
            markeredgecolor="black",
            markeredgewidth=0.6,
            ms=13 if named else 8,
            zorder=5,
            clip_on=False,
        )
    _legend(axis, found, named, limits[1])
    axis.set_xlim(0, 100)
    axis.set_ylim(*limits)
    axis.set_xlabel("progress of the search, % of its programs")
    axis.set_ylabel(f"score / warm start's (lower is better)\nmeta-validation: {metric}", fontsize=9)
    axis.set_title(f"Best program so far, in the search and on {task}", fontsize=10)
    tidy(axis)


def _legend(axis: Any, found: Sequence[Overfitted], named: bool, top: float) -> None:
    from matplotlib.lines import Line2D

    neutral = "0.35"
    handles = []
    if named:
        handles = [
            Line2D([], [], color=COLOURS[index], lw=1.8, label=short(one.course.run))
            for index, one in enumerate(found)
        ]
        handles.append(Line2D([], [], color=neutral, lw=1.2, ls="--", label="search"))
    what = "meta-validation, 95 % interval" if named else f"meta-validation, {len(found)} runs"
    handles.append(Line2D([], [], color=neutral, lw=1.8, marker="o" if named else "", ms=3.5, label=what))
    handles.append(Line2D([], [], color=neutral, ls="", marker="*", ms=11, label="peak: lowest"))
    if any(score.score > top for one in found for score in one.scores):
        handles.append(Line2D([], [], color=neutral, ls="", marker="^", ms=7, label="higher, or failed"))
    axis.legend(handles=handles, frameon=False, fontsize=8)


def _limits(found: Sequence[Overfitted]) -> tuple[float, float]:
    """Of the axis: all scores that are not far off, and their intervals where they are not too wide."""
    scores = [score.score for one in found for score in one.scores]
    scores += [point.search for one in found for point in one.course.points if point.search is not None]
    scores = [score for score in scores if math.isfinite(score)]
    low, high = min(scores), min(max(scores), HIGHEST)
    room = max(high - low, 0.02)
    bounds = [
        s.interval for one in found for s in one.scores if s.interval is not None and s.score <= HIGHEST
    ]
    low = max(min([low, *(bound[0] for bound in bounds)]), low - room)
    high = min(max([high, *(bound[1] for bound in bounds)]), high + room)
    return low - 0.06 * room, high + 0.06 * room


def _histogram(axis: Any, found: Sequence[Overfitted]) -> None:
    bins = histogram(found)
    middles = np.array([50 * (part.begin + part.end) for part in bins])
    width = 100 * (bins[0].end - bins[0].begin)
    runs = [part.runs for part in bins]
    axis.bar(middles, runs, width=0.9 * width, color="0.8", label="runs that peak here (left)")
    axis.set_xlim(0, 100)
    axis.set_ylim(0, 1.35 * max(runs))
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("progress of the peak, % of the search")
    axis.set_ylabel("runs")
    axis.set_title(f"Where {len(found)} runs peak", fontsize=10)
    tidy(axis)
    best = axis.twinx()
    scores = np.array([np.nan if part.best is None else part.best for part in bins])
    best.plot(
        middles, scores, ls="", marker="X", color=COLOURS[0], ms=8, label="lowest meta-validation (right)"
    )
    best.margins(y=0.3)
    best.set_ylabel("meta-validation / warm start's", color=COLOURS[0])
    best.tick_params(axis="y", colors=COLOURS[0])
    best.spines[["top"]].set_visible(False)
    handles = [*axis.get_legend_handles_labels()[0], *best.get_legend_handles_labels()[0]]
    best.legend(handles=handles, frameon=False, fontsize=8, loc="upper center", ncols=2)
