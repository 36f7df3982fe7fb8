"""Which primitives the good programs are made of, beside all programs of the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evosearch.evolution.engine import WARM_START
from evosearch.inspection.history import History
from evosearch.inspection.survey import PRIMITIVES, Survey

GOOD = 100
"""How many of the best programs, distinct by hash, count as the good."""


@dataclass(frozen=True)
class PrimitiveUse:
    """Where a primitive is used: in live statements that depend on an input.

    Attributes:
        name: of the primitive.
        good: share of the good programs that use it.
        all: share of all different programs that use it.
        ratio: good / all.
        programs: how many different programs use it.
        failed: share of these that do not train.
        warm_start: whether the warm start uses it; None if there is none.
        first: the first program that uses it; -1 for the warm start.
        first_score: that program's score.
    """

    name: str
    good: float
    all: float
    ratio: float
    programs: int
    failed: float
    warm_start: bool | None
    first: int
    first_score: float


def primitives_used(history: History, looked: Survey, good: int = GOOD) -> list[PrimitiveUse]:
    """The primitives in live code, those of the good first.

    The good of one run are relatives: that many of them use a primitive is one discovery and not many.

    Args:
        history: of the run.
        looked: the survey of that run.
        good: how many of the best programs, distinct by hash, count as good.

    Returns:
        A row for each primitive that some program uses.

    Raises:
        RunError: no program has trained to the end, so none is good.
    """
    history.best_id()  # raises if there is none
    ranked = history.ranked()[: max(1, good)]
    first_row = history.first_rows
    row_of = np.searchsorted(looked.first, first_row)  # of a hash's number, its row in the survey
    best = looked.uses[row_of[history.program[ranked]]]
    warm = _warm_start(history, looked)
    found = []
    for column, name in enumerate(PRIMITIVES):
        users = looked.first[looked.uses[:, column]]
        if not len(users):
            continue
        shares = float(best[:, column].mean()), len(users) / len(looked.first)
        begins = warm is not None and name in warm
        found.append(
            PrimitiveUse(
                name=name,
                good=shares[0],
                all=shares[1],
                ratio=shares[0] / shares[1],
                programs=len(users),
                failed=float((~np.isfinite(history.score[users])).mean()),
                warm_start=None if warm is None else begins,
                first=WARM_START if begins else int(users[0]),
                first_score=history.warm_score if begins else float(history.score[users[0]]),
            )
        )
    return sorted(found, key=lambda use: (-use.good, -use.all, use.name))


def _warm_start(history: History, looked: Survey) -> set[str] | None:
    if history.warm_start is None:
        return None
    return {live.primitive for live in looked.reader.of(history.warm_start.statements)}
