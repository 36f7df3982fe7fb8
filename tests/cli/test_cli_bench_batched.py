"""The measurement of batches gives what the command prints; how fast they are is no test's business."""

import pytest

from evosearch.cli import bench_batched
from evosearch.language import analyze

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_each_width_is_measured_against_both_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_batched, "TASK", "modular_addition")
    monkeypatch.setattr(bench_batched, "KNOBS", (("steps", 3), ("width", 8)))
    monkeypatch.setattr(bench_batched, "WIDTHS_ON_CPU", (2,))
    monkeypatch.setattr(bench_batched, "COMPILED", 1)
    found = bench_batched.bench_batched()
    assert list(found) == ["batched/2/alone", "batched/2/compiled"]
    for row in found.values():
        assert set(row) == {"ours", "other", "ratio", "unit", "versus"}
        assert row["ratio"] == row["ours"] / row["other"] > 0
        assert row["versus"].endswith("on cpu")


def test_mutants_are_valid_and_differ() -> None:
    programs = bench_batched.mutants(64)
    assert all(analyze(program).valid for program in programs)
    assert len(set(programs)) > 60
