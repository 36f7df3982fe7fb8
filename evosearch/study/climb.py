"""A line search for the learning rate: few trainings, for many candidates on large tasks. Pure logic.

It begins where the candidate did best on a smaller task, or over the whole grid, and walks downhill.
"""

from __future__ import annotations

import math
from collections.abc import Generator

Climb = Generator[int, float, int]
"""Yields a place to score, is sent its score (lower is better), and returns the best place."""

STRIDE = 2


def climb(size: int, start: int | None) -> Climb:
    """The best place of a grid, supposing that scores have one valley.

    Args:
        size: of the grid.
        start: where to begin; None scores every second place first and then the neighbours of the best.

    Example:
        search = climb(13, None)
        place = next(search)
        try:
            while True:
                place = search.send(score_at(place))
        except StopIteration as end:
            best = end.value
    """
    known: dict[int, float] = {}
    if start is None:
        for place in range(size % STRIDE, size, STRIDE):
            known[place] = _rank((yield place))
        for place in _neighbours(_best(known), size):
            known[place] = _rank((yield place))
        return _best(known)
    known[start] = _rank((yield start))
    for step in (-1, 1):
        place = start + step
        while 0 <= place < size and _best(known) == place - step:
            known[place] = _rank((yield place))
            place += step
    return _best(known)


def _rank(score: float) -> float:
    return score if math.isfinite(score) else math.inf


def _neighbours(place: int, size: int) -> list[int]:
    return [near for near in (place - 1, place + 1) if 0 <= near < size]


def _best(known: dict[int, float]) -> int:
    """Of equal scores the smallest rate, which is the safest."""
    return min(sorted(known), key=known.__getitem__)
