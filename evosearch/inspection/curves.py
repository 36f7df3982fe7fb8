"""A run's curves over its progress: scores, cache hits, redundancy, length, and what mutations did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evosearch.inspection.history import Floats, History
from evosearch.inspection.mutations import Effect, effects

PARTS = 10
POINTS = 200


@dataclass(frozen=True)
class Curves:
    """A run's curves.

    Attributes:
        tenths: for each tenth of the programs: programs (generated so far), cache_hits, redundancy,
            statements, live_statements (means), best_score (so far), median_score (of the programs that
            train; None if none does) and each effect of mutations by its name, a share. Empty for a run of
            less than ten programs.
        progress: (points,) programs generated so far.
        best: (points,) best score so far.
        median: (points,) median score of the programs since the point before that train; NaN for none.
        cache_hits: (points,) share among the programs since the point before.
        redundancy: (points,) share of statements that are not live, likewise.
        statements: (points,) mean length, likewise.
        live_statements: (points,) mean length without dead code, likewise.
        effects: for each effect of mutations (points,) its share, likewise; empty without mutations.
    """

    tenths: list[dict[str, float | None]]
    progress: Floats
    best: Floats
    median: Floats
    cache_hits: Floats
    redundancy: Floats
    statements: Floats
    live_statements: Floats
    effects: dict[str, Floats]


def curves(history: History, points: int = POINTS) -> Curves:
    """The curves of a run.

    Args:
        history: of the run.
        points: how many points a curve has, at most.
    """
    found = _pieces(history, min(points, len(history)))
    tenths = _pieces(history, PARTS) if len(history) >= PARTS else {"programs": np.zeros(0)}
    rows = zip(*[column.tolist() for column in tenths.values()], strict=True)
    names = [effect.name for effect in Effect if effect.name in found]
    return Curves(
        tenths=[{k: None if v != v else v for k, v in zip(tenths, row, strict=True)} for row in rows],
        progress=found["programs"],
        best=found["best_score"],
        median=found["median_score"],
        cache_hits=found["cache_hits"],
        redundancy=found["redundancy"],
        statements=found["statements"],
        live_statements=found["live_statements"],
        effects={name: found[name] for name in names},
    )


def _pieces(history: History, pieces: int) -> dict[str, Floats]:
    """Each curve in so many pieces of equal length."""
    ends = np.array([part[-1] + 1 for part in np.array_split(np.arange(len(history)), pieces)])
    sizes = np.diff(ends, prepend=0)

    def mean(column: NDArray[np.generic]) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(column.astype(np.float64))])[ends]
        return np.asarray(np.diff(sums, prepend=0.0) / sizes)

    statements, live = mean(history.statements), mean(history.live_statements)
    found = {
        "programs": ends.astype(np.float64),
        "cache_hits": mean(history.cache_hit),
        "redundancy": 1 - live / np.maximum(statements, 1e-12),
        "statements": statements,
        "live_statements": live,
        "best_score": history.best_so_far[ends - 1],
        "median_score": _medians(history.score, ends),
    }
    if history.warm_start is not None:
        effect = effects(history)
        found.update({e.name: mean(effect == number) for number, e in enumerate(Effect)})
    return found


def _medians(score: Floats, ends: NDArray[np.int64]) -> Floats:
    medians = []
    for piece in np.split(score, ends[:-1]):
        finite = piece[np.isfinite(piece)]
        medians.append(float(np.median(finite)) if len(finite) else float("nan"))
    return np.array(medians)
