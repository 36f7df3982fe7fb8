"""A run under inspection: each question is answered once, when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from evosearch.cli.console import printable
from evosearch.cli.find import foreign
from evosearch.inspection import (
    Best,
    Curves,
    History,
    Idea,
    Lineage,
    MutationStatistics,
    OutcomeStatistics,
    PrimitiveUse,
    best,
    curves,
    ideas,
    lineage,
    mutation_statistics,
    outcome_statistics,
    primitives_used,
    read_history,
)
from evosearch.inspection.survey import Survey, survey
from evosearch.records import RunReader


@dataclass(frozen=True)
class Inspected:
    """A run and what is asked of it.

    Attributes:
        run: the run.
        asked: the program asked for; None for the best.
        top: how many of the best.
        all_steps: whether a lineage is shown with the steps that did not matter.
    """

    run: RunReader
    asked: int | None = None
    top: int = 10
    all_steps: bool = False

    @cached_property
    def history(self) -> History:
        """The run's columns."""
        return read_history(self.run)

    @cached_property
    def survey(self) -> Survey:
        """What stands in live code."""
        return survey(self.run, self.history)

    @cached_property
    def best(self) -> list[Best]:
        """The best programs."""
        return best(self.run, self.history, self.top)

    @cached_property
    def foreign(self) -> str:
        """A sentence if the run was made with another vocabulary, so that not all of it can be read here."""
        return foreign(self.run)

    @property
    def trained(self) -> bool:
        """Whether any program trained to the end."""
        return bool(len(self.history.ranked()))

    @cached_property
    def id(self) -> int:
        """The program that is asked about."""
        return self.history.best_id() if self.asked is None else self.asked

    @property
    def name(self) -> str:
        """The program, as people call it."""
        return printable(f"{self.run.path}:{self.id}")

    @cached_property
    def lineage(self) -> Lineage:
        """How that program came about."""
        return lineage(self.run, self.history, self.id)

    @cached_property
    def ideas(self) -> list[Idea]:
        """When its ideas appeared."""
        return ideas(self.run, self.history, self.survey, self.id)

    @cached_property
    def mutations(self) -> MutationStatistics:
        """What mutations did."""
        return mutation_statistics(self.history)

    @cached_property
    def primitives(self) -> list[PrimitiveUse]:
        """What the good are made of."""
        return primitives_used(self.history, self.survey)

    @cached_property
    def outcomes(self) -> OutcomeStatistics:
        """How evaluations ended."""
        return outcome_statistics(self.run, self.history)

    @cached_property
    def curves(self) -> Curves:
        """All that over the run's progress."""
        return curves(self.history)
