"""`evosearch funnel` from the command line to its tables, JSON and pictures; killed; and every mistake."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import bred_run, written_run

from evosearch.cli.main import BAD_INPUT, FAILED, SUCCESS, main
from evosearch.language import builtin, read_program
from evosearch.records.trainings import TrainingRow, read_trainings

pytestmark = pytest.mark.usefixtures("quick_compile")

PNG = b"\x89PNG\r\n\x1a\n"
BROKEN = "def train(w, g, m, v, lr):\n    update = g * -1.0\n    return update, m, v\n"
YAML = """\
name: small
entrants: {planted: [lion, "optax:sgd"]}
stages:
  - name: one
    tasks: [{name: digits_mlp, steps: 20}]
    baselines: [sgd]
    tuning: {settings: 10, finalists: 2, more: 1, anew: stage}
    seeds: {first: 4, most: 12}
  - name: two
    tasks: [{name: digits_mlp, steps: 20, width: 16}]
    baselines: [sgd]
    tuning: {settings: 6, finalists: 2, more: 1}
    seeds: {first: 4, most: 6}
    promote: {rule: best, most: 1}
report: {seeds: 3}
workers: {backend: in_process}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small funnel that has run: Lion is kept, ascent and SGD itself are not."""
    folder = tmp_path_factory.mktemp("funnel")
    (folder / "funnel.yaml").write_text(YAML)
    (folder / "found").mkdir()
    (folder / "found" / "broken.py").write_text(BROKEN)
    (folder / "found" / "again.py").write_text(str(builtin("lion")))
    assert main(["funnel", *arguments(folder), "--json"]) == SUCCESS
    return folder


def arguments(folder: Path, out: str = "out") -> list[str]:
    return [str(folder / "funnel.yaml"), str(folder / "found"), "--out", str(folder / out)]


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_what_is_found(place: Path) -> None:
    one, two = result(place / "out")["stages"]
    decided = {entrant["name"]: entrant["decision"] for entrant in one["entrants"]}
    # Of two that behave alike the first goes in: "again", from the folder.
    assert set(decided) == {"again", "broken", "optax:sgd (planted)"}
    assert (one["survivors"], two["survivors"]) == (["again"], ["again"])
    assert decided["broken"] in ("worse", "hopeless")
    by_name = {entrant["name"]: entrant for entrant in one["entrants"]}
    assert [d["baseline"] for d in by_name["optax:sgd (planted)"]["differences"]] == ["optax:sgd"]
    assert by_name["again"]["differences"][0]["high"] < 0
    for staged in (one, two):
        for person in (*staged["baselines"], *staged["entrants"]):
            (curve,) = person["curves"]
            assert len(curve) == 12
            assert person["means"][0]["failed"] == 0
    assert [row["name"] for row in result(place / "out")["report"]] == ["optax:sgd", "again"]
    again = read_program(place / "out" / "survivors" / "two" / "again.py")
    assert again.statements == builtin("lion").statements


def test_the_tables_again_from_the_ledger(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in (place / "out").rglob("*.*") if path.suffix != ".png"}
    assert main(["funnel", *arguments(place)]) == SUCCESS
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "going on with",
        "stage one: 3 go in",
        "Stage one: lower is better; each bound for all programs and looks together",
        "digits_mlp: validation error",
        "1 of 3 go on.",
        "to sgd, %",
        "promoted",
        "Report: fresh seeds and data that no stage has seen",
        "Came through all stages: again.",
        "Written: ",
    ):
        assert text in out
    assert {path: path.read_bytes() for path in before} == before


def test_json_and_pictures(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funnel", *arguments(place), "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert found["folder"] == str(place / "out")
    assert {key: found[key] for key in result(place / "out")} == result(place / "out")
    names = [Path(picture).name for picture in found["pictures"]]
    assert names == ["survivors.png", "stage-one.png", "stage-two.png"]
    for picture in map(Path, found["pictures"]):
        assert picture.read_bytes().startswith(PNG)
        assert picture.stat().st_size > 10_000


def test_alike_ones_are_told_of_and_nobody_may_come_through(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = "stages.0.tasks=[{name: digits_mlp, steps: 5, width: 8, batch: 16}]"
    more = ["--set", tiny, "--set", "stages.0.tuning.settings=1", "--set", "stages.0.promote.by=0.9"]
    run = bred_run(tmp_path / "bred", 100)
    who = [str(place / "found"), str(run.path), f"{run.path}:3", "optax:sgd", "--set", "entrants.count=3"]
    assert (
        main(["funnel", str(place / "funnel.yaml"), *who, *more, "--out", str(tmp_path / "out")]) == SUCCESS
    )
    out = capsys.readouterr().out
    assert "left out: lion behaves like again\n" in out
    assert "left out: optax:sgd (planted) behaves like optax:sgd (planted)\n" in out
    assert "Nobody came through: stage one promoted none." in out
    entrants = result(tmp_path / "out")["stages"][0]["entrants"]
    names = [one["name"] for one in entrants]
    assert [name.startswith("bred:") for name in names[2:5]] == [True] * 3
    assert names[5:] == [f"{run.path}:3", "optax:sgd (planted)"]
    assert [one["search_score"] is None for one in entrants] == [True] * 2 + [False] * 3 + [True] * 2
    assert [one["survivors"] for one in result(tmp_path / "out")["stages"]] == [[]]


# ---------------------------------------------------------------- killed and stopped


def lines(folder: Path) -> int:
    ledger = folder / "ledger.jsonl"
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


STRUCK = """
import os, sys

