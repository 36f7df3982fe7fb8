"""The picture of `evosearch fidelity`: how each small task ranks against each larger one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from proxy_tasks import TASKS


def plot_fidelity(found: dict[str, Any], path: Path) -> None:
    """Draw a heat map of the correlations of tiny tasks (rows) with x10 tasks (columns)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = [name for name in TASKS if name in found["tasks"]]
    values = np.full((len(tasks), len(tasks)), np.nan)
    for one in found["across"]:
        values[tasks.index(one.first[0]), tasks.index(one.second[0])] = one.rho
    figure, axes = pyplot.subplots(figsize=(1.6 + 0.55 * len(tasks), 1.4 + 0.5 * len(tasks)))
    image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(tasks)), tasks, rotation=45, ha="right")
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_xlabel("x10")
    axes.set_ylabel("tiny")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            axes.text(
                column, row, f"{value:.2f}".replace("0.", "."), ha="center", va="center", color=colour, size=7
            )
    axes.set_title("Rank correlation of optimizers on small tasks with that on larger ones")
    figure.colorbar(image, shrink=0.7, label="Spearman")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
