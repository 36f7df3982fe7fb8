"""The picture of `evosearch fidelity`: how each small task ranks against each larger one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evosearch.study.agreement import Agreement
from proxy_tasks import PRESETS, TASKS


def plot_fidelity(found: dict[str, Any], path: Path) -> None:
    """Draw heat maps of the correlations of tiny tasks (rows) with larger ones (columns), one a size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = [name for name in TASKS if name in found["tasks"]]
    measured = {one.second[1] for one in found["across"]}
    sizes = [size for size in PRESETS[1:] if size in measured] or [PRESETS[1]]
    width, height = 1.6 + 0.55 * len(tasks), 1.4 + 0.5 * len(tasks)
    figure, every = pyplot.subplots(
        1, len(sizes), figsize=(width * len(sizes), height), squeeze=False, layout="constrained"
    )
    for axes, size in zip(every[0], sizes, strict=True):
        image = _heat_map(axes, tasks, [one for one in found["across"] if one.second[1] == size])
        axes.set_xlabel(size)
    every[0][0].set_ylabel(PRESETS[0])
    figure.suptitle("Rank correlation of optimizers on small tasks with that on larger ones")
    figure.colorbar(image, ax=every[0].tolist(), shrink=0.7, label="Spearman")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _heat_map(axes: Any, tasks: Sequence[str], across: Sequence[Agreement]) -> Any:
    values = np.full((len(tasks), len(tasks)), np.nan)
    for one in across:
        values[tasks.index(one.first[0]), tasks.index(one.second[0])] = one.rho
    image = axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1)
    axes.set_xticks(range(len(tasks)), tasks, rotation=45, ha="right")
    axes.set_yticks(range(len(tasks)), tasks)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 else "black"
            text = f"{value:.2f}".replace("0.", ".")
            axes.text(column, row, text, ha="center", va="center", color=colour, size=7)
    return image
