"""`evosearch overfitting` from the command line to its tables, JSON and picture; and every mistake."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import bred_run, written_run

from evosearch.cli import overfitting as command
from evosearch.cli.main import BAD_INPUT, FAILED, SUCCESS, main
from evosearch.cli.overfitting import find_courses, interval_text, verdict
from evosearch.cli.overfitting_plots import NAMED, draw_overfitting
from evosearch.funnel.overfitting import Overfitted, Relative, Trained
from evosearch.study.statistics import Paired

pytestmark = pytest.mark.usefixtures("quick_compile")

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--task", "quadratic", "--set", "steps=5", "--backend", "in_process"]
EFFORT = ["--points", "4", "--seeds", "2", "--tune", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, the second longer; and a study of both."""
    folder = tmp_path_factory.mktemp("overfitting")
    bred_run(folder / "short", 100)
    bred_run(folder / "long", 300)
    code = study(folder, "--plot", str(folder / "both.png"), "--json")
    assert code == SUCCESS
    return folder


def study(folder: Path, *more: str) -> int:
    runs = [str(folder / "short"), str(folder / "long")]
    return main(["overfitting", *runs, *SMALL, *EFFORT, "--out", str(folder / "out"), *more])


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return found


def test_what_is_found(folder: Path) -> None:
    found = result(folder)
    assert (found["task"]["name"], found["task"]["steps"], found["task"]["knobs"]["preset"]) == (
        "quadratic",
        5,
        "x10",
    )
    assert (found["seeds"], found["settings"]) == (2, 3)
    assert [run["run"] for run in found["runs"]] == [str(folder / "short"), str(folder / "long")]
    for run, programs in zip(found["runs"], (100, 300), strict=True):
        assert run["programs"] == programs
        assert [point["progress"] for point in run["points"]] == [0, 0.25, 0.5, 0.75, 1]
        searched = [point["search"] for point in run["points"]]
        assert searched == sorted(searched, reverse=True)
        warm = run["points"][0]
        assert (warm["id"], warm["search"], warm["meta_validation"]["score"]) == (None, 1, 1)
        scores = [point["meta_validation"]["score"] for point in run["points"]]
        lowest = min(score for score in scores if score is not None)
        assert run["peak"] == scores.index(lowest)
        assert run["peak_progress"] == run["points"][run["peak"]]["progress"]
        assert len(warm["metrics"]) == 2
    peaks = [run["peak_progress"] for run in found["runs"]]
    assert sum(part["runs"] for part in found["histogram"]) == 2
    assert len(found["histogram"]) == 10
    for part in found["histogram"]:
        low = -1 if part["begin"] == 0 else part["begin"]
        assert part["runs"] == sum(low < peak <= part["end"] for peak in peaks)
        assert (part["best"] is None) == (part["runs"] == 0)


def test_everything_again_from_the_ledger(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, before = (folder / "out" / "ledger.jsonl").read_bytes(), result(folder)
    assert study(folder) == SUCCESS
    assert (folder / "out" / "ledger.jsonl").read_bytes() == ledger
    assert {**result(folder), "pictures": []} == {**before, "pictures": []}
    out, _ = capsys.readouterr()
    for run in before["runs"]:
        assert run["in_words"] in out
        for point in run["points"]:
            assert point["id"] is None or str(point["id"]) in out
    for text in (
        "warm start",
        "meta-validation",
        "Where 2 runs peak",
        "< peak",
        "90 % to 100 %",
        "Written: ",
    ):
        assert text in out
    assert out.count("< peak") == 2


def test_json_is_one_object_and_one_run_has_no_histogram_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = ["overfitting", str(folder / "short"), *SMALL, *EFFORT, "--out", str(folder / "out")]
    ledger = (folder / "out" / "ledger.jsonl").read_bytes()
    (folder / "one.png").unlink(missing_ok=True)
    assert main([*one, "--json", "--plot", str(folder / "one.png")]) == SUCCESS
    found = json.loads(capsys.readouterr().out)
    assert found == result(folder)
    assert (len(found["runs"]), found["pictures"]) == (1, [str(folder / "one.png")])
    assert main(one) == SUCCESS
    assert "runs peak" not in capsys.readouterr().out
    assert (folder / "out" / "ledger.jsonl").read_bytes() == ledger  # its trainings were the other study's


def test_the_pictures(folder: Path) -> None:
    assert (folder / "both.png").read_bytes().startswith(PNG)
    assert (folder / "both.png").stat().st_size > 20_000


def test_stopping_loses_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "measure", stop)
        arguments = ["overfitting", str(folder / "short"), *SMALL, *EFFORT, "--out", str(tmp_path / "out")]
        assert main(arguments) == FAILED
    _, err = capsys.readouterr()
    assert "stopped; nothing is lost: give the same command again to go on" in err
    assert not (tmp_path / "out" / "result.json").exists()


