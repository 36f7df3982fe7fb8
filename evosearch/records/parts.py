"""Parts: rows and evaluations as Parquet files, and back.

The columns are the fields of `Row` and of `Outcome`, so that DuckDB, pandas and Polars read them as they are.
Each file says in its metadata, under `evosearch`, which schema it has, its first id, how many rows, and the
hash of the last one. Pages have checksums.
"""

from __future__ import annotations

import contextlib
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.json_text import from_json
from evosearch.records.columns import Column, Columns, Texts, Words
from evosearch.records.files import write_atomically
from evosearch.records.layout import SCHEMA, Layout, part_name, parts_in
from evosearch.records.pages import expanded
from evosearch.records.row import Evaluation, Row
from evosearch.regular_files import open_regular


def _columns(**types: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, type_, nullable=False) for name, type_ in types.items()])


def _nested(inner: pa.DataType, depth: int) -> pa.DataType:
    return pa.list_(_nested(inner, depth - 1)) if depth else inner


CANDIDATES = _columns(
    id=pa.int64(),
    parent=pa.int64(),
    round=pa.int32(),
    restart=pa.int32(),
    mutation=pa.string(),
    statement=pa.int32(),
    before=pa.string(),
    after=pa.string(),
    invalid=pa.int32(),
    hash=pa.binary(16),
    text=pa.string(),
    statements=pa.int32(),
    live_statements=pa.int32(),
    cache_hit=pa.bool_(),
    outcome=pa.string(),
    score=pa.float64(),
    seeds=pa.int32(),
    steps=pa.int64(),
    seconds=pa.float64(),
)
"""The columns of `candidates/`: the fields of `Row`."""

EVALUATIONS = _columns(
    id=pa.int64(),
    status=pa.string(),
    metrics=_nested(pa.float64(), 3),
    hurdles=_nested(pa.float64(), 3),
    seeds=_nested(pa.int64(), 2),
    steps=pa.int64(),
    seconds=pa.float64(),
)
"""The columns of `evaluations/`: a job's id, its outcome, and the seeds [task][seed]."""

ROWS_PER_GROUP = 5_000
"""What is read at least to get at one row."""

LONGEST: Mapping[str, int] = MappingProxyType(
    {"mutation": 32, "outcome": 32, "status": 32, "before": 1_000, "after": 1_000}
)
"""Bytes of the texts of these columns: a word, or a statement. They are read as dictionaries, so that a long
one is found before it is repeated for each row."""

MAX_BYTES = 1 << 31
MAX_ROWS = 1_000_000
MAX_FOOTER, MAX_FOOTER_LIST = 1 << 24, 1_000
"""Of a part. Honest ones have up to 20,000 rows, some megabytes, and a footer of some kilobytes."""

ROWS, BYTES_PER_ROW = 1_000, 2
"""A part of more rows has at least so many bytes for each; honest ones of many rows have 50, or in
`evaluations` 13."""

EXPANDED, EXPANSION, MAX_EXPANDED = 1 << 24, 200, 1 << 30
"""What reading a part may take: so many bytes and so many times its size, but no more than the third. Honest
ones grow fifteenfold."""

_REPEATED = ("mutation", "before", "after", "outcome", "round", "restart", "status", "steps")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of `candidates/` and the part of `evaluations/` that goes with it.

    Attributes:
        first: its first id.
        rows: how many ids it covers.
        last_hash: the hash of its last row.
        candidates: path of the rows.
        evaluations: path of the outcomes of those ids.
    """

    first: int
    rows: int
    last_hash: bytes
    candidates: Path
    evaluations: Path

    @property
    def end(self) -> int:
        """The first id after it."""
        return self.first + self.rows


@contextlib.contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Turn what pyarrow says about a file that it can't read into a RunError."""
    try:
        yield
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        OverflowError,
        MemoryError,
    ) as error:
        raise RunError(
            f"{path} can't be read ({_in_short(error)}): restore it from a copy of the "
            "run, or search again from the run's config.yaml with another --out"
        ) from error


def _in_short(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())[:300] or type(error).__name__


# ---------------------------------------------------------------- writing


def _write(path: Path, table: pa.Table, about: dict[str, Any]) -> None:
    stamped = table.replace_schema_metadata({"evosearch": json.dumps({"schema": SCHEMA, **about})})
    sink = pa.BufferOutputStream()
    pq.write_table(
        stamped,
        sink,
        row_group_size=ROWS_PER_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in table.column_names if name in _REPEATED],
        data_page_size=1 << 23,
        write_page_checksum=True,
    )
    write_atomically(path, memoryview(sink.getvalue()))


