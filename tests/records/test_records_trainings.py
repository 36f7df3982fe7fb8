"""A stage's trainings as a file: what goes in comes out, equal trainings make an equal file."""

import os
import random
from math import inf
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evosearch.errors import RunError
from evosearch.records.trainings import TrainingRow, read_trainings, write_trainings

ROWS = [
    TrainingRow(
        stage="x10",
        purpose=purpose,
        name=name,
        task="digits_mlp x10",
        split="SEARCH",
        seed=2**31 - seed,
        text=name if name.startswith("optax:") else "def train(w, g, m, v, lr):\n    ...",
        values=(0.1, 0.0) if name.startswith("optax:") else (),
        status="DIVERGED" if seed == 2 else "OK",
        metric=inf if seed == 2 else 0.1 + seed,
        steps=20,
        seconds=0.123456,
        curve=(1.0, inf) if seed == 2 else (1.0, 0.5),
    )
    for purpose in ("contest", "tuning")
    for name in ("optax:adamw", "run:7")
    for seed in (1, 2, 3)
]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "x10.parquet"
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    write_trainings(path, shuffled)
    assert read_trainings(path) == sorted(ROWS)
    content = path.read_bytes()
    write_trainings(path, iter(ROWS))
    assert path.read_bytes() == content
    assert [child.name for child in tmp_path.iterdir()] == ["x10.parquet"]


def test_a_stage_that_was_stopped_before_its_first_training(tmp_path: Path) -> None:
    write_trainings(tmp_path / "x10.parquet", [])
    assert read_trainings(tmp_path / "x10.parquet") == []


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "flipped", "columns", "list", "fifo"])
def test_damage_is_told_in_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x10.parquet"
    write_trainings(path, ROWS)
    content = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "fifo":
        path.unlink()
        os.mkfifo(path)
    elif damage == "columns":
        pq.write_table(pa.table({"stage": ["x10"]}), path)
    elif damage == "list":
        table = pq.read_table(path).drop_columns(["curve"])
        pq.write_table(table.append_column("curve", pa.array(["?"] * len(ROWS))), path)
    else:
        content[10] ^= 0xFF
        path.write_bytes({"empty": b"", "cut": content[:-40], "flipped": content}[damage])
    with pytest.raises(
        RunError, match=r"^.*x10\.parquet can't be read \(.+\): .*give the funnel's"
    ) as caught:
        read_trainings(path)
    assert "\n" not in str(caught.value)
