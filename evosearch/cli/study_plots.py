"""Pictures of a comparison: learning curves, sweeps over learning rate and weight decay, batch sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from evosearch.cli.console import printable
from evosearch.errors import EvosearchError
from evosearch.evaluation.training import curve_steps
from evosearch.study.comparison import BatchPoint, Raced, Standing, Sweep, interval_of_curve

# A palette that colour-blind people can tell apart (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
WORST = 1.0
"""Cells of a heat map that are worse than the best of all by this share or more have the same colour."""


def short(name: str, most: int = 28) -> str:
    """A contender's name for a legend: of a path its end.

    >>> short("runs/a/very/long/path/to/some/program.py")
    '…long/path/to/some/program.py'
    """
    name = printable(name)
    shown = name if len(name) <= most else "…" + name[-most:]
    # matplotlib reads formulas between dollar signs, and leaves names that begin with _ out of legends
    return shown.replace("$", r"\$") if not shown.startswith("_") else " " + shown.replace("$", r"\$")


@contextmanager
def figure(path: Path, rows: int, columns: int, size: tuple[float, float]) -> Iterator[Any]:
    """Axes to draw on, as an array [row][column]; saved in the end."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    try:
        yield axes
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise EvosearchError(f"{path}: can't write this picture: {error}") from error
    finally:
        plt.close(figure)


def tidy(axis: Any) -> None:
    """A light grid, no box."""
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _style(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)]}


def draw_comparison(
    path: Path, raced: Sequence[Raced], rows: Sequence[Standing], steps: int, metric: str
) -> None:
    """Learning curves with their intervals, and the metric in the end on every seed."""
    with figure(path, 1, 2, (11, 4.2)) as ((curves, final),):
        for index, (one, row) in enumerate(zip(raced, rows, strict=True)):
            points = list(interval_of_curve(one))
            places = curve_steps(steps, len(points))
            means = np.array([p.mean for p in points])
            bounds = np.array([p.interval or (p.mean, p.mean) for p in points])
            speed = f" ({row.speed.speed_up:.2f} x)" if index and row.speed and row.speed.steps else ""
            finite = np.isfinite(means)
            curves.plot(places[finite], means[finite], lw=1.8, label=short(row.name) + speed, **_style(index))
            curves.fill_between(
                places[finite], bounds[finite, 0], bounds[finite, 1], alpha=0.18, lw=0, **_style(index)
            )
            _dots(final, index, row)
        _scale(curves, rows)
        target = rows[0].mean.mean
        if math.isfinite(target):
            curves.axhline(target, color="0.4", ls="--", lw=1, label=f"where {short(rows[0].name)} ends")
        curves.set_xlabel("training steps")
        curves.set_ylabel(metric)
        curves.set_title("Learning curves, mean over seeds and 95 % interval", fontsize=10)
        curves.legend(frameon=False, fontsize=8)
        final.set_yticks(range(len(rows)), [short(row.name) for row in rows])
        final.invert_yaxis()
        final.set_ylim(len(rows) - 0.5, -0.5)
        final.set_xlabel(metric)
        final.set_title("In the end: every seed, mean and 95 % interval", fontsize=10)
        tidy(curves)
        tidy(final)


def _dots(axis: Any, index: int, row: Standing) -> None:
    finite = [score for score in row.scores if math.isfinite(score)]
    axis.plot(finite, [index + 0.18] * len(finite), "o", ms=4, alpha=0.4, mew=0, **_style(index))
    if math.isfinite(row.mean.mean):
        low, high = row.mean.interval or (row.mean.mean, row.mean.mean)
        axis.plot([low, high], [index, index], lw=2.5, solid_capstyle="butt", **_style(index))
        axis.plot(row.mean.mean, index, "o", ms=7, **_style(index))


SPAN = 5.0
"""Metrics that span more than this factor are drawn on a logarithmic scale."""


