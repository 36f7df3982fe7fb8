"""`evosearch compare` from the command line to its tables, JSON and pictures; and every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evosearch.cli import compare as command
from evosearch.cli.compare import find_contender, interval_text, verdicts
from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.cli.study_plots import short
from evosearch.language import builtin, parse

pytestmark = pytest.mark.usefixtures("quick_compile")

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = [
    "--set",
    "steps=20",
    "--set",
    "width=8",
    "--set",
    "batch=8",
    "--seeds",
    "3",
    "--backend",
    "in_process",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small comparison: Lion, a copy of it, AdamW."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "copy.py").write_text(f"# Lion again\n{builtin('lion')}")
    assert compare(folder, "--json", "--sweep", "lr,wd", "--plot", str(folder / "curves.png")) == SUCCESS
    (folder / "out" / "result.json").rename(folder / "result.json")
    return folder


def compare(folder: Path, *more: str) -> int:
    names = ["lion", str(folder / "copy.py"), "--baseline", "optax:adamw", "--task", "digits_mlp"]
    return main(["compare", *names, *SMALL, "--tune", "6", "--out", str(folder / "out"), *more])


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_what_is_found(finished: Path) -> None:
    found = result(finished)
    names = ["optax:adamw", "lion", str(finished / "copy.py")]
    assert [row["name"] for row in found["contenders"]] == names
    assert (found["baseline"], found["settings"], found["seeds"]) == ("optax:adamw", 6, 3)
    assert found["task"]["name"] == "digits_mlp"
    assert (found["task"]["steps"], found["task"]["knobs"]["width"]) == (20, 8)
    adamw, lion, copy = found["contenders"]
    for row in found["contenders"]:
        assert (row["settings"], row["source"], len(row["scores"]), len(row["curve"])) == (
            6,
            "tuned now",
            3,
            20,
        )
        assert row["curve"][-1] == pytest.approx(row["mean"]["mean"])
        assert row["mean"]["failed"] == 0
        assert row["microseconds"] > 0
    assert [row["state_bytes"] for row in (lion, copy)] == [4, 4]
    assert 8 <= adamw["state_bytes"] < 8.1
    assert (adamw["difference"], adamw["program"], adamw["ratio"]) == (None, None, 1)
    assert parse(lion["program"]).statements[-1].target == "update"


def test_a_copy_is_exactly_as_good(finished: Path) -> None:
    _, lion, copy = result(finished)["contenders"]
    for key in ("scores", "curve", "hyperparameters", "program", "difference", "speed"):
        assert lion[key] == copy[key]


def test_everything_again_from_the_ledger(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the copy as the baseline: the difference to it is exactly 0. Nothing is trained anew."""
    monkeypatch.setattr(command, "seconds_per_step", lambda plan, candidates: [1e-6] * len(candidates))
    ledger = (finished / "out" / "ledger.jsonl").read_bytes()
    arguments = ["lion", "optax:adamw", "--baseline", str(finished / "copy.py"), "--task", "digits_mlp"]
    assert main(["compare", *arguments, *SMALL, "--tune", "6", "--out", str(finished / "out")]) == SUCCESS
    assert (finished / "out" / "ledger.jsonl").read_bytes() == ledger
    out, _ = capsys.readouterr()
    _, lion, adamw = json.loads((finished / "out" / "result.json").read_text())["contenders"]
    assert (lion["difference"]["difference"], lion["difference"]["interval"]) == (0, [0, 0])
    assert lion["speed"]["speed_up"] == 1
    assert f"{adamw['difference']['difference']:+.3g}" in out
    for text in ("lion is no different", "tuned now", "us/step", "speed-up", "3 fresh seeds", "[+0, +0]"):
        assert text in out


