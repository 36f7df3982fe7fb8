"""When each idea of a program appeared first: in the run, and on the program's own way."""

from __future__ import annotations

from dataclasses import dataclass

from evosearch.evolution.engine import WARM_START
from evosearch.inspection.ancestry import Ancestor, Writer, ancestry
from evosearch.inspection.history import History
from evosearch.inspection.live_code import LiveCode
from evosearch.inspection.survey import Survey
from evosearch.records import RunReader


@dataclass(frozen=True)
class Idea:
    """One live statement of a program, and its past. The id -1 is the warm start.

    Attributes:
        statement: its index in the program.
        text: the statement.
        constant: whether it depends on no input, so that it is a number and no idea.
        first: the first program of the run in whose live code this idea stands, with any constants
            (`live_code` tells what an idea is); None for a number.
        first_score: that program's score.
        written: the ancestor that brought this very text.
        alive: the first ancestor with this text in its live code.
        score: that ancestor's score.
        difference: that score - its parent's; None for the warm start, or where one of them has none.
    """

    statement: int
    text: str
    constant: bool
    first: int | None
    first_score: float | None
    written: int
    alive: int
    score: float
    difference: float | None


def ideas(run: RunReader, history: History, looked: Survey, id: int) -> list[Idea]:
    """The live statements of a program, with when and by whom each was found.

    Args:
        run: where the mutations are.
        history: of that run.
        looked: the survey of that run.
        id: of the program.

    Raises:
        RunError: there is no such id, or the run is damaged.
    """
    way = ancestry(run, history, id)
    end = way[-1]
    alive = _first_alive(way)
    first = dict(looked.ideas)
    if history.warm_start is not None:
        first.update(dict.fromkeys(_numbers(looked.reader, way[0]).values(), WARM_START))
    numbers = _numbers(looked.reader, end)
    found = []
    for index, (statement, writer) in enumerate(zip(end.statements, end.writers, strict=True)):
        if end.live[index]:
            # Every idea of a program of the run was seen by the survey, under its hash's first row.
            begin = first[numbers[index]] if index in numbers else None
            found.append(_idea(history, index, statement.text, begin, writer.id, alive[writer]))
    return found


def _numbers(reader: LiveCode, ancestor: Ancestor) -> dict[int, int]:
    """The idea of each live statement that is no number."""
    return {live.statement: live.idea for live in reader.of(ancestor.statements)}


def _first_alive(way: list[Ancestor]) -> dict[Writer, int]:
    """For each statement of the program at the end, the first ancestor in whose live code it stands."""
    found: dict[Writer, int] = {}
    for ancestor in way:
        for writer, live in zip(ancestor.writers, ancestor.live, strict=True):
            if live:
                found.setdefault(writer, ancestor.id)
    return found


def _idea(history: History, index: int, text: str, first: int | None, writer: int, alive: int) -> Idea:
    score = _score(history, alive)
    before = float(history.parent_score[alive]) if alive != WARM_START else float("nan")
    difference = score - before
    return Idea(
        statement=index,
        text=text,
        constant=first is None,
        first=first,
        first_score=None if first is None else _score(history, first),
        written=writer,
        alive=alive,
        score=score,
        difference=difference if abs(difference) < float("inf") else None,
    )


def _score(history: History, id: int) -> float:
    return history.warm_score if id == WARM_START else float(history.score[id])
