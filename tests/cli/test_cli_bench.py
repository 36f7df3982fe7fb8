"""The benchmark runs and prints what design.md promises; how fast things are is no test's business."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from evosearch.benchmarks import batched, candidate, engine, leaks, saved, scaling, step
from evosearch.benchmarks.measuring import FORTY, Result, compared, compiling_anew, in_turn, program
from evosearch.benchmarks.table import PARTS
from evosearch.cli.main import SUCCESS, main
from evosearch.language import analyze

pytestmark = pytest.mark.usefixtures("quick_compile")

FEW = (("steps", 4),)
KEYS = {"ours", "other", "ratio", "unit", "versus", "spread"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least of everything."""
    monkeypatch.setattr(step, "TASKS", {"digits_mlp": FEW})
    monkeypatch.setattr(step, "PROGRAMS", ("lion", FORTY))
    monkeypatch.setattr(step, "ROUNDS", 2)
    monkeypatch.setattr(candidate, "TASKS", ("quadratic",))
    monkeypatch.setattr(candidate, "PROGRAMS", ("lion",))
    monkeypatch.setattr(engine, "PROGRAMS", 300)
    monkeypatch.setattr(engine, "SEEDS", (0, 1))
    monkeypatch.setattr(engine, "GROWTH", 400)
    monkeypatch.setattr(engine, "SAMPLE", 20)
    monkeypatch.setattr(engine, "SIMPLIFIED", 1)
    monkeypatch.setattr(leaks, "CANDIDATES", 40)
    monkeypatch.setattr(saved, "SEARCH", saved.SEARCH.replace("10000", "300").replace("4}", "2, steps: 4}"))
    monkeypatch.setattr(scaling, "CANDIDATES", 4)
    monkeypatch.setattr(scaling, "ROUNDS", 1)
    monkeypatch.setattr(scaling, "PORTFOLIO", ("quadratic",))
    monkeypatch.setattr(batched, "KNOBS", FEW)
    monkeypatch.setattr(batched, "WIDTHS_ON_CPU", (2,))
    monkeypatch.setattr(batched, "COMPILED", 1)


EXPECTED = {
    "step": [
        "step/digits_mlp/lion",
        "step/digits_mlp/lion/xla",
        "step/digits_mlp/forty",
        "step/digits_mlp/forty/xla",
    ],
    "candidate": ["candidate/quadratic", "candidate/quadratic/loop"],
    "engine": [
        "engine",
        *["engine/fingerprint", "engine/machine code", "engine/record", "engine/scores"],
        *["engine/growth", "hash", "fingerprint", "simplify"],
    ],
    "saved": ["saved/hash", "saved/fingerprint", "saved/early stop", "saved/hurdles"],
    "start": ["start"],
    "batched": ["batched/2/alone", "batched/2/compiled"],
    "leaks": ["leaks/compilations", "leaks/memory"],
    "view": ["view"],
}  # scaling starts Ray: it has a test of its own


def test_every_part_is_tested() -> None:
    assert {*PARTS, "view"} == {*EXPECTED, "scaling"}


@pytest.mark.parametrize("part", EXPECTED)
def test_a_part_measures(part: str, small: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", part, "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert list(found["results"]) == EXPECTED[part]
    assert {"processor", "cores", "load", "jax", "numpy", "date", "seconds"} == set(found["machine"])
    for name, row in found["results"].items():
        assert set(row) == KEYS
        assert math.isfinite(row["ours"])
        if name not in ("leaks/compilations", "leaks/memory"):
            assert row["ours"] > 0, name
    if part == "leaks":
        assert found["results"]["leaks/compilations"]["ours"] == 0
    if part == "saved":
        before, after = (found["results"][f"saved/{name}"] for name in ("hash", "fingerprint"))
        assert after["ours"] <= after["other"] == before["ours"] < before["other"] == 300


@pytest.mark.slow
def test_scaling_measures(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "scaling", "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out)["results"]
    assert "scaling/ray" in found
    assert all(row["ours"] > 0 and row["other"] > 0 for row in found.values())


def test_the_table_shows_medians_spread_and_ratios(
    small: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["bench", "candidate", "--task", "digits_mlp"]) == SUCCESS
    shown = capsys.readouterr().out
    assert "candidate/digits_mlp/loop" in shown
    assert "ours / other" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stepp"], "unknown part 'stepp'; did you mean 'step'?"),
        (
            ["engine", "--task", "digits_mlp"],
            "engine is measured on its own tasks; --task is for step, candidate",
        ),
        (["step", "--task", "digitsmlp"], "digitsmlp"),
    ],
)
def test_what_can_not_be_measured(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) != SUCCESS
    assert message in capsys.readouterr().err


def test_compilations_that_are_measured_do_not_come_from_disk(tmp_path: Path) -> None:
    kept = (
        ("jax_compilation_cache_dir", str(tmp_path)),
        ("jax_persistent_cache_min_compile_time_secs", 0.0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    )
    before = [getattr(jax.config, name) for name, _ in kept]

    def compile_one(number: float) -> int:
        """How many compilations are on disk after one more."""
        jax.jit(lambda x: jnp.sin(x) * number)(jnp.ones(3)).block_until_ready()
        return sum(file.name.endswith("-cache") for file in tmp_path.iterdir())

    try:
        for name, value in kept:
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        first = compile_one(1.5)
        with compiling_anew():
            assert compile_one(2.5) == first > 0
        assert compile_one(3.5) > first
    finally:
        for (name, _), value in zip(kept, before, strict=True):
            jax.config.update(name, value)
        compilation_cache.reset_cache()


def test_medians_ratios_and_spread() -> None:
    times = in_turn([iter([9.0, 1.0, 3.0, 2.0]).__next__, iter([9.0, 4.0, 4.0, 4.0]).__next__], 3)
    assert times == [[1.0, 3.0, 2.0], [4.0, 4.0, 4.0]]
    assert compared(times, "s", "x") == Result(2.0, 4.0, "s", "x", 0.5)
    assert compared(times, "s", "x").ratio == 0.5
    assert Result(1.0, None, "s", "").ratio is None


def test_a_program_of_forty_live_statements() -> None:
    assert sum(analyze(program(FORTY)).live) == len(program(FORTY)) == 40
