"""A damaged run is never believed: an error names the file and says what to do."""

import json
import random
import shutil
from pathlib import Path

import pytest
from record_script import content

from evosearch.errors import RunError
from evosearch.records import RunReader, RunWriter, layout
from evosearch.records.layout import SCHEMA


def read_all(path: Path) -> object:
    """Everything that is in a run, by every way of reading."""
    reader = RunReader.open(path)
    return content(path), [reader.row(id_) for id_ in (0, 15)], reader.best(3)


@pytest.mark.parametrize("folder", ["candidates", "evaluations"])
def test_a_flipped_bit_in_a_part_is_never_believed(run, folder):
    """A sample of all the bits; those that do no harm (paddings, statistics) may pass."""
    path = run / folder / "part-000000000.parquet"
    whole, expected, rng = path.read_bytes(), read_all(run), random.Random(0)
    refused: set[str] = set()
    for at in rng.sample(range(len(whole)), 120):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :])
        try:
            assert read_all(run) == expected
        except RunError as error:
            refused.add(str(error))
    assert len(refused) > 5
    for message in refused:
        assert f"{folder}/part-000000000.parquet can't be read (" in message
        assert "restore it from a copy of the run, or search again from the run's config.yaml" in message


def test_a_resume_looks_at_every_page_of_the_past(run):
    """It needs none of these rows; but a damage is to be heard of before more work goes into the run."""
    path = run / "candidates" / "part-000000000.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes(300) + whole[500:])
    with pytest.raises(RunError, match=r"candidates/part-000000000.parquet can't be read \("):
        RunWriter.resume(run)
    path.write_bytes(whole)
    RunWriter.resume(run).close()


@pytest.mark.parametrize("folder", ["candidates", "evaluations"])
def test_a_part_cut_short(run, folder):
    path = run / folder / "part-000000010.parquet"
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match=rf"{folder}/part-000000010.parquet can't be read"):
            read_all(run)


def test_a_part_in_the_place_of_another(run):
    shutil.copy(run / "candidates/part-000000010.parquet", run / "candidates/part-000000000.parquet")
    with pytest.raises(
        RunError, match=r"part-000000000.parquet can't be read \(10 rows from id 0 on, but it says"
    ):
        RunReader.open(run)


def test_rows_in_the_place_of_evaluations(run):
    shutil.copy(run / "candidates/part-000000010.parquet", run / "evaluations/part-000000010.parquet")
    with pytest.raises(
        RunError, match=r"evaluations/part-000000010.parquet can't be read \(expected the columns"
    ):
        RunReader.open(run).evaluations()


@pytest.mark.parametrize("opened", [RunWriter.resume, RunReader.open])
def test_missing_parts(run, opened):
    (run / "evaluations/part-000000010.parquet").unlink()
    with pytest.raises(RunError, match=r"evaluations/part-000000010.parquet is missing: restore it"):
        opened(run)
    (run / "candidates/part-000000000.parquet").unlink()
    with pytest.raises(
        RunError, match=r"candidates/part-000000000.parquet is missing, expected before part-0+10"
    ):
        opened(run)


def test_nothing_is_removed_from_a_run_whose_journal_is_damaged(run):
    """Its last candidates part is lost too: the evaluations may be all that is left."""
    (run / "candidates/part-000000010.parquet").unlink()
    journal = run / "journal"
    journal.write_bytes(b"broken\n" + journal.read_bytes())
    with pytest.raises(RunError, match=r"journal, line 1: the checksum"):
        RunWriter.resume(run)
    assert (run / "evaluations/part-000000010.parquet").exists()


@pytest.mark.parametrize("opened", [RunWriter.resume, RunReader.open])
def test_a_newer_schema(run, opened):
    (run / "schema.json").write_text(json.dumps({"schema": SCHEMA + 1}))
    with pytest.raises(
        RunError, match=rf"has schema {SCHEMA + 1}, and this evosearch knows 1 to {SCHEMA}: open it"
    ):
        opened(run)


def test_an_older_schema_is_only_read(run, monkeypatch):
    monkeypatch.setattr(layout, "SCHEMA", SCHEMA + 1)
    assert RunReader.open(run).rows == 20
    wanted = rf"schema {SCHEMA}, and this evosearch writes {SCHEMA + 1}: it opens read-only here"
    with pytest.raises(RunError, match=wanted):
        RunWriter.resume(run)


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', "\xff"])
def test_a_damaged_schema(run, text):
    (run / "schema.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunError, match=r"schema.json is damaged: .*restore it from a copy"):
        RunReader.open(run)


def test_a_damaged_summary(run):
    (run / "summary.json").write_text("{")
    with pytest.raises(RunError, match=r"summary.json is damaged .*: remove it"):
        _ = RunReader.open(run).summary


def test_a_config_that_is_no_text(run):
    (run / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match=r"config.yaml is damaged: it is not UTF-8 text"):
        RunReader.open(run)
