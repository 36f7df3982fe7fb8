"""Trainings of a funnel's stage as a Parquet file, and back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from evosearch.errors import RunError
from evosearch.records.files import write_atomically
from evosearch.regular_files import open_regular


class TrainingRow(NamedTuple):
    """One training, as it is recorded.

    Attributes:
        stage: of the funnel.
        purpose: `tuning`, `contest` or `report`.
        name: of the entrant or baseline.
        task: its label in the stage.
        split: where the metric was taken.
        seed: of weights and data.
        text: what was trained: a program with its settings written in, or `optax:NAME`.
        values: of a reference's hyperparameters, in the order of its grids; empty for a program.
        status: `OK` or `DIVERGED`.
        metric: lower is better; infinite after a failure.
        steps: done.
        seconds: that they took.
        curve: the metric along the training.
    """

    stage: str
    purpose: str
    name: str
    task: str
    split: str
    seed: int
    text: str
    values: tuple[float, ...]
    status: str
    metric: float
    steps: int
    seconds: float
    curve: tuple[float, ...]


TRAININGS = pa.schema(
    [
        pa.field(name, type_, nullable=False)
        for name, type_ in {
            "stage": pa.string(),
            "purpose": pa.string(),
            "name": pa.string(),
            "task": pa.string(),
            "split": pa.string(),
            "seed": pa.int64(),
            "text": pa.string(),
            "values": pa.list_(pa.float64()),
            "status": pa.string(),
            "metric": pa.float64(),
            "steps": pa.int64(),
            "seconds": pa.float64(),
            "curve": pa.list_(pa.float64()),
        }.items()
    ]
)
"""The columns: the fields of `TrainingRow`."""


MOST_BYTES = 2**30
"""A larger file is none that a funnel writes."""


def write_trainings(path: Path, rows: Iterable[TrainingRow]) -> None:
    """Replace a file by these rows, sorted, so that equal trainings make an equal file.

    Raises:
        RunError: the disk is full, ...
    """
    columns = list(zip(*sorted(rows), strict=True)) or [()] * len(TRAININGS)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, TRAININGS, strict=True)]
    sink = pa.BufferOutputStream()
    table = pa.Table.from_arrays(arrays, schema=TRAININGS)
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    write_atomically(path, memoryview(sink.getvalue()))


def read_trainings(path: Path) -> list[TrainingRow]:
    """The rows of a file.

    Raises:
        RunError: it is damaged, or not there.
    """
    try:
        with open_regular(path, MOST_BYTES) as file:
            # In this thread alone, see `parts`.
            alone = {"use_threads": False, "pre_buffer": False}
            table = pq.read_table(file, schema=TRAININGS, page_checksum_verification=True, **alone)
            rows = table.to_pylist()
        return [
            TrainingRow(**{**row, "values": tuple(row["values"]), "curve": tuple(row["curve"])})
            for row in rows
        ]
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(
            f"{path} can't be read ({' '.join(str(error).split())[:300]}): restore it from a copy, or give "
            "the funnel's command again, which writes it from the ledger"
        ) from error
