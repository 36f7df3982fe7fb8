"""Tests of records do not wait for the disk; what syncing promises is checked with a failing power supply."""

import pytest
from record_faults import CountingOs


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    CountingOs().install(monkeypatch)
