"""Parts: rows and evaluations as Parquet files, and back.

The columns are the fields of `Row` and of `Outcome`, so that DuckDB, pandas and Polars read them as they are.
Each file says in its metadata, under `evosearch`, which schema it has, its first id, how many rows, and the
hash of the last one. Pages have checksums.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.records.files import write_atomically
from evosearch.records.layout import SCHEMA, Layout, part_name, parts_in
from evosearch.records.row import Evaluation, Row


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
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(
            f"{path} can't be read ({' '.join(str(error).split())[:300]}): restore it from a copy of the "
            "run, or search again from the run's config.yaml with another --out"
        ) from error


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


def write_part(layout: Layout, rows: Sequence[Row], evaluations: Sequence[Evaluation]) -> Part:
    """Write rows of consecutive ids, and the evaluations of those ids, durably: evaluations first.

    Raises:
        RunError: the disk is full, ...
    """
    first, last_hash = rows[0].id, rows[-1].hash
    name = part_name(first)
    part = Part(first, len(rows), last_hash, layout.candidates / name, layout.evaluations / name)
    about = {"first": first, "rows": len(rows), "last_hash": last_hash.hex()}
    _write(part.evaluations, evaluations_table(evaluations), {"first": first, "rows": len(evaluations)})
    _write(part.candidates, rows_table(rows), about)
    return part


# ---------------------------------------------------------------- reading


def _about(file: pq.ParquetFile) -> dict[str, Any]:
    about: dict[str, Any] = json.loads(file.schema_arrow.metadata[b"evosearch"])
    return about


def _group_sizes(rows: int) -> list[int]:
    return [min(ROWS_PER_GROUP, rows - start) for start in range(0, rows, ROWS_PER_GROUP)] or [0]


def _open(path: Path, schema: pa.Schema, first: int) -> pq.ParquetFile:
    file = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    about = _about(file)
    if about["schema"] > SCHEMA:
        raise RunError(
            f"{path} has schema {about['schema']}, this evosearch knows up to {SCHEMA}: use a newer one"
        )
    rows = file.metadata.num_rows
    if (about["first"], about["rows"]) != (first, rows):
        raise ValueError(f"{rows} rows from id {first} on, but it says {about}")
    groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    if groups != _group_sizes(rows):
        raise ValueError(f"{rows} rows in groups of {groups}")
    if not file.schema_arrow.equals(schema):
        raise ValueError(f"expected the columns {schema.names}, found {file.schema_arrow.names}")
    return file


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
        with undamaged(path), _open(path, CANDIDATES, first) as file:
            last_hash = bytes.fromhex(_about(file)["last_hash"])
            parts.append(Part(first, file.metadata.num_rows, last_hash, path, evaluations[first]))
    return parts


def read_candidates(
    part: Part, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None
) -> pa.Table:
    """The rows of a part, or of some of its groups of `ROWS_PER_GROUP`, without the metadata.

    Raises:
        RunError: the file is damaged.
    """
    with undamaged(part.candidates), _open(part.candidates, CANDIDATES, part.first) as file:
        if groups is None:
            table = file.read(columns)
        else:
            table = file.read_row_groups(list(groups), columns)
        return table.replace_schema_metadata(None)


def read_evaluations_table(part: Part) -> pa.Table:
    """The evaluations of a part, without the metadata.

    Raises:
        RunError: the file is damaged.
    """
    with undamaged(part.evaluations), _open(part.evaluations, EVALUATIONS, part.first) as file:
        return file.read().replace_schema_metadata(None)


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
