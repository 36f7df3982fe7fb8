"""What can be tuned: a reference by its hyperparameters, a program by two settings written into its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from evosearch.evaluation import Tuned
from evosearch.evaluation.references import REFERENCES, Grid, logarithmic
from evosearch.evaluation.settings import Statements, with_settings
from evosearch.study.surrogate import Place
from evosearch.study.tuning import values_at

Candidate = Statements | Tuned

PROGRAM_GRIDS: Mapping[str, Grid] = MappingProxyType(
    {
        # Learning rates in published programs suit large networks: small tasks want far larger ones.
        "factor": logarithmic(-2, 3, 4, 0),
        "decay": Grid(logarithmic(-6, -1, 2, -1, zero=True).values, start=0),
    }
)
"""Of a program: a factor on its updates, and decay on top of what it has; both begin where nothing changes.

The decay times the factor is what is taken off the weights in a step at the schedule's peak; in a reference
that is lr * decay.
"""


@dataclass(frozen=True)
class Tunable:
    """Somebody to tune.

    Attributes:
        name: for people.
        grids: see `tuning.tuning`.
        candidate: what to train, from a value for each grid.
    """

    name: str
    grids: Mapping[str, Grid]
    candidate: Callable[[Sequence[float]], Candidate]

    def at(self, place: Place) -> Candidate:
        """The candidate at a place in the grids."""
        return self.candidate(list(values_at(self.grids, place).values()))


def tunable_reference(name: str) -> Tunable:
    """A row of the table of references."""
    return Tunable(name, REFERENCES[name].grids, lambda values: Tuned(name, tuple(values)))


def tunable_program(name: str, statements: Statements) -> Tunable:
    """A valid program."""
    return Tunable(name, PROGRAM_GRIDS, lambda values: with_settings(statements, *values))
