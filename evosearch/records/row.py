"""What a run records, as plain values: a row of the history, and an evaluation."""

from __future__ import annotations

from typing import NamedTuple

from evosearch.evaluation.outcome import Outcome

Seeds = tuple[tuple[int, ...], ...]
"""The seeds that a job trained with [task][seed]."""


class Row(NamedTuple):
    """One program that the search generated.

    Attributes:
        id: 0, 1, 2, ... in the order of breeding.
        parent: the parent's id; -1 for the warm start.
        round: of the restarts.
        restart: which of the round's runs.
        mutation: `insert`, `modify`, `delete` or `random`.
        statement: index of the statement that was changed.
        before: its text in the parent, or "".
        after: its text in the child, or "".
        invalid: children thrown away before this one was valid.
        hash: the canonical hash, 16 bytes.
        text: the whole program.
        statements: how many it has.
        live_statements: how many of them matter.
        cache_hit: whether it was scored by what was known already.
        outcome: name of the `Status` of the program's estimate when this row was made.
        score: that estimate; lower is better, infinite where training failed.
        seeds: how many seeds the estimate rests on.
        steps: training steps done for this row.
        seconds: what they took, on the worker.
    """

    id: int
    parent: int
    round: int
    restart: int
    mutation: str
    statement: int
    before: str
    after: str
    invalid: int
    hash: bytes
    text: str
    statements: int
    live_statements: int
    cache_hit: bool
    outcome: str
    score: float
    seeds: int
    steps: int
    seconds: float


class Evaluation(NamedTuple):
    """A candidate's job and what came out; negative ids are the warm start's."""

    id: int
    seeds: Seeds
    outcome: Outcome