# ---------------------------------------------------------------- pictures and words of made-up findings


def made_up(folder: Path, scores: list[float], fresh: tuple[float, float, float]) -> Overfitted:
    """A run with these scores at its five points; what is lost on fresh seeds, with an interval."""
    (course,) = find_courses([str(folder / "long")], 4)
    rows = tuple(
        Relative(s, (s - 0.02, s + 0.02), 0, (s, s)) if math.isfinite(s) else Relative(s, None, 1, ())
        for s in scores
    )
    peak = scores.index(min(scores))
    trained = (Trained((0, 0), {}, (), (1.0, 1.0)),) * 5
    loss = Paired(scores[-1] - scores[peak], (0.01, 0.3), 1.0, 2) if math.isfinite(scores[-1]) else None
    fresh_loss = Paired(fresh[0], fresh[1:], 1.0, 2)
    return Overfitted(course, rows, trained, peak, loss, rows[peak], rows[peak], fresh_loss)


@pytest.mark.parametrize(
    ("fresh", "words"),
    [
        ((0.05, 0.01, 0.09), "on fresh ones +5.00 % [+1.00, +9.00]: it meta-overfits."),
        ((0.01, -0.02, 0.04), "no meta-overfitting shown, the interval holds 0."),
        ((-0.03, -0.04, -0.02), "no meta-overfitting, the end is better."),
    ],
)
def test_what_is_said_follows_from_fresh_seeds(
    folder: Path, fresh: tuple[float, float, float], words: str
) -> None:
    text = verdict(made_up(folder, [1.0, 0.8, 0.85, 0.9, 0.95], fresh))
    assert "lowest at 25 % of the search" in text
    assert "+15.00 % [+1.00, +30.00] is lost on the seeds that picked the peak, which is too much" in text
    assert text.endswith(words)


def test_what_is_said_of_failures(folder: Path) -> None:
    one = made_up(folder, [1.0, 0.8, 0.85, 0.9, math.inf], (0.0, 0.0, 0.0))
    broken = Relative(math.inf, None, 2, ())
    text = verdict(replace(one, fresh_end=broken, fresh_loss=None))
    assert text.endswith(
        "the end failed on 1 of 2 seeds; on fresh ones the end failed on 2 of 2 seeds: it meta-overfits."
    )
    text = verdict(replace(one, fresh_peak=broken, fresh_loss=None))
    assert text.endswith("on fresh ones the peak failed on 2 of 2 seeds: nothing can be told.")
    assert interval_text((0.1, 2.0)) == "too wide"
    assert interval_text(None) == ""


def test_pictures_of_many_runs_and_of_failures(folder: Path, tmp_path: Path) -> None:
    one = made_up(folder, [1.0, 0.8, 0.85, 30.0, math.inf], (0.0, 0.0, 0.0))
    for count in (1, 2, NAMED + 1):
        path = tmp_path / f"{count}.png"
        draw_overfitting(path, [one] * count, "quadratic", "loss")
        assert path.read_bytes().startswith(PNG)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUNS/empty"], "empty holds no programs yet"),
        (["RUNS"], "RUNS"),
        (["RUNS/none"], "none is no run: expected a run's folder"),
        (["RUNS/drawn"], "drawn can't be followed: its programs were drawn at random"),
        (["RUNS/short", "RUNS/../RUNS_NAME/short"], "is named twice; name each run once"),
        (["RUNS/short", "--task", "quadratik"], "unknown task 'quadratik': did you mean 'quadratic'?"),
        (["RUNS/short", "--preset", "x11"], "unknown preset 'x11': did you mean 'x10'?"),
        (["RUNS/short", "--set", "stebs=3"], "unknown knob 'stebs': did you mean 'steps'?"),
        (["RUNS/short", "--plot", "a.pdf"], "--plot a.pdf: expected the name of a .png file"),
        (["RUNS/short", "--plot", "no/a.png"], "--plot no/a.png: there is no folder no"),
        (["RUNS/short", "--points", "0"], "expected a number of at least 1, found '0'"),
        (["RUNS/short", "--seeds", "1"], "expected a number of at least 2, found '1'"),
        (["RUNS/short", "--tune", "-1"], "expected a number of at least 0, found '-1'"),
        ([], "the following arguments are required: RUN"),
    ],
)
def test_mistakes(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not (folder / "empty").exists():
        written_run(folder / "empty", [])
        bred_run(folder / "drawn", 40, method="random")
    named = [a.replace("RUNS_NAME", folder.name).replace("RUNS", str(folder)) for a in arguments]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    try:
        code = main(["overfitting", *SMALL, *named])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (BAD_INPUT, "")
    assert message.replace("RUNS", str(folder)) in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