def _scale(axis: Any, rows: Sequence[Standing]) -> None:
    """Show the end of the curves, however high they begin."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    curves = [np.array(row.curve) for row in rows if row.curve]
    if not curves:
        return
    low, high = min(float(c.min()) for c in curves), max(float(c[len(c) // 20 :].max()) for c in curves)
    if low > 0 and high / low > SPAN:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_ylim(low / 1.15, high * 1.1)
    elif high > low:
        margin = 0.06 * (high - low)
        axis.set_ylim(low - margin, high + margin)


def draw_sweeps(path: Path, sweeps: Sequence[tuple[str, Sweep]], metric: str) -> None:
    """A heat map of the metric for each contender, all with the same colours."""
    best = min(
        (value for _, sweep in sweeps for row in sweep.metrics for value in row if math.isfinite(value)),
        default=math.nan,
    )
    columns = min(2, len(sweeps))
    rows = math.ceil(len(sweeps) / columns)
    with figure(path, rows, columns, (6.6 * columns + 0.8, 4.0 * rows)) as axes:
        flat = list(axes.flat)
        image = None
        for axis, (name, sweep) in zip(flat, sweeps, strict=False):
            image = _heat(axis, name, sweep, best)
        for axis in flat[len(sweeps) :]:
            axis.set_visible(False)
        if image is not None:
            bar = axes[0, 0].figure.colorbar(image, ax=flat, shrink=0.8, extend="max", pad=0.015)
            bar.set_label(f"worse than the best of all ({best:.4g}), %\n{metric}", fontsize=8)


def _heat(axis: Any, name: str, sweep: Sweep, best: float) -> Any:
    values = np.array(sweep.metrics)
    worse = 100 * (values / best - 1)
    shown = np.ma.masked_invalid(worse)
    axis.set_facecolor("0.85")
    image = axis.imshow(shown, cmap="viridis_r", vmin=0, vmax=100 * WORST, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        dark = math.isfinite(value) and worse[row, column] > 45 * WORST
        text = f"{value:.3g}" if math.isfinite(value) and value < 1e4 else "failed"
        axis.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    _box(axis, sweep.tuned, "tuned", "#D55E00")
    if sweep.best is not None and sweep.best != sweep.tuned:
        _box(axis, sweep.best, "best", "#000000")
    axis.set_xticks(range(len(sweep.columns)), [f"{x:.3g}" for x in sweep.columns], fontsize=8)
    axis.set_yticks(range(len(sweep.rows)), [f"{x:.3g}" for x in sweep.rows], fontsize=8)
    axis.set_xlabel(sweep.names[1], fontsize=9)
    axis.set_ylabel(sweep.names[0], fontsize=9)
    axis.set_title(f"{short(name)}: {100 * sweep.good:.0f} % of cells within 10 % of its best", fontsize=9)
    return image


def _box(axis: Any, place: tuple[int, int], what: str, colour: str) -> None:
    from matplotlib.patches import Rectangle

    row, column = place
    axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, lw=2, ec=colour))
    label = {"facecolor": colour, "edgecolor": "none", "pad": 1.0}
    axis.text(column - 0.44, row + 0.42, what, ha="left", va="top", fontsize=6, color="white", bbox=label)


def draw_batches(path: Path, points: Sequence[BatchPoint], metric: str, tuned: bool) -> None:
    """The metric over the batch size, a line for each contender, with intervals."""
    names = list(dict.fromkeys(point.contender.name for point in points))
    with figure(path, 1, 1, (6.5, 4.2)) as ((axis,),):
        for index, name in enumerate(names):
            mine = [p for p in points if p.contender.name == name and math.isfinite(p.mean.mean)]
            batches = np.array([p.batch for p in mine]) * 1.02 ** (index - (len(names) - 1) / 2)
            means = np.array([p.mean.mean for p in mine])
            bounds = [p.mean.interval or (p.mean.mean, p.mean.mean) for p in mine]
            errors = np.array([[m - low, high - m] for m, (low, high) in zip(means, bounds, strict=True)]).T
            axis.errorbar(
                batches,
                means,
                yerr=errors if len(mine) else None,
                marker=MARKS[index % len(MARKS)],
                ms=5,
                lw=1.5,
                capsize=2.5,
                label=short(name),
                **_style(index),
            )
        sizes = sorted({point.batch for point in points})
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.minorticks_off()
        axis.set_xlabel("batch size")
        axis.set_ylabel(metric)
        how = "tuned at each" if tuned else "settings as at the task's own"
        axis.set_title(f"Batch sizes at equal steps, {how}: mean and 95 % interval", fontsize=10)
        axis.legend(frameon=False, fontsize=8)
        tidy(axis)
