"""Every command as a user types it: exit codes, one line for a mistake, JSON and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.language import analyze, builtin, builtin_names, parse
from evosearch.search.run import Stop
from primitives import TABLE
from proxy_tasks import TASKS

pytestmark = pytest.mark.usefixtures("quick_compile")

TINY = {
    "name": "tiny",
    "tasks": [{"name": "digits_mlp", "steps": 8, "seeds": 2}],
    "search": {"population": 10, "lag": 8, "budget": {"programs": 60}},
    "workers": {"backend": "in_process"},
    "report": {"settings": 4, "seeds": 3},
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny search."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    assert main(["search", str(path), "--out", str(folder / "run"), "--json"]) == SUCCESS
    return folder / "run"


def one_line(err: str) -> str:
    """The error as a user sees it: one line, no traceback."""
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


# ------------------------------------------------------------------------------------ help and lists


@pytest.mark.parametrize("command", ["search", "inspect", "tasks", "primitives", "bench"])
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == SUCCESS
    assert f"example:\n  evosearch {command}" in out


def test_unknown_command_and_option(run: Run) -> None:
    code, _, err = run("serach")
    assert code == BAD_INPUT
    assert "invalid choice: 'serach'" in one_line(err)
    code, _, err = run("search", "x.yaml", "--rezume")
    assert code == BAD_INPUT
    assert "--rezume" in one_line(err)


def test_tasks_lists_each_row_of_the_table(run: Run) -> None:
    code, out, err = run("tasks", "--json")
    assert (code, err) == (SUCCESS, "")
    found = json.loads(out)["tasks"]
    assert [task["name"] for task in found] == list(TASKS)
    assert all(task["weights"] > 0 and task["chance"] > 0 and "steps" in task["knobs"] for task in found)


def test_tasks_shows_sizes_knobs_and_times(run: Run) -> None:
    _, out, _ = run("tasks", "digits_mlp", "quadratic", "--preset", "x10")
    assert "26,122" in out
    assert "370" in out
    assert "colour: false" in out
    assert "path: null" in out
    code, out, _ = run("tasks", "digits_mlp", "--measure", "--json")
    assert code == SUCCESS
    assert 0 < json.loads(out)["tasks"][0]["seconds"] < 60
    code, _, err = run("tasks", "digits_mpl")
    assert code == BAD_INPUT
    assert "did you mean 'digits_mlp'?" in one_line(err)
    code, _, err = run("tasks", "--preset", "x11")
    assert code == BAD_INPUT
    assert "did you mean 'x10'?" in one_line(err)


def test_primitives_lists_each_row_of_the_table(run: Run) -> None:
    code, out, err = run("primitives", "--json")
    assert (code, err) == (SUCCESS, "")
    assert [p["name"] for p in json.loads(out)["primitives"]] == [p.name for p in TABLE]
    code, out, _ = run("primitives")
    assert "45 primitives" in out
    assert "paper (43), all (45)" in out


# ------------------------------------------------------------------------------------ inspect a program


@pytest.mark.parametrize("name", builtin_names())
def test_inspect_json_of_shipped_programs(run: Run, name: str) -> None:
    code, out, err = run("inspect", name, "--json")
    assert (code, err) == (SUCCESS, "")
    facts = json.loads(out)
    assert facts["valid"] is True
    assert facts["reason"] is None
    assert facts["hash"] == analyze(builtin(name).statements).hash
    assert parse(facts["text"]) == builtin(name)
    assert analyze(parse(facts["live_text"]).statements).hash == facts["hash"]


def test_inspect_tells_live_and_dead_apart(run: Run) -> None:
    _, out, _ = run("inspect", "program8")
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()[:1].isdigit()}
    assert rows["1"].rstrip().endswith("live")
    assert rows["2"].rstrip().endswith("dead")
    assert "12 of 21 statements are live; v is carried" in out


def test_inspect_of_an_invalid_program_says_why(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "scalar.py"
    path.write_text("def train(w, g, m, v, lr):\n    update = lr * 2.0\n    return update, m, v\n")
    code, out, _ = run("inspect", str(path), "--json")
    assert code == SUCCESS
    facts = json.loads(out)
    assert facts["valid"] is False
    assert facts["reason"] == "update must be a tensor, found a scalar"
    assert facts["hash"] is None
    assert "invalid: update must be a tensor, found a scalar" in run("inspect", str(path))[1]


def test_inspect_two_programs(run: Run) -> None:
    code, out, _ = run("inspect", "program4", "program8", "--json")
    assert code == SUCCESS
    assert json.loads(out)["same_hash"] is True
    assert json.loads(out)["same_fingerprint"] is True
    _, out, _ = run("inspect", "adamw", "adam", "--json")
    both = json.loads(out)
    assert both["same_hash"] is False
    assert "-    wd = w * 0.01" in both["diff"]
    assert "-    wd = w * 0.01" in run("inspect", "adamw", "adam")[1]


# ---------------------------------------------------------------------------- search, inspect a run


def test_search_json_is_one_object_on_standard_output(run: Run, tiny: Path) -> None:
    code, out, err = run("search", str(tiny), "--json")
    assert code == SUCCESS
    summary = json.loads(out)
    assert summary["programs"] == 60
    assert summary["run"] == "runs/tiny"
    assert summary["evaluated"] + summary["cache_hits"] == 60
    assert summary["seconds"] > 0
    assert summary["best"]["score"] <= summary["warm_start_score"]
    assert analyze(parse(summary["best"]["text"]).statements).valid
    names = [s["name"] for s in summary["standings"]]
    assert names == ["best program", "warm start", "adamw, tuned", "lion, tuned"]
    assert "starting workers" in err


def test_search_again_takes_the_next_free_folder_and_resume_the_latest(run: Run, tiny: Path) -> None:
    run("search", str(tiny))
    assert "run: runs/tiny-2" in run("search", str(tiny))[1]
    code, out, _ = run("search", str(tiny), "--resume")
    assert code == SUCCESS
    assert "run: runs/tiny-2" in out


def test_a_run_is_gone_on_with_by_its_folder(run: Run, tiny: Path) -> None:
    run("search", str(tiny))
    code, out, err = run("search", "runs/tiny")
    assert code == BAD_INPUT
    assert (
        "runs/tiny is a folder: expected a YAML file; to go on with the run in it, add --resume"
        in one_line(err)
    )
    code, out, err = run("search", "runs/tiny", "--resume", "--out", "runs/other")
    assert code == BAD_INPUT
    assert "runs/tiny and --out runs/other are two runs to go on with" in one_line(err)
    code, _, err = run("search", "runs", "--resume")
    assert code == BAD_INPUT
    assert "runs is not a run" in one_line(err)
    more = ("--set", "search.budget.programs=90", "--json")
    code, out, _ = run("search", "runs/tiny", "--resume", *more)
    assert code == SUCCESS
    assert json.loads(out)["programs"] == 90
    assert [folder.name for folder in Path("runs").iterdir()] == ["tiny"]


def test_the_cluster_of_a_run_is_not_joined_unless_asked_for(run: Run, tiny: Path) -> None:
    run("search", str(tiny))
    config = Path("runs/tiny/config.yaml")
    assert "address: null" in config.read_text()
    config.write_text(config.read_text().replace("address: null", "address: 203.0.113.1:6379"))
    code, out, _ = run("search", "runs/tiny", "--resume")
    assert code == SUCCESS
    assert "of runs/tiny is not used; to join that cluster add --set workers.address=203.0.113.1:6379" in out
    config.write_text(config.read_text().replace("203.0.113.1:6379", r'"h; rm -rf x \e]0;owned\a"'))
    code, out, _ = run("search", "runs/tiny", "--resume")
    assert code == SUCCESS
    assert "--set 'workers.address=h; rm -rf x " in out
    assert "\x1b" not in out
    assert "\a" not in out


def test_a_stopped_search_says_how_to_go_on(run: Run, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was changed, so that it can be pasted."""
    more = ("--set", "search.budget.programs=90")
    with monkeypatch.context() as patch:
        patch.setattr("evosearch.cli.search.Stop", lambda: Stop(requested=True))
        _, out, _ = run("search", str(tiny), *more)
        assert f"evosearch search {tiny} --resume --out runs/tiny {' '.join(more)}" in " ".join(out.split())
        _, out, _ = run("search", "runs/tiny", "--resume", *more)
        command = f"evosearch search runs/tiny --resume {' '.join(more)}"
        assert command in " ".join(out.split())
    _, out, _ = run(*command.split()[1:], "--json")
    assert json.loads(out)["programs"] == 90


