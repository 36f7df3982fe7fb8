"""What a running search tells whoever watches; a view draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from evosearch.workers import Staff


@dataclass(frozen=True)
class Progress:
    """The state of a search at one moment.

    Attributes:
        name: of the search.
        seconds: of searching, earlier sessions of the same run included.
        share: of the budget that is spent, 0 to 1.
        generated: programs generated.
        evaluated: evaluations asked for.
        replayed: programs whose history is repeated from the record after a resume; 0 when all is new.
        programs_per_second: over the last seconds.
        evaluations_per_second: over the last seconds.
        cache_hits: share of the programs generated lately.
        redundancy: share of statements that are not live, among the programs generated lately.
        warm_start_score: lower is better.
        best_score: the best estimate so far.
        best_id: which program has it.
        best_text: its live statements, as a program.
        round: which round of restarts.
        restart: which run of that round.
        workers: how many are ready, of how many; None where no workers come and go.
    """

    name: str
    seconds: float
    share: float
    generated: int
    evaluated: int
    replayed: int
    programs_per_second: float
    evaluations_per_second: float
    cache_hits: float
    redundancy: float
    warm_start_score: float
    best_score: float
    best_id: int
    best_text: str
    round: int
    restart: int
    workers: Staff | None = None


class View(Protocol):
    """Shows what happens; implementations draw live, print lines, or stay silent."""

    def stage(self, name: str, done: int, total: int) -> None:
        """A piece of work besides the search itself: `done` of `total` parts are finished."""
        ...

    def progress(self, progress: Progress) -> None:
        """The search has moved."""
        ...


class Silent:
    """A view that shows nothing."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Nothing."""

    def progress(self, progress: Progress) -> None:
        """Nothing."""
