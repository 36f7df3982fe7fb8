"""A run's curves over its progress: scores, cache hits, redundancy, length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evosearch.errors import EvosearchError
from evosearch.records import RunReader

PARTS = 10
POINTS = 200


@dataclass(frozen=True)
class Curves:
    """A run's curves.

    Attributes:
        tenths: for each tenth of the programs: cache_hits, redundancy, statements, live_statements (means),
            best_score (so far) and programs (generated so far).
        outcomes: how many evaluations ended in which way.
        progress: (points,) programs generated so far.
        best: (points,) best score so far.
        cache_hits: (points,) share among the programs since the point before.
        redundancy: (points,) share of statements that are not live, likewise.
    """

    tenths: list[dict[str, float]]
    outcomes: dict[str, int]
    progress: NDArray[np.float64]
    best: NDArray[np.float64]
    cache_hits: NDArray[np.float64]
    redundancy: NDArray[np.float64]


def curves(run: RunReader) -> Curves:
    """Read a run's curves from its record."""
    table = run.candidates(["score", "cache_hit", "statements", "live_statements", "outcome", "steps"])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    score = np.minimum.accumulate(columns["score"].astype(float)) if len(table) else np.zeros(0)
    hits = columns["cache_hit"].astype(float)
    total, live = columns["statements"].astype(float), columns["live_statements"].astype(float)
    evaluated = columns["outcome"][columns["steps"] > 0]
    names, counts = np.unique(evaluated.astype(str), return_counts=True)
    tenths = []
    for part in np.array_split(np.arange(len(table)), PARTS) if len(table) >= PARTS else []:
        tenths.append(
            {
                "programs": float(part[-1] + 1),
                "cache_hits": float(hits[part].mean()),
                "redundancy": float(1 - live[part].sum() / max(1.0, total[part].sum())),
                "statements": float(total[part].mean()),
                "live_statements": float(live[part].mean()),
                "best_score": float(score[part[-1]]),
            }
        )
    pieces = [p for p in np.array_split(np.arange(len(table)), min(POINTS, max(1, len(table)))) if len(p)]
    return Curves(
        tenths=tenths,
        outcomes={str(n): int(c) for n, c in zip(names, counts, strict=True)},
        progress=np.array([p[-1] + 1.0 for p in pieces]),
        best=np.array([score[p[-1]] for p in pieces]),
        cache_hits=np.array([hits[p].mean() for p in pieces]),
        redundancy=np.array([1 - live[p].sum() / max(1.0, total[p].sum()) for p in pieces]),
    )


def draw_curves(path: Path, runs: Mapping[str, Curves], paper: Mapping[str, float]) -> None:
    """Draw the curves of one or more runs as a PNG.

    Args:
        path: where to write; an existing file is replaced.
        runs: curves by name.
        paper: the published figures, drawn as dotted lines.

    Raises:
        EvosearchError: the file can't be written.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for name, c in runs.items():
        axes[0].step(c.progress, c.best, where="post", label=name)
        axes[1].plot(c.progress, 100 * c.cache_hits, lw=1)
        axes[2].plot(c.progress, 100 * c.redundancy, lw=1)
    for axis, key in ((axes[1], "cache_hits"), (axes[2], "redundancy")):
        axis.axhline(100 * paper[key], ls=":", color="gray", label="paper, late in the search")
        axis.set_ylim(0, 100)
        axis.legend(loc="lower right", frameon=False)
    titles = ("Best score so far (lower is better)", "Cache hits, %", "Redundant statements, %")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("programs generated")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as error:
        raise EvosearchError(f"{path}: can't write this picture: {error}") from error
    finally:
        plt.close(figure)
