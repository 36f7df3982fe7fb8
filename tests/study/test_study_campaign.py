"""The file of tuned references, and the study that fills it, killed and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.errors import StudyError
from evosearch.evaluation import Schedule, TaskPlan
from evosearch.evaluation.references import REFERENCES
from evosearch.study.campaign import Campaign, open_pieces, tuning_seeds, wanted_settings
from evosearch.study.tuned import canonical_knobs, place_of, read_tuned, shipped_file, write_tuned
from evosearch.study.tuning import Effort
from proxy_tasks import TASKS, build

pytestmark = pytest.mark.usefixtures("quick_compile")

ARGUMENTS = ["--task", "quadratic", "--set", "steps=5", "--reference", "sgd", "lion"]
EFFORT = ["--repeats", "2", "--settings", "6", "--seeds", "3", "--backend", "in_process"]


def tune(folder: Path, *more: str) -> int:
    where = ["--out", str(folder), "--file", str(folder / "tuned.json")]
    return main(["tune", *ARGUMENTS, *EFFORT, *where, *more])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small campaign."""
    folder = tmp_path_factory.mktemp("finished")
    assert tune(folder) == SUCCESS
    return folder


def timeless(path: Path) -> list[dict[str, Any]]:
    return [{**record.model_dump(), "seconds_per_step": None} for record in read_tuned(path)]


# ---------------------------------------------------------------- what is in the file


def test_what_a_record_says(finished: Path) -> None:
    records = read_tuned(finished / "tuned.json")
    assert [(r.reference, r.repeat) for r in records] == [("lion", 0), ("lion", 1), ("sgd", 0), ("sgd", 1)]
    effort = Effort(settings=6)
    for r in records:
        assert (r.task, r.knobs, r.schedule.kind, r.schedule.warmup, r.clip) == (
            "quadratic",
            {"steps": 5},
            "cosine",
            0.1,
            None,
        )
        grids = REFERENCES[r.reference].grids
        assert list(r.hyperparameters) == list(grids)
        assert all(value in grids[name].values for name, value in r.hyperparameters.items())
        assert all(grids[name].is_edge(grids[name].values.index(r.hyperparameters[name])) for name in r.edge)
        assert (r.settings, r.runs, r.steps) == (6, effort.trainings, 5)
        assert len(r.tuning.scores) == effort.seeds
        assert len(r.report.scores) == 3
        for part in (r.tuning, r.report):
            finite = [score for score in part.scores if score is not None]
            assert part.mean == pytest.approx(sum(finite) / len(finite))
        assert r.data == build("quadratic", steps=5).data().fingerprint
        assert r.seconds_per_step > 0
        assert set(r.versions) == {"evosearch", "jax", "jaxlib", "optax"}
    first, second = (r for r in records if r.reference == "lion")
    assert not set(first.tuning.scores) & set(second.tuning.scores)  # other seeds


def test_what_is_there_is_not_made_again(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "ledger.jsonl").read_bytes(), (finished / "tuned.json").read_bytes()
    assert tune(finished, "--json") == SUCCESS
    assert ((finished / "ledger.jsonl").read_bytes(), (finished / "tuned.json").read_bytes()) == before
    out, err = capsys.readouterr()
    assert len(json.loads(out)["records"]) == 4
    assert "0 of 4 records to make" in err


