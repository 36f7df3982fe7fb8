"""Commands on runs, programs and files that somebody else made to do harm: one line, and an end."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_runs import bred_run, written_run
from rich.text import Text

from evosearch.cli.console import make_console, make_table, printable
from evosearch.cli.find import find_program
from evosearch.cli.live import search_panel
from evosearch.cli.main import main
from evosearch.config.yaml_file import read_yaml
from evosearch.errors import EvosearchError, ProgramError
from evosearch.export import TARGETS, export
from evosearch.language import builtin, parse
from evosearch.search.progress import Progress

ESCAPES = "\x1b[31m\x1b]0;x\x07\u202e\x9b\u2066"
EVIL = f'a{ESCAPES}[red]:smile:[link=x]"""\\\nimport os'


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    run = bred_run(tmp_path_factory.mktemp("bred") / "run", 60)
    return run.take(range(40))


@pytest.fixture
def evil_run(rows, tmp_path) -> Path:
    """A run in a folder with an evil name, whose texts are evil where nothing else reads them."""
    folder = tmp_path / EVIL.replace("\n", "")
    changed = [row._replace(mutation=f"in\x1b[{row.id % 2}m[red]", outcome="\x1b[1mBAD") for row in rows]
    written_run(folder, changed)
    (folder / "summary.json").write_text('{"warm_start_score": 2.0, "x": "\\u001b[31m"}')
    return folder


@pytest.mark.parametrize("options", [[], ["--mutations"], ["--outcomes"], ["--primitives"], ["--curves"]])
def test_what_a_run_says_does_not_steer_the_terminal(evil_run, capsys, options):
    assert main(["inspect", str(evil_run), *options]) == 0
    shown = capsys.readouterr()
    assert shown.out
    assert harmless(shown.out)
    assert harmless(shown.err)


def test_pictures_of_a_run_with_such_a_name(evil_run, tmp_path, capsys):
    folder = evil_run.with_name("a$\\frac{x$_^[red]")
    shutil.copytree(evil_run, folder)
    assert main(["inspect", str(folder), "--plot", str(tmp_path / "p.png")]) == 0
    assert (tmp_path / "p.png").stat().st_size > 1000


def test_brackets_and_colons_are_text(capsys):
    make_console().print("[red]a[/red] :smile: [link=x]b[/link]")
    make_console().print(make_table("[b]", ["[red]c"], [["[link=x]d"], [Text(ESCAPES + "e")]]))
    shown = capsys.readouterr().out
    assert "[red]a[/red] :smile: [link=x]b[/link]" in shown
    for part in ("[b]", "[red]c", "[link=x]d", "e"):
        assert part in shown
    assert harmless(shown)


def test_the_live_view(capsys):
    progress = Progress(EVIL, 100.0, 0.5, 100, 10, 0, 900.0, 90.0, 0.9, 0.7, 1.0, 0.9, 5, EVIL, 0, 0)
    make_console().print(search_panel(progress, [1.0, 2.0]))
    shown = capsys.readouterr().out
    assert "[red]" in shown
    assert harmless(shown)


def test_errors_are_one_line_of_bounded_length(capsys):
    assert main(["inspect", "x\n\x1b[31m" * 20_000]) == 2
    shown = capsys.readouterr().err
    assert harmless(shown)
    assert shown.count("\n") == 1
    assert len(shown) < 2100
    assert printable("a\u202eb") == "a\N{REPLACEMENT CHARACTER}b"


# ---------------------------------------------------------------- what is no file