def test_search_prints_the_comparison(run: Run, tiny: Path) -> None:
    code, out, err = run("search", str(tiny))
    assert (code, err) == (SUCCESS, "")
    for text in ("best program", "warm start", "adamw, tuned", "lion, tuned", "fresh seeds", "95 % interval"):
        assert text in out
    assert "Against adamw, tuned:" in out


def test_inspect_run(run: Run, finished: Path, tmp_path: Path) -> None:
    code, out, _ = run("inspect", str(finished), "--json", "--top", "3")
    assert code == SUCCESS
    (facts,) = json.loads(out)["runs"]
    assert facts["programs"] == 60
    assert len(facts["best"]) == 3
    assert len({row["hash"] for row in facts["best"]}) == 3
    assert len(facts["curves"]) == 10
    picture = tmp_path / "curves.png"
    code, out, _ = run("inspect", str(finished), "--plot", str(picture))
    assert code == SUCCESS
    assert "the best, distinct by behaviour" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_inspect_a_program_of_a_run(run: Run, finished: Path) -> None:
    _, out, _ = run("inspect", str(finished), "--json")
    (facts,) = json.loads(out)["runs"]
    best = facts["best"][0]
    code, out, _ = run("inspect", f"{finished}:{best['id']}", "--json")
    assert code == SUCCESS
    assert json.loads(out)["hash"] == best["hash"]


def test_inspect_two_runs_side_by_side(run: Run, finished: Path) -> None:
    code, out, _ = run("inspect", str(finished), str(finished))
    assert code == SUCCESS
    assert "cache hits 2" in out
    assert "paper, late" in out


