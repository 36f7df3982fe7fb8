"""Tests of records do not wait for the disk; what syncing promises is checked with a failing power supply."""

import shutil
from pathlib import Path

import pytest
from record_faults import CountingOs
from record_script import finished


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    CountingOs().install(monkeypatch)


@pytest.fixture(scope="package")
def original(tmp_path_factory) -> Path:
    """A finished run of 20 programs; nobody writes into it."""
    path = tmp_path_factory.mktemp("original") / "run"
    finished(path, 20)
    return path


@pytest.fixture
def run(original, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "run"))