from evosearch.cli.main import main
from evosearch.runtime import one_thread_each

one_thread_each()

from evosearch.study.ledger import Ledger

goal, number, real = int(sys.argv[1]), int(sys.argv[2]), Ledger.sync

def sync(self):
    real(self)
    if len(self) >= goal:
        Ledger.sync = real
        os.kill(os.getpid(), number)

Ledger.sync = sync
sys.exit(main(sys.argv[3:]))
"""
"""Sends itself a signal: from outside, a busy machine may be too late for it."""


def interrupted(place: Path, out: str, further: int, number: int) -> tuple[int, str]:
    """The command in a process of its own, which gets a signal after so many further trainings."""
    goal = lines(place / out) + further
    numbers = [str(goal), str(int(number))]
    command = [sys.executable, "-c", STRUCK, *numbers, "funnel", *arguments(place, out)]
    done = subprocess.run(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, check=False)
    return done.returncode, done.stderr.decode()


def without_seconds(path: Path) -> list[TrainingRow]:
    return [row._replace(seconds=0.0) for row in read_trainings(path)]


def test_killed_and_stopped(place: Path) -> None:
    """While everybody is tuned, and in the second stage; tests/funnel stops made-up ones everywhere."""
    total = lines(place / "out")
    for further, number in ((30, signal.SIGKILL), (total // 2, signal.SIGINT)):
        before = lines(place / "killed")
        code, errors = interrupted(place, "killed", further, number)
        assert before + further <= lines(place / "killed") < total, errors
        if number == signal.SIGKILL:
            assert code == -number, errors
        else:
            assert code == FAILED
            assert errors.splitlines() == [
                "error: stopped; nothing is lost: give the same command again to go on with "
                f"{place / 'killed'}"
            ]
        assert not (place / "killed" / "result.json").exists()
    assert main(["funnel", *arguments(place, "killed"), "--json"]) == SUCCESS
    assert lines(place / "killed") == total
    one, other = place / "out", place / "killed"
    for name in ("result.json", "entrants.json", "config.yaml"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for folder in ("survivors/one", "survivors/two", "trainings"):
        names = sorted(path.name for path in (one / folder).iterdir())
        assert names == sorted(path.name for path in (other / folder).iterdir())
    for path in (one / "survivors").glob("*/*.py"):
        assert path.read_bytes() == (other / path.relative_to(one)).read_bytes()
    for path in (one / "trainings").iterdir():
        assert without_seconds(path) == without_seconds(other / "trainings" / path.name)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (["funnel"], "expected CONFIG.yaml, such as configs/funnel.yaml; or --simulate N"),
        (["none.yaml"], "none.yaml"),
        (["funnel.yaml", "lian"], "'lian' is neither a file, a run's folder, RUN:ID nor a shipped program"),
        (["funnel.yaml", "optax:loin"], "unknown reference 'loin'; did you mean 'lion'? (known: sgd, "),
        (["funnel.yaml", "bare"], "bare is neither a run (no config.yaml) nor a folder of programs"),
        (["funnel.yaml", "invalid.py"], "invalid.py is no valid program: "),
        (["funnel.yaml", "twins", "found"], "two different programs are named 'again', from twins/again.py"),
        (["funnel.yaml", "empty"], "empty holds no programs yet"),
        (["funnel.yaml", "old"], "old can't enter, it was made with another vocabulary: "),
        (["funnel.yaml", "out"], "out is a funnel's folder, expected a run"),
        (["funnel.yaml", "--set", "entrants.planted=[]"], "found nobody to enter"),
        (["funnel.yaml", "--set", "stages.0.seed=3"], "unknown key 'stages.0.seed'"),
        (["funnel.yaml", "--set", "stages.1.budget=3"], "stage two: a budget of 3 trainings does not pay"),
        (["funnel.yaml", "found", "--set", "seed=9", "--out", "out"], "seed was 0 and is 9 now"),
        (["funnel.yaml", "--out", "out"], "sources.0 was "),
        (["funnel.yaml", "found", "--out", "damaged"], "damaged/entrants.json is damaged"),
        (["--simulate", "0"], "argument --simulate"),
    ],
)
def test_mistakes(
    place: Path,
    what: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(mistaken(place))
    before = sorted(os.listdir())
    try:
        code = main(["funnel", *([] if what == ["funnel"] else what)])
    except SystemExit as stop:
        code = int(stop.code or 0)
    err = capsys.readouterr().err
    assert code == BAD_INPUT
    assert message in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before


def mistaken(place: Path) -> Path:
    """A folder of everything that can be wrong."""
    folder = place / "mistakes"
    if folder.exists():
        return folder
    folder.mkdir()
    (folder / "funnel.yaml").write_text(YAML)
    for name in ("bare", "twins"):
        (folder / name).mkdir()
    (folder / "twins" / "again.py").write_text(BROKEN.replace("-1.0", "-2.0"))
    (folder / "invalid.py").write_text(BROKEN.replace("g * -1.0", "lr * 2.0"))
    written_run(folder / "empty", [])
    rows = bred_run(folder / "old" / "bred", 40).take(range(40))
    shutil.rmtree(folder / "old")
    written_run(folder / "old", [row._replace(text=BROKEN.replace("g *", "squircle(g) *")) for row in rows])
    shutil.copytree(place / "found", folder / "found")
    shutil.copytree(place / "out", folder / "out")
    shutil.copytree(place / "out", folder / "damaged")
    (folder / "damaged" / "entrants.json").write_text("[]")
    for name in ("out", "damaged"):
        config = folder / name / "config.yaml"
        config.write_text(config.read_text().replace(str(place / "found"), str(folder / "found")))
    return folder


# ---------------------------------------------------------------- where the truth is known


def test_simulations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["funnel", "--simulate", "5", "--json"]) == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert (found["funnels"], found["confidence"]) == (5, 0.95)
    assert main(["funnel", "--simulate", "5"]) == SUCCESS
    out = capsys.readouterr().out
    for name, truth in found["truths"].items():
        assert 0 <= truth["erred"] <= 1
        assert name in out
    assert "5 funnels of each truth, looks at 4, 6, 8, " in out
