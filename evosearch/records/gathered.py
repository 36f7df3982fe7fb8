"""Rows of the history that wait to be written as a part."""

from __future__ import annotations

import pyarrow as pa

from evosearch.records.columns import Columns
from evosearch.records.parts import columns_table, rows_table
from evosearch.records.row import Row


class Gathered:
    """Rows of ids one after the other, one by one or many at once.

    Attributes:
        count: how many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._rows: list[Row] = []
        self._tables: list[pa.Table] = []

    def add(self, row: Row) -> None:
        """One more."""
        self._rows.append(row)
        self.count += 1

    def extend(self, columns: Columns, start: int, end: int) -> None:
        """Those of `columns` from place `start` up to, not including, `end`."""
        self._settle()
        self._tables.append(columns_table(columns).slice(start, end - start))
        self.count += end - start

    def take(self) -> pa.Table:
        """All of them; nothing is left. There must be some."""
        self._settle()
        table = pa.concat_tables(self._tables).combine_chunks()
        self._tables, self.count = [], 0
        return table

    def _settle(self) -> None:
        if self._rows:
            self._tables.append(rows_table(self._rows))
            self._rows = []
