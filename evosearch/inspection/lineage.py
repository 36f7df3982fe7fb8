"""How a program came about: each step from the warm start, and whether it mattered."""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass
from typing import Any

from evosearch.inspection.ancestry import Ancestor, ancestry
from evosearch.inspection.history import History
from evosearch.language import Program, program_text
from evosearch.language.abstract import live_statements
from evosearch.records import RunReader


@dataclass(frozen=True)
class Step:
    """One mutation on the way.

    Attributes:
        id: of the program it gave.
        mutation: `insert`, `modify` or `delete`; `random` for a program drawn from nothing.
        statement: index of the statement that was changed.
        before: its text before, or "".
        after: its text after, or "".
        score: of the program it gave, when its row was written.
        difference: score - the parent's; None if the step changed nothing, or one of them has none.
        statements: how many the program has.
        live_statements: how many of them matter.
        changed: whether the hash differs from the parent's: the step reached live code.
        stays: whether what it wrote stands in the live code of the program at the end.
    """

    id: int
    mutation: str
    statement: int
    before: str
    after: str
    score: float
    difference: float | None
    statements: int
    live_statements: int
    changed: bool
    stays: bool

    @property
    def mattered(self) -> bool:
        """Whether it changed what the program computes, or wrote what came to life later."""
        return self.changed or self.stays


@dataclass(frozen=True)
class Lineage:
    """A program's way from the warm start.

    Attributes:
        id: the program's.
        start: what it began as; None if it was drawn at random.
        start_score: the warm start's score; NaN if not known.
        end: the program.
        steps: all of them, the oldest first.
    """

    id: int
    start: Program | None
    start_score: float
    end: Program
    steps: tuple[Step, ...]

    @property
    def mattered(self) -> tuple[Step, ...]:
        """The steps that changed what the program computes, or wrote what came to life later."""
        return tuple(step for step in self.steps if step.mattered)

    def diff(self) -> list[str]:
        """The live code of the warm start and of the program, as a unified diff."""
        start = _live_lines(self.start) if self.start else []
        names = ("the warm start, live statements", f"program {self.id}, live statements")
        return list(difflib.unified_diff(start, _live_lines(self.end), *names, lineterm="", n=100))

    def to_json(self) -> dict[str, Any]:
        """Plain data, every step."""
        return {
            "id": self.id,
            "warm_start_score": self.start_score,
            "warm_start_text": str(self.start) if self.start else None,
            "text": str(self.end),
            "steps": [{**asdict(step), "mattered": step.mattered} for step in self.steps],
            "mattered": len(self.mattered),
        }


def _live_lines(program: Program) -> list[str]:
    return program_text(live_statements(program.statements)).splitlines()


def lineage(run: RunReader, history: History, id: int) -> Lineage:
    """How a program came about.

    Args:
        run: where the mutations are.
        history: of that run.
        id: of the program.

    Raises:
        RunError: there is no such id, or the run is damaged.

    Example:
        for step in lineage(run, history, 1234).mattered:
            print(step.id, step.mutation, step.before, "->", step.after, step.score)
    """
    way = ancestry(run, history, id)
    end = way[-1]
    stays = {writer.id for writer, live in zip(end.writers, end.live, strict=True) if live}
    changed, parent_score = history.changed, history.parent_score
    steps = way if history.warm_start is None else way[1:]
    return Lineage(
        id=id,
        start=history.warm_start,
        start_score=history.warm_score,
        end=Program(end.statements),
        steps=tuple(
            _step(a, history, bool(changed[a.id]), float(parent_score[a.id]), a.id in stays) for a in steps
        ),
    )


def _step(a: Ancestor, history: History, changed: bool, parent_score: float, stays: bool) -> Step:
    score = float(history.score[a.id])
    difference = score - parent_score
    finite = abs(difference) < float("inf")  # false for NaN, too
    return Step(
        id=a.id,
        mutation=a.mutation,
        statement=a.statement,
        before=a.before,
        after=a.after,
        score=score,
        difference=difference if changed and finite else None,
        statements=len(a.statements),
        live_statements=sum(a.live),
        changed=changed,
        stays=stays,
    )