def test_the_sweep(finished: Path) -> None:
    sweeps = result(finished)["sweep_lr_wd"]
    assert len(sweeps) == 3
    for row in result(finished)["contenders"]:
        sweep = sweeps[row["name"]]
        r, c = sweep["tuned"]
        assert sweep["columns"][c] == row["hyperparameters"][sweep["names"][1]]
        assert sweep["rows"][r] == row["hyperparameters"][sweep["names"][0]]
        # Three fresh seeds, of which none failed: the tuned cell is the final mean.
        assert sweep["metrics"][r][c] == pytest.approx(row["mean"]["mean"], rel=1e-5)
        assert 0 < sweep["good"] <= 1


def test_the_pictures(finished: Path) -> None:
    pictures = [finished / "curves.png", finished / "out" / "sweep-lr-wd.png"]
    assert result(finished)["pictures"] == [str(picture) for picture in pictures]
    for picture in pictures:
        assert picture.read_bytes().startswith(PNG)
        assert picture.stat().st_size > 20_000


def test_batch_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "BATCHES", (2, 4))
    arguments = ["optax:sgd", "--task", "quadratic", "--set", "steps=5", "--seeds", "2", "--tune", "0"]
    where = ["--backend", "in_process", "--out", str(tmp_path)]
    assert main(["compare", *arguments, *where, "--sweep", "batch"]) == SUCCESS
    found = json.loads((tmp_path / "result.json").read_text())["sweep_batch"]
    assert [(p["name"], p["batch"]) for p in found] == [
        (name, batch) for batch in (2, 4) for name in ("optax:adamw", "optax:sgd")
    ]
    assert all(p["settings"] == 0 and len(p["scores"]) == 2 for p in found)
    assert (tmp_path / "sweep-batch.png").read_bytes().startswith(PNG)
    assert "Batch sizes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optax:loin"], "unknown reference 'loin'; did you mean 'lion'? (known: sgd, "),
        (["muon"], "'muon' is no program; optax's optimizer is named optax:muon"),
        (
            ["lionn"],
            "'lionn' is neither a file, a run's folder, RUN:ID nor a shipped program; did you mean 'lion'?",
        ),
        (["lion", "lion"], "lion is named twice"),
        (["lion", "--baseline", "optax:"], "unknown reference ''"),
        (["lion", "--task", "digits_mpl"], "unknown task 'digits_mpl': did you mean 'digits_mlp'?"),
        (["lion", "--set", "stebs=3"], "unknown knob 'stebs': did you mean 'steps'?"),
        (["lion", "--preset", "x11"], "unknown preset 'x11': did you mean 'x10'?"),
        (["lion", "--plot", "curves.pdf"], "--plot curves.pdf: expected the name of a .png file"),
        (["lion", "--plot", "no/such/curves.png"], "--plot no/such/curves.png: there is no folder no/such"),
        (["lion", "--file", "none.json"], "--file none.json: there is no such file"),
        (["lion", "--sweep", "wd"], "invalid choice: 'wd'"),
        (["lion", "--tune", "-1"], "expected a number of at least 0, found '-1'"),
        (["lion", "--seeds", "1"], "expected a number of at least 2, found '1'"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["compare", "--task", "digits_mlp", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (BAD_INPUT, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_invalid_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "invalid.py"
    path.write_text("def train(w, g, m, v, lr):\n    update = lr * 2.0\n    return update, m, v\n")
    assert main(["compare", str(path), "--task", "digits_mlp"]) == BAD_INPUT
    assert f"{path} is no valid program: " in capsys.readouterr().err


def test_who_is_meant() -> None:
    assert find_contender("optax:lion").reference == "lion"
    assert find_contender("lion").statements == builtin("lion").statements
    assert short("x" * 40) == "…" + "x" * 28
    assert interval_text(None) == ""
    assert interval_text((1.0, 2.0)) == "[1, 2]"
    assert interval_text((-1.0, 2.0), signed=True) == "[-1, +2]"
    assert verdicts([object()]) == []  # type: ignore[list-item]
