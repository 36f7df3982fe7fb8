"""The outcomes that a run already has, for the replay."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from evosearch.evaluation.outcome import Outcome
from evosearch.records.parts import Part, read_evaluations
from evosearch.records.row import Evaluation

WINDOW = 10_000
"""How far behind the largest id asked for an id may be."""


class OutcomeReader:
    """Hands out each outcome once, while ids rise; holds no more than the parts around the last one.

    Ids may come in any order as long as none is more than `WINDOW` behind the largest so far. Negative ids
    (the warm start's) and ids after the last part come from the journal, at any time.
    """

    def __init__(self, parts: Sequence[Part], journal: Iterable[Evaluation]) -> None:
        """Read from these parts, and from what the journal had.

        Args:
            parts: contiguous from id 0 on.
            journal: evaluations of other ids.
        """
        self._parts = tuple(parts)
        self._firsts = [part.first for part in parts]
        self._end = parts[-1].end if parts else 0
        self._journal = {evaluation.id: evaluation.outcome for evaluation in journal}
        self._loaded: dict[int, dict[int, Outcome]] = {}
        self._newest = -1

    @property
    def buffered(self) -> int:
        """How many outcomes are in memory now."""
        return len(self._journal) + sum(map(len, self._loaded.values()))

    def take(self, id: int) -> Outcome | None:
        """The outcome of a candidate's job; None if there is none, or it was taken before.

        Raises:
            ValueError: the id is more than `WINDOW` behind one asked for before.
            RunError: a part is damaged.
        """
        if not 0 <= id < self._end:
            return self._journal.pop(id, None)
        if id > self._newest:
            self._newest = id
            self._forget()
        elif id < self._newest - WINDOW:
            raise ValueError(f"id {id} was asked for after {self._newest}: more than {WINDOW} behind")
        index = bisect_right(self._firsts, id) - 1
        if index not in self._loaded:
            self._loaded[index] = {found.id: found.outcome for found in read_evaluations(self._parts[index])}
        return self._loaded[index].pop(id, None)

    def _forget(self) -> None:
        passed = [i for i in self._loaded if self._parts[i].end <= self._newest - WINDOW]
        for index in passed:
            del self._loaded[index]