def _table(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def rows_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table."""
    columns = list(zip(*rows, strict=True)) or [()] * len(Row._fields)
    return _table(columns, CANDIDATES)


def evaluations_table(evaluations: Sequence[Evaluation]) -> pa.Table:
    """Evaluations as a table."""
    outcomes = [evaluation.outcome for evaluation in evaluations]
    columns: list[list[Any]] = [
        [evaluation.id for evaluation in evaluations],
        [outcome.status.name for outcome in outcomes],
        [outcome.metrics for outcome in outcomes],
        [outcome.hurdles for outcome in outcomes],
        [evaluation.seeds for evaluation in evaluations],
        [outcome.steps for outcome in outcomes],
        [outcome.seconds for outcome in outcomes],
    ]
    return _table(columns, EVALUATIONS)


def columns_table(columns: Columns) -> pa.Table:
    """The same of rows that came as columns; the bytes of their texts and numbers are used as they are."""
    arrays = [_array(columns.columns[field.name], field.type) for field in CANDIDATES]
    return pa.Table.from_arrays(arrays, schema=CANDIDATES)


def _array(column: Column, type_: pa.DataType) -> pa.Array:
    if isinstance(column, Texts):
        buffers = pa.py_buffer(column.ends), pa.py_buffer(column.data)
        return pa.StringArray.from_buffers(len(column.ends) - 1, *buffers)
    if isinstance(column, Words):
        places = pa.array(column.places.astype(np.int32))
        return pa.DictionaryArray.from_arrays(places, list(column.words)).cast(type_)
    if pa.types.is_fixed_size_binary(type_):
        return pa.FixedSizeBinaryArray.from_buffers(type_, len(column), [None, pa.py_buffer(column)])
    return pa.array(column).cast(type_)


def write_part(layout: Layout, rows: pa.Table, evaluations: Sequence[Evaluation]) -> Part:
    """Write rows of consecutive ids, and the evaluations of those ids, durably: evaluations first.

    Raises:
        RunError: the disk is full, ...
    """
    first, last_hash = rows["id"][0].as_py(), rows["hash"][-1].as_py()
    name = part_name(first)
    part = Part(first, rows.num_rows, last_hash, layout.candidates / name, layout.evaluations / name)
    about = {"first": first, "rows": rows.num_rows, "last_hash": last_hash.hex()}
    _write(part.evaluations, evaluations_table(evaluations), {"first": first, "rows": len(evaluations)})
    _write(part.candidates, rows, about)
    return part


# ---------------------------------------------------------------- reading


class _File(NamedTuple):
    """A part that is open.

    Attributes:
        parquet: its reader.
        content: all its bytes.
        about: what it says of itself.
    """

    parquet: pq.ParquetFile
    content: memoryview
    about: dict[str, Any]

    def read(self, schema: pa.Schema, columns: Sequence[str] | None, groups: Sequence[int]) -> pa.Table:
        """Some columns of some groups, after a look at what that takes, without the metadata.

        Raises:
            ValueError: it takes too much; or a value is none that we write.
        """
        names = schema.names if columns is None else list(columns)
        size = len(self.content)
        most = min(MAX_EXPANDED, EXPANDED + EXPANSION * size)
        found = expanded(self.parquet, self.content, groups, names, LONGEST.keys())
        if found > most:
            raise ValueError(f"its {size:,} bytes expand to {found:,}, expected at most {most:,}")
        # In this thread: Arrow's own may still hold our bytes when Python ends, and then abort the process.
        table = self.parquet.read_row_groups(list(groups), names, use_threads=False)
        table = table.replace_schema_metadata(None)
        table.validate(full=True)
        for name in LONGEST.keys() & set(names):
            _check_lengths(table[name], name)
        return table.cast(pa.schema([schema.field(name) for name in names]))


def _check_lengths(column: pa.ChunkedArray, name: str) -> None:
    for chunk in column.chunks:
        longest = pc.max(pc.binary_length(chunk.dictionary)).as_py() or 0
        if longest > LONGEST[name]:
            raise ValueError(f"a text of {longest:,} bytes in {name!r}, expected at most {LONGEST[name]:,}")


def _group_sizes(rows: int) -> list[int]:
    return [min(ROWS_PER_GROUP, rows - start) for start in range(0, rows, ROWS_PER_GROUP)] or [0]


def _open(path: Path, schema: pa.Schema, first: int) -> _File:
    """Open a part without reading more than its end. Raises what `undamaged` turns into a RunError."""
    with open_regular(path, MAX_BYTES) as opened:
        content = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    footer = int.from_bytes(content[-8:-4], "little")
    if footer > MAX_FOOTER:
        raise ValueError(f"a footer of {footer:,} bytes, expected at most {MAX_FOOTER:,}")
    source = pa.BufferReader(pa.py_buffer(content))
    file = pq.ParquetFile(
        source, thrift_string_size_limit=MAX_FOOTER, thrift_container_size_limit=MAX_FOOTER_LIST
    )
    about: dict[str, Any] = from_json(file.schema_arrow.metadata[b"evosearch"])
    if about["schema"] > SCHEMA:
        raise RunError(
            f"{path} has schema {about['schema']}, this evosearch knows up to {SCHEMA}: use a newer one"
        )
    rows = file.metadata.num_rows
    if (about["first"], about["rows"]) != (first, rows):
        raise ValueError(f"{rows} rows from id {first} on, but it says {about}")
    if rows > MAX_ROWS or rows > ROWS + len(content) / BYTES_PER_ROW:
        raise ValueError(f"{rows:,} rows in {len(content):,} bytes")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    if groups != _group_sizes(rows):
        raise ValueError(f"{rows} rows in groups of {groups}")
    if not file.schema_arrow.equals(schema):
        raise ValueError(f"expected the columns {schema.names}, found {file.schema_arrow.names}")
    texts = [name for name in schema.names if name in LONGEST]
    reader = pq.ParquetFile(
        source, metadata=file.metadata, read_dictionary=texts, page_checksum_verification=True
    )
    return _File(reader, content, about)


def read_parts(layout: Layout) -> list[Part]:
    """The durable parts, in order; nothing but the ends of the files is read.

    Raises:
        RunError: a part is missing, damaged, or not of this schema.
    """
    parts: list[Part] = []
    candidates = parts_in(layout.candidates)
    evaluations = parts_in(layout.evaluations)  # listed last, since a writer at work writes them first
    for first, path in candidates.items():
        expected = parts[-1].end if parts else 0
        if first != expected:
            missing = layout.candidates / part_name(expected)
            raise RunError(
                f"{missing} is missing, expected before {path.name}: restore it from a copy of the run"
            )
        if first not in evaluations:
            missing = layout.evaluations / path.name
            raise RunError(f"{missing} is missing: restore it from a copy of the run")
        with undamaged(path):
            file = _open(path, CANDIDATES, first)
            last_hash = bytes.fromhex(file.about["last_hash"])
            parts.append(Part(first, file.parquet.metadata.num_rows, last_hash, path, evaluations[first]))
    return parts


def read_candidates(
    part: Part, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> pa.Table:
    """The rows of a part, or of some of its groups of `ROWS_PER_GROUP`, without the metadata.

    Raises:
        RunError: the file is damaged.
    """
    with undamaged(part.candidates):
        file = _open(part.candidates, CANDIDATES, part.first)
        every = range(file.parquet.metadata.num_row_groups)
        chosen = every if groups is None else groups
        table = file.read(CANDIDATES, columns, chosen)
        sizes = _group_sizes(part.rows)
        ids = [np.arange(sizes[group]) + part.first + group * ROWS_PER_GROUP for group in chosen]
        _check_rows(table, np.concatenate(ids or [np.arange(0)]))
        return table


def _check_rows(table: pa.Table, ids: NDArray[np.int64]) -> None:
    """Rows stand where their ids say, and after their parents: whoever follows parents comes to an end.

    Raises:
        ValueError: with the id.
    """
    if "id" in table.column_names:
        _refuse(ids, table["id"].to_numpy() != ids, "is called otherwise")
    if "parent" in table.column_names:
        parent = table["parent"].to_numpy()
        _refuse(ids, (parent < -1) | (parent >= ids), "has no older program as parent")


def _refuse(ids: NDArray[np.int64], wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        raise ValueError(f"candidate {ids[wrong.argmax()]} {what}")


def read_evaluations_table(part: Part) -> pa.Table:
    """The evaluations of a part, without the metadata.

    Raises:
        RunError: the file is damaged.
    """
    with undamaged(part.evaluations):
        file = _open(part.evaluations, EVALUATIONS, part.first)
        table = file.read(EVALUATIONS, None, range(file.parquet.metadata.num_row_groups))
        ids = table["id"].to_numpy()
        if len(ids) and not (part.first <= ids[0] and ids[-1] < part.end and (np.diff(ids) > 0).all()):
            raise ValueError(f"ids that are not of {part.first} to {part.end - 1}, or not in order")
        return table


def read_evaluations(part: Part) -> list[Evaluation]:
    """The evaluations of a part.

    Raises:
        RunError: the file is damaged.
    """
    table = read_evaluations_table(part)
    with undamaged(part.evaluations):
        return evaluations_from(table)


def evaluations_from(table: pa.Table) -> list[Evaluation]:
    """The evaluations of a table."""
    columns = {name: _values(table[name].combine_chunks()) for name in EVALUATIONS.names}
    statuses = [Status[name] for name in columns["status"]]
    outcomes = map(
        Outcome, statuses, columns["metrics"], columns["hurdles"], columns["steps"], columns["seconds"]
    )
    return list(map(Evaluation, columns["id"], columns["seeds"], outcomes))


def _values(array: pa.Array) -> list[Any]:
    """An array as Python values, lists as tuples; much quicker than `to_pylist` for lists of lists."""
    if pa.types.is_list(array.type):
        inner = _values(array.values)
        return [tuple(inner[start:end]) for start, end in pairwise(_values(array.offsets))]
    values: list[Any] = array.to_pylist() if pa.types.is_string(array.type) else array.to_numpy().tolist()
    return values


def rows_from(table: pa.Table) -> list[Row]:
    """The rows of a table that has all columns."""
    return [Row(**values) for values in table.select(CANDIDATES.names).to_pylist()]
