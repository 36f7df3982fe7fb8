"""Many rows at once leave what the same rows leave one by one."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_script import row_of

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Status
from evosearch.records import Row, RunReader, RunWriter
from evosearch.records.columns import Column, Columns, Texts, Words
from evosearch.records.layout import Layout
from evosearch.records.parts import columns_table, read_parts, rows_table

WORDS = {
    "mutation": ("insert", "modify", "delete", "random"),
    "outcome": tuple(status.name for status in Status),
}
TYPES = {"score": np.float64, "seconds": np.float64}


def columns_of(rows: Sequence[Row]) -> Columns:
    """Rows as the native engine hands them over."""
    columns: dict[str, Column] = {}
    for name, values in zip(Row._fields, zip(*rows, strict=True), strict=True):
        if name in WORDS:
            columns[name] = Words(np.array([WORDS[name].index(word) for word in values]), WORDS[name])
        elif name in ("text", "before", "after"):
            texts = [text.encode() for text in values]
            ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
            columns[name] = Texts(ends, b"".join(texts))
        elif name == "hash":
            columns[name] = np.frombuffer(b"".join(values), np.uint8).reshape(-1, 16)
        else:
            columns[name] = np.array(values, TYPES.get(name, np.int64))
    return Columns(rows[0].id, len(rows), columns)


ROWS = [row_of(number, None) for number in range(60)]


def pieces(rng: random.Random, rows: Sequence[Row]) -> list[Sequence[Row]]:
    """The rows in pieces of any length."""
    cuts = sorted(rng.sample(range(1, len(rows)), rng.randint(0, min(6, len(rows) - 1))))
    return [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]


def add(writer: RunWriter, rng: random.Random, rows: Sequence[Row]) -> None:
    for piece in pieces(rng, rows):
        if rng.random() < 0.5:
            writer.add_columns(columns_of(piece))
        else:
            for row in piece:
                writer.add(row)


def test_columns_are_the_rows() -> None:
    assert columns_table(columns_of(ROWS)).equals(rows_table(ROWS))
    assert columns_table(columns_of(ROWS[7:8])).equals(rows_table(ROWS[7:8]))


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), per_part=st.integers(1, 40))
def test_a_run_does_not_tell_how_its_rows_came(tmp_path_factory, seed: int, per_part: int) -> None:
    rng, folder = random.Random(seed), tmp_path_factory.mktemp("runs")
    with RunWriter.create(folder / "one", "x: 1\n", rows_per_part=per_part) as writer:
        for row in ROWS:
            writer.add(row)
        writer.flush()
    with RunWriter.create(folder / "many", "x: 1\n", rows_per_part=per_part) as writer:
        add(writer, rng, ROWS[: rng.randint(2, 60)])
        if rng.random() < 0.5:
            writer.flush()
    with RunWriter.resume(folder / "many", rows_per_part=per_part) as writer:
        durable = writer.durable_rows
        add(writer, rng, ROWS)
        writer.flush()
    one, many = RunReader(folder / "one"), RunReader(folder / "many")
    assert [many.row(k) for k in range(many.rows)] == [one.row(k) for k in range(one.rows)] == ROWS
    lengths = [part.rows for part in read_parts(Layout(folder / "many")) if part.first >= durable]
    assert all(length == per_part for length in lengths[:-1])


def test_another_history_is_refused(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", "x: 1\n", rows_per_part=20) as writer:
        writer.add_columns(columns_of(ROWS))
    other = [row._replace(hash=bytes(16)) if row.id == 39 else row for row in ROWS]
    with (
        RunWriter.resume(tmp_path / "run") as writer,
        pytest.raises(RunError, match="can't be continued: candidate 39 is another program now"),
    ):
        writer.add_columns(columns_of(other))


def test_columns_come_in_order(tmp_path: Path) -> None:
    with RunWriter.create(tmp_path / "run", "x: 1\n") as writer:
        writer.add_columns(columns_of(ROWS[:5]))
        with pytest.raises(ValueError, match="rows come in order: expected id 5, found 6"):
            writer.add_columns(columns_of(ROWS[6:8]))