@pytest.mark.parametrize(
    "command", [["inspect"], ["simplify"], ["export", "--to", "jax"], ["funnel"], ["search"]]
)
@pytest.mark.parametrize("kind", ["fifo", "device", "sparse"])
def test_commands_end_on_what_is_no_file(tmp_path, capsys, command, kind):
    path = tmp_path / "x.py"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    name, *options = command
    assert main([name, str(path), *options]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_yaml_is_read_from_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(EvosearchError, match=r"fifo: can't be read: expected a regular file, found a FIFO$"):
        read_yaml(tmp_path / "fifo")


# ---------------------------------------------------------------- programs

HEAD, FOOT = "def train(w, g, m, v, lr):\n", "    return update, m, v\n"
ENDLESS = {
    "brackets": "update = " + "(" * 100_000,
    "signs": "update = " + "-" * 500_000 + "1",
    "a sum": "update = " + "g+" * 50_000 + "g",
    "a list": "update = [" + "g," * 30_000 + "]",
    "a text": 'update = "' + "a" * 900_000 + '"',
    "digits": "update = g * " + "1" * 900_000,
    "statements": "update = g + m; " * 20_000,
    "a call": "update = __import__('os').system('touch x')",
}


@pytest.mark.parametrize("what", ENDLESS)
def test_programs_without_end(what):
    with pytest.raises(ProgramError, match=r"^x:\d+:\d+: ") as told:
        parse(f"{HEAD}    {ENDLESS[what]}\n{FOOT}", "x")
    assert len(str(told.value)) < 300


def test_a_program_of_a_run_that_is_none(rows, tmp_path, capsys):
    text = HEAD + "    update = __import__('os').system('touch owned')\n" + FOOT
    written_run(tmp_path / "run", [row._replace(text=text) for row in rows])
    for command in (["inspect"], ["simplify"], ["export", "--to", "optax"]):
        name, *options = command
        assert main([name, f"{tmp_path / 'run'}:3", *options]) == 2
        assert "expected one primitive, as in `sqrt(v)`" in capsys.readouterr().err
    assert not Path("owned").exists()


# ---------------------------------------------------------------- exports


@pytest.mark.parametrize("target", TARGETS)
def test_exported_source_holds_no_code_of_a_name(target):
    origin = 'x/"""\nimport os; os.system("touch owned")\n"""\\input{/etc/passwd}\r\u2028%\n:1'
    source = export(builtin("lion").statements, target, origin=origin, summary=origin)
    clean = export(builtin("lion").statements, target, origin="lion")
    assert "\u2028" not in source
    if target == "latex":
        lines = [line for line in source.splitlines() if not line.startswith("%")]
        assert "\n".join(lines) == "\n".join(x for x in clean.splitlines() if not x.startswith("%"))
    else:
        kinds = [type(node).__name__ for node in ast.parse(source).body]
        assert kinds == [type(node).__name__ for node in ast.parse(clean).body]
        assert "system" not in {n.attr for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute)}


@pytest.mark.parametrize("target", TARGETS)
def test_variables_with_dangerous_names(target):
    names = ("__class__", "__builtins__", "print", "os", "jnp", "torch", "input")
    text = HEAD + "".join(f"    {n} = g * 0.5\n    update = update + {n}\n" for n in names) + FOOT
    text = text.replace("update = update + __class__", "update = g + __class__")
    source = export(parse(text).statements, target, origin="x")
    if target != "latex":
        bound = {
            n.id
            for n in ast.walk(ast.parse(source))
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        assert not bound & set(names)


# ---------------------------------------------------------------- trust


def test_nothing_is_imported_from_the_current_folder_or_a_run(rows, tmp_path):
    """A run's folder with modules that would take the place of others, which leave a trace if they run."""
    run = tmp_path / "run"
    written_run(run, rows)
    for name in ("json", "yaml", "numpy", "rich", "evosearch", "sitecustomize", "best"):
        (run / f"{name}.py").write_text("open('owned', 'w').close()\n")
    script = Path(sys.executable).with_name("evosearch")
    done = subprocess.run(
        [str(script), "inspect", ".", "--json"],
        cwd=run,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (run / "owned").exists()


def test_a_name_that_is_too_long():
    with pytest.raises(ProgramError, match=r"can't be looked for: File name too long$"):
        find_program("x" * 5000)


def test_opening_a_run_joins_no_cluster(rows, tmp_path, capsys):
    run = tmp_path / "run"
    written_run(run, rows)
    (run / "config.yaml").write_text("workers: {address: 'ray://evil:1'}\nwarm_start: /dev/zero\n")
    assert main(["inspect", str(run), "--json"]) == 0
    assert main(["inspect", f"{run}:3"]) == 0
    assert "evil" not in capsys.readouterr().out
