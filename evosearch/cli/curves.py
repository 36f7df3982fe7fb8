"""A page of pictures of one or more runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evosearch.cli.console import printable
from evosearch.errors import EvosearchError
from evosearch.inspection import Curves, Lineage, MutationStatistics
from evosearch.inspection.mutations import Effect

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = {effect: effect.name.lower() for effect in Effect}
COLOURS = {
    Effect.NEUTRAL: "#d0d0d0",
    Effect.BETTER: "#2a9d4e",
    Effect.SAME: "#8fb8de",
    Effect.WORSE: "#f2b661",
    Effect.FAILED: "#c8553d",
}
RUNS = ("#1f4e79", "#c8553d", "#2a9d4e", "#7a5195")


@dataclass(frozen=True)
class Page:
    """What is drawn of a run.

    Attributes:
        curves: over its progress.
        mutations: None if its programs were drawn at random.
        lineage: of the best program; None if none trained.
        warm_score: the warm start's score; NaN if not known.
    """

    curves: Curves
    mutations: MutationStatistics | None
    lineage: Lineage | None
    warm_score: float


def draw_curves(path: Path, runs: Mapping[str, Page], paper: Mapping[str, float]) -> None:
    """Draw one or more runs as a PNG: scores, cache hits, redundancy, length, and what mutations did.

    Args:
        path: where to write; an existing file is replaced.
        runs: pages by name.
        paper: the published figures, drawn as dotted lines.

    Raises:
        EvosearchError: the file can't be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    names = [_label(name) for name in runs]
    pages = list(runs.values())
    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.08)
    figure, axes = plt.subplots(2, 3, figsize=(13, 7.4), layout=layout)
    _scores(axes[0, 0], names, pages)
    _shares(axes[0, 1], "Cache hits, %", [p.curves.cache_hits for p in pages], pages, paper["cache_hits"])
    redundancy = [p.curves.redundancy for p in pages]
    _shares(axes[0, 2], "Redundant statements, %", redundancy, pages, paper["redundancy"])
    _lengths(axes[1, 0], pages)
    _effects_over_progress(axes[1, 1], pages)
    _effects_by_kind(axes[1, 2], names, pages)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise EvosearchError(f"{path}: can't write this picture: {error}") from error
    finally:
        plt.close(figure)


def _label(name: str) -> str:
    """A name as matplotlib shows it: without control characters, and `$` begins no formula."""
    return printable(name).replace("$", r"\$")


def _colour(place: int) -> str:
    return RUNS[place % len(RUNS)]


def _over_progress(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("programs generated")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlim(left=0)
    axis.grid(alpha=0.25)


def _scores(axis: Axes, names: Sequence[str], pages: Sequence[Page]) -> None:
    """Best and median so far, and the steps of the best program's lineage that mattered."""
    known = []
    for place, (name, page) in enumerate(zip(names, pages, strict=True)):
        c, colour = page.curves, _colour(place)
        progress, best = np.append(0, c.progress), np.append(page.warm_score, c.best)
        axis.step(progress, best, where="post", color=colour, label=name)
        steps = page.lineage.mattered if page.lineage else ()
        labels = (None, None) if place else ("median of what trains", "lineage of the best: steps")
        axis.plot(c.progress, c.median, lw=0.8, alpha=0.5, color=colour, label=labels[0])
        axis.plot([s.id for s in steps], [s.score for s in steps], "o", ms=3.5, color=colour, label=labels[1])
        known += [score for score in (page.warm_score, *c.best) if np.isfinite(score)]
    if known:  # medians and harmful steps may be anywhere; the picture is about what was reached
        span = max(known) - min(known) or abs(known[0]) or 1.0
        axis.set_ylim(min(known) - 0.05 * span, max(known) + 0.1 * span)
    _over_progress(axis, "Score (lower is better)")
    axis.legend(frameon=False, fontsize=8, loc="upper right")


def _shares(axis: Axes, title: str, columns: Sequence[Any], pages: Sequence[Page], paper: float) -> None:
    for place, (column, page) in enumerate(zip(columns, pages, strict=True)):
        axis.plot(page.curves.progress, 100 * column, lw=1, color=_colour(place))
    axis.axhline(100 * paper, ls=":", color="gray", label="paper, late in the search")
    axis.set_ylim(0, 100)
    _over_progress(axis, title)
    axis.legend(loc="lower right", frameon=False, fontsize=8)


def _lengths(axis: Axes, pages: Sequence[Page]) -> None:
    for place, page in enumerate(pages):
        c, colour = page.curves, _colour(place)
        axis.plot(c.progress, c.statements, lw=1, color=colour, label="all statements")
        axis.plot(c.progress, c.live_statements, lw=1, ls="--", color=colour, label="live statements")
    axis.set_ylim(bottom=0)
    _over_progress(axis, "Length of programs, mean")
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles[:2], labels[:2], frameon=False, fontsize=8)


def _effects_over_progress(axis: Axes, pages: Sequence[Page]) -> None:
    """One run: all effects, stacked. Several: the share that is not neutral, for each."""
    known = [(place, page.curves) for place, page in enumerate(pages) if page.curves.effects]
    if len(pages) == 1:
        for _, c in known:
            stacked = [100 * c.effects[effect.name] for effect in Effect]
            axis.stackplot(c.progress, stacked, colors=[COLOURS[effect] for effect in Effect], linewidth=0)
        title = "Effect on the parent, % of programs"
    else:
        for place, c in known:
            reached = 100 * (1 - c.effects[Effect.NEUTRAL.name])
            axis.plot(c.progress, reached, lw=1, color=_colour(place))
        title = "Mutations that reach live code, % of programs"
    axis.set_ylim(0, 100)
    _over_progress(axis, title)


def _effects_by_kind(axis: Axes, names: Sequence[str], pages: Sequence[Page]) -> None:
    """A bar for each kind of mutation, of each run."""
    bars = [
        (f"{_label(kind.name)}\n{name if len(pages) > 1 else f'{kind.programs:,}'}", kind)
        for name, page in zip(names, pages, strict=True)
        for kind in (page.mutations.kinds if page.mutations else ())
    ]
    left = np.zeros(len(bars))
    for effect in Effect:
        widths = np.array([100 * kind.effects[effect.name] / max(1, kind.programs) for _, kind in bars])
        axis.barh(range(len(bars)), widths, left=left, color=COLOURS[effect], label=WORDS[effect], height=0.7)
        left += widths
    axis.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 100)
    axis.set_title("Effect on the parent, by kind of mutation, %", fontsize=10)
    axis.legend(frameon=False, fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.08))