def test_the_table_in_the_end(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune(finished)
    out, _ = capsys.readouterr()
    assert "quadratic" in out
    assert "steps=5" in out
    assert all(name in out for name in ("sgd", "lion"))
    first, second = (r for r in read_tuned(finished / "tuned.json") if r.reference == "sgd")
    assert f"{(second.report.mean or 0) - (first.report.mean or 0):+.2g}" in out


def test_killed_and_gone_on_with_it_comes_out_the_same(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "evosearch", "tune", *ARGUMENTS, *EFFORT]
    where = ["--out", str(tmp_path), "--file", str(tmp_path / "tuned.json")]
    with subprocess.Popen([*command, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as victim:
        ledger, end = tmp_path / "ledger.jsonl", time.monotonic() + 120
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < 20:
            assert victim.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < end
            time.sleep(0.002)
        os.kill(victim.pid, signal.SIGKILL)
    with ledger.open("ab") as file:
        file.write(b'{"key": "to')  # as a power cut might leave it
    assert len(timeless(tmp_path / "tuned.json")) < 4
    assert tune(tmp_path) == SUCCESS
    assert timeless(tmp_path / "tuned.json") == timeless(finished / "tuned.json")
    lines = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    assert len(lines) == len(set(lines)), "something was trained twice"
    assert set(lines) == {json.loads(x)["key"] for x in (finished / "ledger.jsonl").read_text().splitlines()}


# ---------------------------------------------------------------- what is left to do


def pieces(folder: Path, **changes: Any) -> list[tuple[str, int]]:
    campaign = Campaign(
        **{
            "tasks": (TaskPlan("quadratic", (("steps", 5),)),),
            "references": ("sgd", "lion"),
            "effort": Effort(settings=6),
            "seeds": 3,
            **changes,
        }
    )
    return [(p.reference, p.repeat) for p in open_pieces(campaign, read_tuned(folder / "tuned.json"))]


def test_only_what_no_record_answers_is_left(finished: Path) -> None:
    everything = [("sgd", 0), ("lion", 0), ("sgd", 1), ("lion", 1)]
    task = TaskPlan("quadratic", (("steps", 5),))
    assert pieces(finished) == pieces(finished, repeats=1, seeds=2, effort=Effort(settings=3)) == []
    assert pieces(finished, repeats=3) == [("sgd", 2), ("lion", 2)]
    assert pieces(finished, references=("sgd", "muon")) == [("muon", 0), ("muon", 1)]
    for changes in (
        {"effort": Effort(settings=7)},
        {"seeds": 4},
        {"tasks": (TaskPlan("quadratic", (("steps", 6),)),)},
        {"tasks": (TaskPlan("quadratic", (("steps", 5), ("preset", "x10"))),)},
        {"tasks": (TaskPlan("quadratic", (("steps", 5),), Schedule("linear")),)},
        {"tasks": (TaskPlan("quadratic", (("steps", 5),), clip=1.0),)},
    ):
        assert pieces(finished, **changes) == everything
    same = TaskPlan("quadratic", (("preset", "tiny"), ("steps", 5)))
    assert pieces(finished, tasks=(same, task)) == []


def test_a_record_of_other_data_is_no_answer(finished: Path, tmp_path: Path) -> None:
    records = [r.model_copy(update={"data": "0" * 16}) for r in read_tuned(finished / "tuned.json")]
    write_tuned(tmp_path / "tuned.json", records)
    assert len(pieces(tmp_path)) == 4


def test_small_matters() -> None:
    assert not set(tuning_seeds(0, 1000)) & set(tuning_seeds(1, 1000))
    assert wanted_settings("adagrad", Effort(settings=10**6)) == 17 * 9
    assert canonical_knobs({"steps": 5, "preset": "tiny"}) == {"steps": 5}
    assert place_of(TaskPlan("a", (("x", 1), ("b", 2))), "sgd", 0) == place_of(
        TaskPlan("a", (("b", 2), ("x", 1), ("preset", "tiny"))), "sgd", 0
    )


# ---------------------------------------------------------------- damage, and mistakes


def test_a_file_is_written_and_read(finished: Path, tmp_path: Path) -> None:
    records = read_tuned(finished / "tuned.json")
    write_tuned(tmp_path / "copy.json", records[::-1])
    assert (tmp_path / "copy.json").read_bytes() == (finished / "tuned.json").read_bytes()
    assert read_tuned(tmp_path / "none.json") == []


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"schema": 1', '"schema": 2', r"expected a file of tuned references with schema 1, found 2"),
        ('{"schema": 1', '[{"schema": 1', r"this is not JSON"),
        ('"clip": null, ', "", r"records\.0\.clip: Field required"),
        ('"clip": null', '"clip": null, "clop": 1', r"records\.0\.clop: Extra inputs are not permitted"),
        ('"repeat": 0', '"repeat": "0"', r"records\.0\.repeat: Input should be a valid integer, found '0'"),
        ('"repeat": 0', '"repeat": 1', r"records\.1: quadratic .* lion 000001 is there twice"),
        ('"lion"', '"loin"', r"records\.0: Value error, unknown reference 'loin'"),
        ('"lr"', '"rate"', r"records\.0: Value error, lion has the hyperparameters"),
        ('"steps": 5, "seconds', '"steps": 0, "seconds', r"records\.0\.steps: Input should be greater"),
        ('"settings": 6', '"settings": NaN', r"records\.0\.settings: Input should be"),
    ],
)
def test_damage_is_told(finished: Path, tmp_path: Path, old: str, new: str, why: str) -> None:
    text = (finished / "tuned.json").read_text()
    assert old in text
    path = tmp_path / "damaged.json"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(StudyError, match=rf"damaged\.json: {why}"):
        read_tuned(path)


def test_the_shipped_file() -> None:
    for record in read_tuned(shipped_file()):
        assert record.task in TASKS
        grids = REFERENCES[record.reference].grids
        assert all(value in grids[name].values for name, value in record.hyperparameters.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "loin"], "unknown reference 'loin'; did you mean 'lion'? (known: sgd, "),
        (["--task", "quadratc"], "unknown task 'quadratc': did you mean 'quadratic'?"),
        (["--task", "quadratic", "--set", "stebs=3"], "unknown knob 'stebs': did you mean 'steps'?"),
        (["--set", "steps"], "--set steps: expected knob=value, as in steps=100"),
        (["--preset", "x11"], "unknown preset 'x11': did you mean 'x10'?"),
        (["--repeats", "0"], "expected a number of at least 1, found '0'"),
        (["--seeds", "1"], "expected a number of at least 2, found '1'"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["tune", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert (code, out) == (BAD_INPUT, "")
    assert message in err
    assert err.count("\n") == 1
