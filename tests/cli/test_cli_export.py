"""`evosearch export` as a user types it: source and nothing else, files left alone, mistakes in one line."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from evosearch.cli.main import BAD_INPUT, SUCCESS, main
from evosearch.export import TARGETS, export
from evosearch.language import builtin
from evosearch.language.library import builtin_summary

Run = Callable[..., tuple[int, str, str]]

MINE = "def train(w, g, m, v, lr):\n    update = g * lr\n    return update, m, v\n"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def one_line(err: str) -> str:
    assert err.startswith("error: "), err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def test_help_has_an_example(run: Run) -> None:
    code, out, _ = run("export", "--help")
    assert code == SUCCESS
    assert "example:\n  evosearch export lion --to optax" in out


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_and_nothing_else_is_printed(run: Run, target: str) -> None:
    code, out, err = run("export", "lion", "--to", target)
    assert (code, err) == (SUCCESS, "")
    assert out == export(builtin("lion").statements, target, origin="lion", summary=builtin_summary("lion"))


def test_a_file_of_ones_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "my rule.py").write_text(MINE)
    code, out, _ = run("export", "my rule.py", "--to", "jax")
    assert code == SUCCESS
    names = [node.name for node in ast.parse(out).body if isinstance(node, ast.FunctionDef)]
    assert names[:2] == ["my_rule_init", "my_rule_step"]
    assert "Origin: program my rule.py, 1 live of 1 statements" in out


def test_a_chosen_name_and_file(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("export", "lion", "--to", "torch", "-o", "cat.py", "--name", "big_cat")
    assert code == SUCCESS
    text = (tmp_path / "cat.py").read_text()
    assert out == f"cat.py: lion as a torch.optim.Optimizer, {len(text.splitlines())} lines\n"
    assert "class BigCat(torch.optim.Optimizer):" in text


def test_a_file_that_exists_is_left_alone_unless_asked_for(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "lion.py"
    path.write_text("mine")
    code, out, err = run("export", "lion", "--to", "optax", "-o", "lion.py")
    assert (code, out) == (BAD_INPUT, "")
    assert "lion.py exists and was left alone: name another file, or add --force" in one_line(err)
    assert path.read_text() == "mine"
    assert run("export", "lion", "--to", "optax", "-o", "lion.py", "--force")[0] == SUCCESS
    assert path.read_text().startswith('"""Lion as a gradient transformation')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lion", "--to", "optx"), "expected a target to export to, found 'optx'; did you mean 'optax'?"),
        (("lion",), "the following arguments are required: --to"),
        (("loin", "--to", "optax"), "did you mean 'lion'?"),
        (("invalid.py", "--to", "torch"), "invalid.py: expected a valid program, found one that can't be"),
        (("broken.py", "--to", "torch"), "broken.py:1:1: expected one function"),
        (("lion", "--to", "jax", "--name", "2x"), "found --name '2x'"),
        (("lion", "--to", "jax", "-o", "none/lion.py"), "none/lion.py: can't write the source here: No"),
        (("lion", "--to", "jax", "-o", "."), ". is a folder: name a file in it"),
    ],
)  # fmt: skip
def test_mistakes(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "invalid.py").write_text(MINE.replace("g * lr", "dot(g, w)"))
    (tmp_path / "broken.py").write_text("print()\n")
    before = sorted(tmp_path.iterdir())
    code, out, err = run("export", *arguments)
    assert (code, out) == (BAD_INPUT, "")
    assert message in one_line(err)
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_written_for_a_program_that_can_not_be_exported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "invalid.py").write_text(MINE.replace("g * lr", "dot(g, w)"))
    assert run("export", "invalid.py", "--to", "optax", "-o", "out.py")[0] == BAD_INPUT
    assert not (tmp_path / "out.py").exists()
