"""Reading a run: viewers and later commands; also while it is being written."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from evosearch.errors import RunError, nearest
from evosearch.json_text import from_json
from evosearch.records.files import read_text
from evosearch.records.layout import Layout
from evosearch.records.parts import (
    CANDIDATES,
    EVALUATIONS,
    ROWS_PER_GROUP,
    read_candidates,
    read_evaluations_table,
    read_parts,
    rows_from,
)
from evosearch.records.row import Row

_GROUPS_KEPT = 8


class RunReader:
    """A run as it was when it was opened; open it again to see more.

    Attributes:
        path: the run's folder.
        config_text: the content of `config.yaml`.
        rows: how many candidates are in it; their ids are 0 to `rows` - 1.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a run; no lock is taken, nothing is written.

        Raises:
            RunError: there is no run, it is damaged, or of a newer schema.
        """
        self._layout = Layout(Path(path))
        self._layout.check_run()
        self.path = self._layout.root
        self.config_text = read_text(self._layout.config)
        self._parts = read_parts(self._layout)
        self._firsts = [part.first for part in self._parts]
        self.rows = self._parts[-1].end if self._parts else 0
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()

    @classmethod
    def open(cls, path: Path | str) -> RunReader:
        """The run in a folder; see `RunReader`."""
        return cls(path)

    @property
    def best_text(self) -> str | None:
        """The content of `best.py` now, None if there is none yet."""
        return read_text(self._layout.best) if self._layout.best.exists() else None

    @property
    def summary(self) -> dict[str, Any] | None:
        """The content of `summary.json` now, None if there is none yet.

        Raises:
            RunError: it is damaged.
        """
        if not self._layout.summary.exists():
            return None
        try:
            found = from_json(read_text(self._layout.summary))
        except ValueError as error:
            raise RunError(f"{self._layout.summary} is damaged ({error}): remove it") from error
        if not isinstance(found, dict):
            raise RunError(f"{self._layout.summary} is damaged (expected an object in braces): remove it")
        return found

    def candidates(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The history as one table, in the order of ids; the index of a row is its id.

        Args:
            columns: names of fields of `Row`; None for all.

        Raises:
            RunError: there is no such column, or a part is damaged.
        """
        schema = _schema_of(columns)
        return pa.concat_tables([schema.empty_table(), *self._tables(columns)])

    def evaluations(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The outcomes of those candidates that were evaluated, by id; the warm start's are not in it.

        Args:
            columns: names of fields of `Outcome`, id or seeds; None for all.

        Raises:
            RunError: there is no such column, or a part is damaged.
        """
        schema = _schema_of(columns, EVALUATIONS)
        tables = (read_evaluations_table(part).select(schema.names) for part in self._parts)
        return pa.concat_tables([schema.empty_table(), *tables])

    def iter_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The history in pieces, with one part in memory at a time.

        Raises:
            RunError: there is no such column, or a part is damaged.
        """
        _schema_of(columns)
        return (batch for table in self._tables(columns) for batch in table.to_batches())

    def row(self, id: int) -> Row:
        """One row; only the few thousand rows around it are read, and kept for the next call.

        Raises:
            RunError: there is no such candidate, or its part is damaged.
        """
        if not 0 <= id < self.rows:
            known = f"ids go from 0 to {self.rows - 1}" if self.rows else "the run has no candidates yet"
            raise RunError(f"there is no candidate {id} in {self.path}: {known}")
        index = bisect_right(self._firsts, id) - 1
        group, position = divmod(id - self._firsts[index], ROWS_PER_GROUP)
        (found,) = rows_from(self._group(index, group).slice(position, 1))
        return found

    def take(self, ids: Sequence[int]) -> list[Row]:
        """Several rows, in the order asked for; what lies close together is read once.

        Raises:
            RunError: there is no such candidate, or its part is damaged.
        """
        found = {id_: self.row(id_) for id_ in sorted(set(ids))}
        return [found[id_] for id_ in ids]

    def best(self, n: int = 1) -> list[Row]:
        """The best programs by score, no two with the same hash; failed ones are left out.

        A program that was bred again may have a later, better founded score: the latest row counts.

        Raises:
            RunError: a part is damaged.
        """
        table = self.candidates(["id", "hash", "score"])
        latest = table.group_by("hash").aggregate([("id", "max")])["id_max"]
        known = table.take(latest).select(["id", "score"])
        ranked = known.filter(pc.is_finite(known["score"])).sort_by(
            [("score", "ascending"), ("id", "ascending")]
        )
        return [self.row(id_) for id_ in ranked["id"][: max(n, 0)].to_pylist()]

    def _tables(self, columns: Sequence[str] | None) -> Iterator[pa.Table]:
        for part in self._parts:
            yield read_candidates(part, columns)

    def _group(self, index: int, group: int) -> pa.Table:
        key = (index, group)
        if key not in self._groups:
            self._groups[key] = read_candidates(self._parts[index], groups=[group])
        self._groups.move_to_end(key)
        if len(self._groups) > _GROUPS_KEPT:
            self._groups.popitem(last=False)
        return self._groups[key]


def _schema_of(columns: Sequence[str] | None, whole: pa.Schema = CANDIDATES) -> pa.Schema:
    names = whole.names if columns is None else columns
    for name in names:
        if name not in whole.names:
            known = ", ".join(whole.names)
            raise RunError(f"a run has no column {name!r}{nearest(name, whole.names)} (known: {known})")
    return pa.schema([whole.field(name) for name in names])
