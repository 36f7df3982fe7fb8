"""Histories of runs, and what sets two of them apart."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from evosearch.errors import EvosearchError
from evosearch.records import RunReader


def history(run: Path) -> pa.Table:
    """All that a run says of its candidates, except what clocks measured."""
    return RunReader(run).candidates().drop_columns(["seconds"])


def differences(run: Path, expected: pa.Table) -> list[str]:
    """A sentence if a run's history is not the expected one, or its record is damaged.

    Args:
        run: its folder.
        expected: what `history` says of an undisturbed run.
    """
    try:
        found = history(run)
        evaluations = RunReader(run).evaluations(["id"])["id"].to_pylist()
    except EvosearchError as error:
        return [f"{run}: {error}"]
    sentences = []
    if len(set(evaluations)) != len(evaluations):
        sentences.append(f"{run}: a candidate has two evaluations")
    if found["id"].to_pylist() != list(range(expected.num_rows)):
        sentences.append(f"{run}: ids are not 0 to {expected.num_rows - 1}, each once")
    elif not found.equals(expected):
        rows = zip(found.to_pylist(), expected.to_pylist(), strict=True)
        ours, theirs = next((ours, theirs) for ours, theirs in rows if ours != theirs)
        column = next(name for name in theirs if ours[name] != theirs[name])
        sentences.append(
            f"{run}: the history differs from the undisturbed one, first in candidate {theirs['id']}: "
            f"{column} is {ours[column]!r}, there {theirs[column]!r}"
        )
    return sentences
