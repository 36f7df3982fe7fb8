"""A run of another vocabulary opens read-only: what can be told is told, and each refusal says why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from recorded_runs import bred_run, written_run

from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.language.vocabulary import vocabulary, vocabulary_fingerprint
from evosearch.records.parts import rows_from

CONFIG = """\
name: old
tasks: [{name: digits_mlp, steps: 5, seeds: 1}]
search: {budget: {programs: 60}}
made_with: {evosearch: 0.0.9, vocabulary: 0123456789abcdef}
"""
WHY = "opened read-only, it was made with another vocabulary (0123456789abcdef, here it is "


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its programs use a primitive that is not in the table any more."""
    folder = tmp_path_factory.mktemp("old")
    rows = rows_from(bred_run(folder / "bred", 60).candidates())
    renamed = [
        row._replace(text=row.text.replace("interp(", "lerp("), after=row.after.replace("interp(", "lerp("))
        for row in rows
    ]
    assert sum("lerp(" in row.text for row in renamed) > 30
    path = Path(written_run(folder / "old", renamed).path)
    (path / "config.yaml").write_text(CONFIG)
    return path


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, " ".join(captured.out.split()), captured.err


def test_the_overview_tells_what_it_can(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "inspect", str(old))
    assert (code, err) == (SUCCESS, "")
    assert "60 programs" in out
    assert "all statements of program" in out
    assert "lerp(" in out
    assert WHY in out
    assert "--lineage" not in out


def test_as_json_and_drawn(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(old), "--json", "--plot", str(tmp_path / "page.png")]) == SUCCESS
    (facts,) = json.loads(capsys.readouterr().out)["runs"]
    assert facts["read_only"].startswith(WHY)
    assert facts["best"][0]["live_text"] is None
    assert "lineage" not in facts
    assert (tmp_path / "page.png").stat().st_size > 1000


@pytest.mark.parametrize("part", ["outcomes", "curves"])
def test_parts_that_read_no_program(old: Path, part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(old), f"--{part}"]) == SUCCESS
    assert "lerp" not in capsys.readouterr().err


def test_a_program_is_shown_as_it_was_recorded(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, "inspect", f"{old}:0")
    assert (code, err) == (SUCCESS, "")
    assert "lerp(" in out
    assert "of the warm start" in out
    assert WHY in out
    assert main(["inspect", f"{old}:0", "--json"]) == SUCCESS
    facts = json.loads(capsys.readouterr().out)
    assert facts["row"]["parent"] == -1
    assert "lerp(" in facts["text"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "RUN", "--lineage"],
        ["inspect", "RUN", "--primitives"],
        ["inspect", "RUN:0", "--ideas"],
        ["inspect", "adamw", "RUN:0"],
        ["export", "RUN:0", "--to", "optax"],
        ["simplify", "RUN"],
        ["simplify", "RUN:0"],
        ["compare", "RUN:0", "--task", "digits_mlp"],
    ],
    ids=" ".join,
)
def test_what_needs_the_program_says_why_not(
    old: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = called(capsys, *[each.replace("RUN", str(old)) for each in arguments])
    assert code == BAD_INPUT
    assert err.startswith(f"error: {old} is {WHY}")
    assert err.count("\n") == 1


def test_a_configuration_of_another_version(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.replace("budget: {programs: 60}", "budget: {programs: 60}, telepathy: true")
    before = (old / "config.yaml").read_text()
    (old / "config.yaml").write_text(text)
    try:
        code, out, err = called(capsys, "inspect", str(old))
    finally:
        (old / "config.yaml").write_text(before)
    assert (code, err) == (SUCCESS, "")
    assert "opened read-only, its configuration is of another version: " in out
    assert "telepathy" in out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", ""),
        ("hello", ""),
        ("made_with: 3", ""),
        ("made_with: {vocabulary: [1]}", "of another version"),
        ("a: [", "this is not YAML"),
    ],
)
def test_any_configuration_lets_a_run_be_looked_at(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bred_run(tmp_path / "run", 40)
    (run.path / "config.yaml").write_text(text)
    code, out, err = called(capsys, "inspect", str(run.path))
    assert (code, err) == (SUCCESS, "")
    assert said in out


def test_data_that_are_not_here_do_not_make_a_run_foreign(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that a run's configuration names is opened by who merely looks at the run."""
    run = bred_run(tmp_path / "run", 40)
    here = vocabulary_fingerprint(vocabulary("paper"))
    text = CONFIG.replace("name: digits_mlp, steps: 5", "name: char_mlp, steps: 5, path: /nowhere/text.txt")
    (run.path / "config.yaml").write_text(text.replace("0123456789abcdef", here))
    code, out, err = called(capsys, "inspect", str(run.path))
    assert (code, err) == (SUCCESS, "")
    assert "read-only" not in out
    assert "--lineage" in out
