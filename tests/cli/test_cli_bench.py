"""The benchmark runs and prints what design.md promises; how fast things are is no test's business."""

from __future__ import annotations

import json

import pytest

from evosearch.cli import bench
from evosearch.cli.main import SUCCESS, main

pytestmark = pytest.mark.usefixtures("quick_compile")


def test_bench_prints_each_part(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bench, "TASKS", ("digits_mlp",))
    monkeypatch.setattr(bench, "PROGRAMS", ("lion",))
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "ENGINE_PROGRAMS", 300)
    monkeypatch.setattr(bench, "LEAK_CANDIDATES", 40)
    assert main(["bench", "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        "step/digits_mlp/lion",
        "candidate/digits_mlp",
        "engine",
        "leaks/compilations",
        "leaks/memory",
    ]
    assert all(set(row) == {"ours", "other", "ratio", "unit", "versus"} for row in found.values())
    assert found["leaks/compilations"]["ours"] == 0
    assert found["engine"]["ours"] > 0
    assert found["step/digits_mlp/lion"]["ratio"] > 0
