"""`evosearch simplify` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_runs import bred_run, written_run

from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.language import read_program
from evosearch.records.parts import rows_from
from evosearch.simplify import PARTS

pytestmark = pytest.mark.usefixtures("quick_compile")

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--without", "ablation", "constants")
"""The parts that need no training."""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(["simplify", *arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_program8_for_people(run: Run):
    code, out, err = run("program8", *QUICK)
    assert (code, err) == (SUCCESS, "")
    assert "redundant: 21 statements -> 12" in out
    assert "algebra: 12 statements -> 9" in out
    assert "names: nothing changed" in out
    assert "size by sign" in out
    assert "This is lion on arcsin(clip(g, lr)) with b1 = 0.9, b2 = 0.9982" in out


def test_program8_for_machines(run: Run):
    code, out, _ = run("program8", *QUICK, "--json")
    data = json.loads(out)
    assert code == SUCCESS
    assert data["statements"] == 9
    assert data["state"] == ["m"]
    assert data["text"].startswith("def train(w, g, m, v, lr):\n")
    assert data["recognised"]["name"] == "lion"
    assert {"part", "rule", "before", "after", "reason", "exactness"} == set(data["steps"][0])
    assert [stage["part"] for stage in data["stages"]] == ["redundant", "algebra", "names"]


def test_parts_are_chosen(run: Run):
    code, out, _ = run("program8", "--parts", "redundant", "--json")
    assert code == SUCCESS
    assert [stage["part"] for stage in json.loads(out)["stages"]] == ["redundant"]
    assert json.loads(out)["statements"] == 12


def test_measured_parts_train_and_say_so(run: Run, tmp_path: Path):
    """A junk statement that changes the update by a millionth is measured away; the ledger remembers."""
    path = tmp_path / "junk.py"
    path.write_text(
        "def train(w, g, m, v, lr):\n    t = w * 1e-06\n    u = g + t\n    s = lr * 0.1234567\n"
        "    update = u * s\n    return update, m, v\n"
    )
    arguments = [str(path), "--task", "quadratic", "--set", "steps=20", "--seeds", "16", "--margin", "0.05"]
    code, out, err = run(*arguments, "--digits", "2", "--backend", "in_process", "--json")
    assert code == SUCCESS, err
    data = json.loads(out)
    assert [stage["part"] for stage in data["stages"]] == list(PARTS)
    measured = {step["part"]: step for step in data["steps"] if step["part"] in ("ablation", "constants")}
    assert (measured["ablation"]["before"], measured["ablation"]["after"]) == ("g + t", "g")
    assert measured["ablation"]["exactness"] == "measured: no worse by more than the margin"
    assert measured["constants"]["after"] == "0.12"
    assert data["statements"] == 2
    assert data["recognised"]["sentence"] == "this is sgd with learning_rate = 0.12"
    notes = data["stages"][1]["notes"]
    assert "trainings on quadratic: " in notes[0]
    assert notes[1].startswith("confirmed on fresh seeds and other data: loss ")
    again = run(*arguments, "--digits", "2", "--backend", "in_process")
    assert again[0] == SUCCESS
    assert "This is sgd with learning_rate = 0.12." in again[1]


def test_the_result_is_written_and_nothing_is_overwritten(run: Run, tmp_path: Path):
    assert run("program8", *QUICK, "-o", "simple.py")[0] == SUCCESS
    assert len(read_program(tmp_path / "simple.py")) == 9
    before = (tmp_path / "simple.py").read_bytes()
    code, out, err = run("lion", *QUICK, "-o", "simple.py")
    assert (code, out) == (BAD_INPUT, "")
    assert err == "error: -o simple.py exists already: choose another name, or remove it\n"
    assert (tmp_path / "simple.py").read_bytes() == before


def test_a_run_stands_for_its_best_program(run: Run, tmp_path: Path):
    reader = bred_run(tmp_path / "run", 300)
    code, out, err = run(str(reader.path), *QUICK, "--json")
    assert (code, err) == (SUCCESS, "")
    data = json.loads(out)
    assert data["program"] == f"{reader.path}:{reader.best(1)[0].id}"
    assert data["statements"] <= data["stages"][0]["statements"]


def test_a_program_of_a_run_is_measured_on_the_tasks_of_the_run(run: Run, tmp_path: Path):
    """The run's YAML names a task that is not the default one."""
    reader = bred_run(tmp_path / "run", 100)
    config = "name: bred\ntasks: [{name: quadratic, steps: 10}]\nsearch: {budget: {programs: 100}}\n"
    (tmp_path / "run" / "config.yaml").write_text(config)
    arguments = [f"{reader.path}:{reader.best(1)[0].id}", "--parts", "redundant", "ablation", "--seeds", "8"]
    code, out, err = run(*arguments, "--margin", "0.5", "--backend", "in_process", "--json")
    assert code == SUCCESS, err
    assert "trainings on quadratic: " in json.loads(out)["stages"][1]["notes"][0]


def test_a_run_without_a_trained_program(run: Run, tmp_path: Path):
    rows = [r for r in rows_from(bred_run(tmp_path / "bred", 300).candidates()) if r.outcome != "OK"]
    written_run(tmp_path / "failed", [rows[0]._replace(id=0, parent=-1)])
    code, out, err = run("failed", *QUICK)
    assert (code, out) == (BAD_INPUT, "")
    assert err == "error: no program of failed has trained to the end, so there is none to simplify\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lian"], "error: 'lian' is neither a file, a run's folder, RUN:ID nor a shipped program; did"),
        (["lion", "--parts", "algebre"], "error: unknown part 'algebre'; did you mean 'algebra'?"),
        (["lion", "--without", *PARTS], "error: no part of the simplifier is left to do"),
        (["lion", "--task", "digits_vat"], "error: unknown task 'digits_vat'"),
        (["lion", "-o", "nowhere/x.py"], "error: -o nowhere/x.py: there is no folder nowhere"),
        (["lion", "--margin", "-1"], "error: "),
        (["lion", "--seeds", "1"], "error: "),
    ],
)
def test_bad_input_is_one_line(run: Run, arguments: list[str], message: str):
    code, out, err = run(*arguments, "--backend", "in_process")
    assert (code, out) == (BAD_INPUT, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_an_invalid_program(run: Run, tmp_path: Path):
    (tmp_path / "bad.py").write_text("def train(w, g, m, v, lr):\n    x = g * lr\n    return update, m, v\n")
    code, out, err = run("bad.py", *QUICK)
    assert (code, out) == (BAD_INPUT, "")
    assert err == "error: bad.py is no valid program: update is never defined\n"
