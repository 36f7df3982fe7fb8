"""kill -9 and Ctrl-C, in a short form; `scripts/soak kills interrupts --long` has the long one."""

import random
from pathlib import Path

import pyarrow as pa
import pytest

from evosearch.records import RunReader
from evosearch.soak.driver import PLACES, place_of
from evosearch.soak.histories import differences
from evosearch.soak.interrupts import check_interrupts
from evosearch.soak.kills import check_kills, moment


def test_kill_9_changes_nothing(tmp_path: Path) -> None:
    report = check_kills(tmp_path, 2, 0, programs=900)
    assert report.broken == ()
    assert dict(report.figures)["kills"] == 2
    assert dict(report.figures)["rows of each"] == 900


def test_ctrl_c_once_and_twice(tmp_path: Path) -> None:
    report = check_interrupts(tmp_path, 2, 0)
    assert report.broken == ()


def test_every_place_and_any_moment_is_met() -> None:
    rng = random.Random(0)
    moments = [moment(rng, 100) for _ in range(500)]
    assert {death[0] for death, _ in moments if death} == set(PLACES)
    assert max(word for _, word in moments if word is not None) > 200


def test_places(tmp_path: Path) -> None:
    (tmp_path / "candidates").mkdir()
    names = {
        "config.yaml.tmp": "creation",
        "lock": "creation",
        "journal": "journal",
        "journal.tmp": "compaction",
        "candidates": "part",
        "candidates/part-000000000.parquet.tmp": "part",
        "best.py.tmp": "state",
        ".": "names",
    }
    assert {name: place_of(tmp_path / name) for name in names} == names


def test_another_history_is_seen(tmp_path: Path, kept_run: Path) -> None:
    """The soak itself can fail: a row that differs, a row too many, a damaged part."""
    found = RunReader(kept_run).candidates().drop_columns(["seconds"])
    assert differences(kept_run, found) == []
    other = found.set_column(1, "parent", pa.array([7] * found.num_rows))
    (sentence,) = differences(kept_run, other)
    assert "first in candidate 0: parent is " in sentence
    assert sentence.endswith(", there 7")
    (sentence,) = differences(kept_run, found.slice(0, found.num_rows - 1))
    assert "ids are not 0 to" in sentence
    next((kept_run / "candidates").iterdir()).write_bytes(b"PAR1")
    (sentence,) = differences(kept_run, found)
    assert "can't be read" in sentence


@pytest.fixture
def kept_run(tmp_path: Path) -> Path:
    from recorded_runs import bred_run

    return Path(bred_run(tmp_path / "bred", 40).path)