# ------------------------------------------------------------------------------------ bad input


def bad_program(text: str) -> str:
    return f"def train(w, g, m, v, lr):\n    {text}\n    return update, m, v\n"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("search.mutation.inser=1", "unknown key 'search.mutation.inser'; did you mean 'insert'?"),
        ("vocabulary={include: [squrt]}", "unknown primitive 'squrt'; did you mean 'sqrt'?"),
        ("search.budget.programs=0", "search.budget.programs: should be greater than or equal to 1, found 0"),
        ("search.budget.minutes=-1", "search.budget.minutes: should be greater than 0, found -1"),
        ("search.budget={}", "expected a limit: one of programs, evaluations, steps, minutes"),
        ("tasks.0.name=digits_mpl", "unknown task 'digits_mpl': did you mean 'digits_mlp'?"),
        ("tasks.0.path=/nowhere/x.npz", "No such file or directory: /nowhere/x.npz"),
        ("warm_start=loin", "did you mean 'lion'?"),
        ("no_equals", "expected key=value"),
    ],
)
def test_a_bad_yaml_is_one_line_and_writes_nothing(run: Run, tiny: Path, setting: str, message: str) -> None:
    code, out, err = run("search", str(tiny), "--set", setting)
    assert (code, out) == (BAD_INPUT, "")
    assert message in one_line(err)
    assert [p.name for p in tiny.parent.iterdir()] == ["tiny.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bad_program("update = squrt(g)"), ":2:14: unknown primitive 'squrt'; did you mean 'sqrt'?"),
        (bad_program("update = g *"), ":2:"),
        (bad_program("update = lr * 2.0"), "can't be used: update must be a tensor, found a scalar"),
        (bad_program("m = g * 2.0"), "can't be used: update is never defined"),
    ],
)
def test_a_bad_warm_start_is_one_line_and_writes_nothing(
    run: Run, tiny: Path, text: str, message: str
) -> None:
    path = tiny.parent / "bad.py"
    path.write_text(text)
    code, out, err = run("search", str(tiny), "--set", f"warm_start={path}")
    assert (code, out) == (BAD_INPUT, "")
    assert message in one_line(err)
    assert sorted(p.name for p in tiny.parent.iterdir()) == ["bad.py", "tiny.yaml"]


def test_a_warm_start_that_does_not_train_writes_nothing(run: Run, tiny: Path) -> None:
    path = tiny.parent / "explodes.py"
    path.write_text(bad_program("update = w * -1e20"))
    code, _, err = run("search", str(tiny), "--set", f"warm_start={path}")
    assert code == BAD_INPUT
    assert "the warm start does not train: loss or weights stopped being finite" in err
    assert not (tiny.parent / "runs").exists()


def test_missing_and_taken_run_folders(run: Run, tiny: Path, finished: Path) -> None:
    code, _, err = run("inspect", "runs/nowhere:3")
    assert code == BAD_INPUT
    assert "there is no run at runs/nowhere" in one_line(err)
    code, _, err = run("search", str(tiny), "--resume")
    assert code == BAD_INPUT
    assert "there is no run runs/tiny to resume" in one_line(err)
    before = sorted((p.name, p.stat().st_mtime_ns) for p in finished.rglob("*"))
    code, _, err = run("search", str(tiny), "--out", str(finished))
    assert code == BAD_INPUT
    assert "is not empty" in err
    assert "use --resume" in err
    assert before == sorted((p.name, p.stat().st_mtime_ns) for p in finished.rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["loin"], "did you mean 'lion'?"),
        (["adamw", "lion", "sgd"], "expected one or two runs or programs, found 3"),
        (["adamw", "--plot", "x.png"], "no run was named"),
        (["adamw", "--top", "0"], "expected a number of at least 1, found '0'"),
    ],
)
def test_bad_input_of_inspect(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = run("inspect", *arguments)
    assert (code, out) == (BAD_INPUT, "")
    assert message in one_line(err)


def test_inspect_run_and_program_together(run: Run, finished: Path) -> None:
    code, _, err = run("inspect", str(finished), "adamw")
    assert code == BAD_INPUT
    assert "name a program as RUN:ID" in one_line(err)
    code, _, err = run("inspect", f"{finished}:999999")
    assert code == BAD_INPUT
    assert "999999" in one_line(err)
    code, _, err = run("inspect", f"{finished}:x")
    assert code == BAD_INPUT
    assert "expected RUN:ID" in one_line(err)


def test_a_missing_yaml(run: Run, tmp_path: Path) -> None:
    code, _, err = run("search", str(tmp_path / "nix.yaml"))
    assert code == BAD_INPUT
    assert "nix.yaml: there is no such file" in one_line(err)


def test_control_characters_of_a_name_do_not_reach_the_terminal(run: Run) -> None:
    code, _, err = run("inspect", "\x1b[31mred")
    assert code == BAD_INPUT
    assert "\x1b" not in err


def test_unknown_part_of_bench(run: Run) -> None:
    code, _, err = run("bench", "engin")
    assert code == BAD_INPUT
    assert "unknown part 'engin'; did you mean 'engine'?" in one_line(err)
