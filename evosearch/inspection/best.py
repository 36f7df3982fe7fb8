"""The best programs, distinct by behaviour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from evosearch.errors import ProgramError
from evosearch.inspection.history import History
from evosearch.language import Program, parse
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.records import Row, RunReader

AT_ONCE = 25
MOST = 200
"""How many programs of different hash are looked at before the search for more behaviours is given up."""


@dataclass(frozen=True)
class Best:
    """One of the best programs.

    Attributes:
        row: the first program of its hash, as it was recorded.
        score: what is known of its score by now.
        seeds: how many seeds that rests on.
        live: the program without dead code; None if it has primitives that are not known here.
        alike: how many of the programs looked at have another hash and the same fingerprint, none better.
    """

    row: Row
    score: float
    seeds: int
    live: Program | None
    alike: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        row = self.row
        return {
            "id": row.id,
            "score": self.score,
            "seeds": self.seeds,
            "round": row.round,
            "restart": row.restart,
            "statements": row.statements,
            "live_statements": row.live_statements,
            "hash": row.hash.hex(),
            "alike": self.alike,
            "mutation": row.mutation,
            "before": row.before,
            "after": row.after,
            "text": row.text,
            "live_text": None if self.live is None else str(self.live),
        }


def best(run: RunReader, history: History, n: int) -> list[Best]:
    """The best programs, best first, no two with the same hash or the same behavioural fingerprint.

    Args:
        run: where the rows are.
        history: of that run.
        n: how many; fewer come back if the best `MOST` (or `n`, if that is more) hold fewer behaviours.

    Returns:
        Programs that trained to the end; empty if none did. Those whose hashes differ and whose fingerprints
        agree count as one, the best of them; programs that can't be read here are told apart by hash alone.

    Raises:
        RunError: a part is damaged.
    """
    found: dict[bytes, Best] = {}
    latest = history.ranked()[: max(n, MOST)]
    for begin in range(0, len(latest), AT_ONCE):
        ids = latest[begin : begin + AT_ONCE].tolist()
        for id_, row in zip(ids, run.take([history.first_id(i) for i in ids]), strict=True):
            live = _live(row, f"{run.path}:{row.id}")
            behaviour = row.hash if live is None else fingerprint(live.statements)
            if behaviour in found:
                found[behaviour] = replace(found[behaviour], alike=found[behaviour].alike + 1)
            elif len(found) < n:
                score, seeds = float(history.score[id_]), int(history.seeds[id_])
                found[behaviour] = Best(row, score, seeds, live, 0)
        if len(found) >= n:
            break
    return list(found.values())


def _live(row: Row, source: str) -> Program | None:
    try:
        return Program(live_statements(parse(row.text, source).statements))
    except ProgramError:  # made with another vocabulary
        return None
