"""`evosearch inspect` of runs, as a user types it; what it says is checked in tests/inspection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_runs import bred_run, written_run

from evosearch.cli.inspect_parts import OVERVIEW, PARTS
from evosearch.cli.inspect_run import VIEWS
from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.records import RunReader
from evosearch.records.parts import rows_from

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["inspect", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def bred(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bred_run(tmp_path_factory.mktemp("cli") / "run", 300).path)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bred_run(tmp_path_factory.mktemp("cli") / "drawn", 40, method="random").path)


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory, bred: str) -> str:
    rows = [
        row for row in rows_from(RunReader(bred).candidates()) if row.parent == -1 and row.outcome != "OK"
    ]
    return str(written_run(tmp_path_factory.mktemp("cli") / "failed", [rows[0]._replace(id=0)]).path)


HEADINGS = {
    "best": "the best, distinct by behaviour",
    "lineage": "steps from the warm start",
    "diff": "+++ program",
    "ideas": "when its ideas appeared",
    "mutations": "what mutations did to the parent",
    "primitives": "primitives of the best",
    "outcomes": "how evaluations ended",
    "curves": "Curves, by tenths",
}


def test_every_part_has_a_view_and_a_test() -> None:
    assert list(VIEWS) == list(PARTS) == list(HEADINGS)
    assert set(OVERVIEW) <= set(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_each_part_alone(run: Run, bred: str, part: str) -> None:
    code, out, err = run(bred, f"--{part}")
    assert (code, err) == (SUCCESS, "")
    assert [p for p, heading in HEADINGS.items() if heading in out] == [part]


@pytest.mark.parametrize("part", PARTS)
def test_json_of_each_part_alone(run: Run, bred: str, part: str) -> None:
    code, out, err = run(bred, f"--{part}", "--json")
    assert (code, err) == (SUCCESS, "")
    (facts,) = json.loads(out)["runs"]
    assert [name for name in facts if name in PARTS] == [part]
    assert facts[part]
    assert (facts["programs"], facts["run"]) == (300, bred)


def test_the_overview_tells_of_everything_in_short(run: Run, bred: str) -> None:
    _, out, _ = run(bred)
    for text in (HEADINGS["best"], HEADINGS["curves"], "live statements of program", "300 programs"):
        assert text in out
    for option in ("--outcomes", "--mutations", "--lineage", "--primitives"):
        assert any(line.startswith(option) for line in out.splitlines())
    (facts,) = json.loads(run(bred, "--json")[1])["runs"]
    assert [name for name in facts if name in PARTS] == list(OVERVIEW)


def test_all_parts_in_order_whatever_the_order_of_options(run: Run, bred: str) -> None:
    _, out, _ = run(bred, "--all")
    places = [out.index(heading) for heading in HEADINGS.values()]
    assert places == sorted(places)
    _, out, _ = run(bred, "--outcomes", "--best")
    assert out.index(HEADINGS["best"]) < out.index(HEADINGS["outcomes"])


def test_lineage_of_any_program_with_and_without_neutral_steps(run: Run, bred: str) -> None:
    _, out, _ = run(f"{bred}:299", "--lineage", "--json")
    facts = json.loads(out)
    assert facts["program"] == f"{bred}:299"
    steps = facts["lineage"]["steps"]
    assert [steps[-1]["id"], facts["lineage"]["id"]] == [299, 299]
    matter = [step for step in steps if step["mattered"]]
    assert 0 < len(matter) < len(steps)
    _, few, _ = run(f"{bred}:299", "--lineage")
    assert f"{len(steps)} steps from the warm start, {len(matter)} mattered" in few
    assert f"{len(steps) - len(matter)} neutral steps are left out; --all-steps shows them" in few
    _, everything, _ = run(f"{bred}:299", "--all-steps")
    assert "left out" not in everything
    assert everything.count("neutral") == len(steps) - len(matter)


def test_all_of_a_program_is_what_is_about_programs(run: Run, bred: str) -> None:
    _, out, _ = run(f"{bred}:250", "--all", "--json")
    assert [name for name in json.loads(out) if name in PARTS] == ["lineage", "diff", "ideas"]
    _, out, _ = run(f"{bred}:250", f"{bred}:251", "--diff", "--json")
    assert [facts["program"] for facts in json.loads(out)["programs"]] == [f"{bred}:250", f"{bred}:251"]


def test_two_runs_part_by_part(run: Run, bred: str, drawn: str) -> None:
    _, out, _ = run(bred, drawn, "--outcomes")
    assert out.count("how evaluations ended") == 2
    assert len(json.loads(run(bred, drawn, "--outcomes", "--json")[1])["runs"]) == 2


@pytest.mark.parametrize("other", [None, "drawn", "failed"])
def test_plots(
    run: Run, bred: str, request: pytest.FixtureRequest, tmp_path: Path, other: str | None
) -> None:
    picture = tmp_path / "page.png"
    runs = [bred] if other is None else [bred, request.getfixturevalue(other)]
    code, out, _ = run(*runs, "--plot", str(picture))
    assert code == SUCCESS
    assert "The curves are in" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_can_not_be_written(run: Run, bred: str, tmp_path: Path) -> None:
    code, out, err = run(bred, "--plot", str(tmp_path / "nowhere" / "page.png"))
    assert (code, out) == (BAD_INPUT, "")
    assert "can't write this picture" in err


def test_a_run_drawn_at_random(run: Run, drawn: str) -> None:
    _, out, _ = run(drawn)
    assert "--mutations" not in out
    assert "--primitives" in out
    code, _, err = run(drawn, "--mutations")
    assert code == BAD_INPUT
    assert "was drawn at random" in err


def test_a_run_without_a_program_that_trains(run: Run, failed: str) -> None:
    code, out, _ = run(failed)
    assert code == SUCCESS
    assert "No program of this run has trained to the end yet." in out
    for part in ("lineage", "ideas", "primitives", "diff"):
        code, out, err = run(failed, f"--{part}")
        assert (code, out) == (BAD_INPUT, "")
        assert "has trained to the end, so none is best" in err
    assert "mattered" in run(f"{failed}:0", "--lineage")[1]


def test_a_run_without_programs(run: Run, tmp_path: Path) -> None:
    empty = written_run(tmp_path / "empty", [])
    code, out, err = run(str(empty.path))
    assert (code, out) == (BAD_INPUT, "")
    assert "empty holds no programs yet" in err


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        ("{run}:300", ["--lineage"], "there is no candidate 300 in {run}: ids go from 0 to 299"),
        ("{run}:5", ["--outcomes"], "--outcomes is about a whole run: expected '{run}', found '{run}:5'"),
        (
            "lion",
            ["--lineage"],
            "--lineage is about a run or a program of it: expected RUN or RUN:ID, found 'lion'",
        ),
        ("lion", ["--all"], "expected RUN or RUN:ID, found 'lion'"),
    ],
)
def test_bad_input(run: Run, bred: str, what: str, options: list[str], message: str) -> None:
    code, out, err = run(what.format(run=bred), *options)
    assert (code, out) == (BAD_INPUT, "")
    assert message.format(run=bred) in " ".join(err.split())
    assert err.count("\n") == 1


def test_texts_of_a_run_do_not_steer_the_terminal(run: Run, bred: str, tmp_path: Path) -> None:
    rows = rows_from(RunReader(bred).candidates())
    row = next(r for r in rows if r.parent == -1 and r.outcome == "OK")
    hostile = [
        row._replace(id=0),
        row._replace(id=1, hash=bytes(16), score=0.5, before="\x1b[31mred", mutation="\x1b"),
    ]
    run_path = written_run(tmp_path / "\x1b[31mrun", hostile).path
    for part in ("best", "mutations", "primitives", "outcomes"):
        code, out, _ = run(str(run_path), f"--{part}")
        assert code == SUCCESS
        assert "\x1b" not in out
    assert "\x1b" not in run(str(run_path))[1]
