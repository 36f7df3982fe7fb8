"""One program's way from the warm start, replayed from the mutations that its row and its ancestors' tell.

Every statement remembers who wrote its present text, so that one can say which steps the program at the end
still consists of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evosearch.errors import RunError
from evosearch.evolution.engine import WARM_START
from evosearch.inspection.history import RANDOM, History, exchanged
from evosearch.inspection.live_code import live_flags
from evosearch.language import Statement, parse
from evosearch.records import RunReader


class Writer(NamedTuple):
    """Who brought a statement's present text: a program's id (-1 is the warm start), and the index it had."""

    id: int
    statement: int


class Ancestor(NamedTuple):
    """A program on the way.

    Attributes:
        id: -1 for the warm start.
        mutation: what was done to the one before: `insert`, `modify`, `delete`; "" for the first.
        statement: index of the statement that was changed.
        before: its text before, or "".
        after: its text after, or "".
        statements: the program.
        writers: for each statement who brought its present text.
        live: for each statement, whether a live output depends on it.
    """

    id: int
    mutation: str
    statement: int
    before: str
    after: str
    statements: tuple[Statement, ...]
    writers: tuple[Writer, ...]
    live: tuple[bool, ...]


def ancestor_ids(history: History, id: int) -> list[int]:
    """The ids from the first child of the warm start to `id`.

    Raises:
        RunError: there is no such id; or a parent is younger than its child, so the run is damaged.
    """
    if not 0 <= id < len(history):
        raise RunError(f"there is no candidate {id} in {history.run}: ids go from 0 to {len(history) - 1}")
    ids = []
    while id != WARM_START:
        ids.append(id)
        parent = int(history.parent[id])
        if not WARM_START <= parent < id:
            raise RunError(
                f"{history.run}:{id} has the parent {parent}, expected an older program: "
                "restore the run from a copy"
            )
        id = parent
    return ids[::-1]


def ancestry(run: RunReader, history: History, id: int) -> list[Ancestor]:
    """A program and all its ancestors, the oldest first: the warm start, or a program drawn at random.

    Raises:
        RunError: there is no such id; or a mutation does not fit its parent, so the run is damaged.
    """
    ids = ancestor_ids(history, id)
    last = run.row(id)
    end = parse(last.text, f"{run.path}:{id}").statements
    if history.warm_start is None:
        return [_founder(id, RANDOM, end)]
    table = run.candidates(["mutation", "statement", "before", "after"]).take(np.array(ids))
    columns = [table[name].to_pylist() for name in table.column_names]
    found = [_founder(WARM_START, "", history.warm_start.statements)]
    for child, kind, position, before, after in zip(ids, *columns, strict=True):
        found.append(_child(found[-1], child, kind, position, before, after, f"{run.path}:{child}"))
    if found[-1].statements != end:
        raise RunError(
            f"the text of {run.path}:{id} is not what its ancestors' mutations give: "
            "restore the run from a copy"
        )
    return found


def _founder(id: int, mutation: str, statements: tuple[Statement, ...]) -> Ancestor:
    writers = tuple(Writer(id, index) for index in range(len(statements)))
    return Ancestor(id, mutation, 0, "", "", statements, writers, live_flags(statements))


def _child(
    parent: Ancestor, id: int, mutation: str, position: int, before: str, after: str, source: str
) -> Ancestor:
    statements = exchanged(parent.statements, position, before, after, source)
    new = (Writer(id, position),) if after else ()
    writers = (*parent.writers[:position], *new, *parent.writers[position + (1 if before else 0) :])
    return Ancestor(id, mutation, position, before, after, statements, writers, live_flags(statements))
