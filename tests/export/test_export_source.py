"""Exported source as text: formatted, typed, importable alone, with nothing that breaks out of its place."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from export_runs import every_primitive, random_programs
from hypothesis import given
from hypothesis import strategies as st
from strategies import programs, trying

from evosearch.errors import ExportError
from evosearch.export import TARGETS, export
from evosearch.export.hyperparameters import ROLES
from evosearch.export.names import RESERVED, checked_name, class_name, function_name, plain, variable_name
from evosearch.language import Program, analyze, builtin, builtin_names, parse
from evosearch.language.library import builtin_summary

PYTHON = [name for name, target in TARGETS.items() if target.suffix == ".py"]
WIDTH = 100
HAS_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_TORCH = pytest.mark.skipif(
    not HAS_TORCH, reason="PyTorch is not installed; scripts/setup dev says how to get it"
)


@cache
def sources(target: str) -> dict[str, str]:
    """Shipped programs, one for each primitive, and thirty random ones."""
    chosen = {name: builtin(name).statements for name in builtin_names()}
    chosen |= {"a" * 40: builtin("program8").statements, "b" * 40: builtin("lion").statements}
    chosen |= {f"p_{name}": statements for name, statements in every_primitive().items()}
    chosen |= {f"random_{i}": statements for i, statements in enumerate(random_programs(200)[:30])}
    return {name: export(statements, target, origin=name) for name, statements in chosen.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All sources as files, one folder for each target."""
    root = tmp_path_factory.mktemp("sources")
    for target in PYTHON:
        (root / target).mkdir()
        for name, source in sources(target).items():
            (root / target / f"{name}.py").write_text(source)
    return root


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# ---------------------------------------------------------------- formatted and typed


def test_ruff_has_nothing_to_format(folder: Path) -> None:
    run("-m", "ruff", "format", "--check", "--isolated", f"--line-length={WIDTH}", str(folder))


def test_ruff_finds_nothing(folder: Path) -> None:
    rules = "--select=E,F,I,B,W,UP,D300,D301,RUF100"
    run("-m", "ruff", "check", "--isolated", rules, f"--line-length={WIDTH}", str(folder))


def test_types_fit(folder: Path, tmp_path: Path) -> None:
    names = ["lion", "adamw", "program8", "sgd", "p_log1p", "p_power", "random_0", "random_1", "random_2"]
    files = [tmp_path / f"{target}_{name}.py" for target in PYTHON for name in names]
    for file in files:
        file.write_text((folder / file.stem.replace("_", "/", 1)).with_suffix(".py").read_text())
    options = ["--config-file=", "--follow-imports=skip", "--ignore-missing-imports", "--check-untyped-defs"]
    run("-m", "mypy", *options, f"--cache-dir={tmp_path}", "--disallow-untyped-defs", *map(str, files))


# ---------------------------------------------------------------- importable alone

IMPORT_ALL = """
import importlib, json, pathlib, sys
sys.path.insert(0, sys.argv[1])
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    importlib.import_module(path.stem)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""

ONE_STEP = {
    "optax": """
import jax.numpy as jnp, optax
from lion import lion
params = {"w": jnp.ones(3)}
optimizer = lion(learning_rate=0.5, weight_decay=0.0)
updates, state = optimizer.update({"w": jnp.ones(3)}, optimizer.init(params), params)
print(float(optax.apply_updates(params, updates)["w"][0]))
""",
    "jax": """
import jax.numpy as jnp
from lion import lion_init, lion_step
params = {"w": jnp.ones(3)}
params, state = lion_step(params, params, lion_init(params), learning_rate=0.5, weight_decay=0.0)
print(float(params["w"][0]))
""",
    "torch": """
import torch
from lion import Lion
w = torch.nn.Parameter(torch.ones(3))
w.grad = torch.ones(3)
Lion([w], lr=0.5, weight_decay=0.0).step()
print(float(w.detach()[0]))
""",
}


@pytest.mark.parametrize(
    ("target", "absent"),
    [
        ("optax", {"evosearch", "primitives", "torch"}),
        ("jax", {"evosearch", "primitives", "torch", "optax"}),
        pytest.param("torch", {"evosearch", "primitives", "jax", "optax"}, marks=NEEDS_TORCH),
    ],
)
def test_a_new_process_imports_them_alone_and_takes_a_step(
    folder: Path, target: str, absent: set[str]
) -> None:
    imported, weight = run("-c", IMPORT_ALL + ONE_STEP[target], str(folder / target)).splitlines()
    assert target in json.loads(imported)
    assert not set(json.loads(imported)) & absent
    assert float(weight) == 0.5


# ---------------------------------------------------------------- what it says


def test_only_the_helpers_that_are_used() -> None:
    for target in PYTHON:
        for name, source in sources(target).items():
            module = ast.parse(source)
            helpers = [node.name for node in module.body if isinstance(node, ast.FunctionDef)]
            for helper in (h for h in helpers if h.startswith("_")):
                assert source.count(f"{helper}(") > 1, f"{target}, {name}: {helper}"
            assert ("EPS = 1e-8" in source) == (source.count("EPS") > 1), f"{target}, {name}"


@pytest.mark.parametrize("target", PYTHON)
def test_docstrings_tell_origin_program_and_every_argument(target: str) -> None:
    program = builtin("adamw")
    source = export(program.statements, target, origin="runs/x:12", summary="A summary.")
    assert f"{analyze(program.statements).hash}" in source
    assert "Origin: program runs/x:12, 9 live of 9 statements" in source
    assert "    m = interp(g, m, 0.9)\n" in source.split('"""')[1]
    rate = "lr" if target == "torch" else "learning_rate"
    for argument in (f"{rate}: Step size; the program's own is 0.001", "b1: ", "b2: ", "weight_decay: "):
        assert f"        {argument}" in source
    assert "try 0.001 and 3 and 10 times more and less" in " ".join(source.split())


HOSTILE = ['"""', "a\nimport os", "\\", "'''", "x" * 5000, "\x1b[31m", "é\u202e", "%", "\\end{align*}", "{x}"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_an_origin_stays_in_its_docstring(target: str, text: str) -> None:
    name = "name" if target != "latex" else None
    tame = export(builtin("lion").statements, target, origin="tame", name=name, summary="tame")
    source = export(builtin("lion").statements, target, origin=text, name=name, summary=text)
    if target == "latex":
        assert _without_comments(source) == _without_comments(tame)
    else:
        assert [ast.dump(n) for n in ast.parse(source).body[1:]] == [
            ast.dump(n) for n in ast.parse(tame).body[1:]
        ]
    assert source.isascii()


def _without_comments(latex: str) -> list[str]:
    return [line for line in latex.splitlines() if not line.startswith("%")]


@given(programs(), st.sampled_from(sorted(TARGETS)))
@trying(60)
def test_every_valid_program_exports(program: Program, target: str) -> None:
    source = export(program.statements, target, origin="x")
    assert source == export(program.statements, target, origin="x")
    assert source.endswith("\n")
    assert not source.endswith("\n\n")
    if target in PYTHON:
        ast.parse(source)
        assert all(len(line) <= WIDTH or "type: ignore" in line for line in source.splitlines())


def test_thousands_of_statements() -> None:
    lines = "".join(f"    t{i} = sin({f't{i - 1}' if i else 'g'})\n" for i in range(3_000))
    text = f"def train(w, g, m, v, lr):\n{lines}    update = t2999 * lr\n    return update, m, v\n"
    source = export(parse(text).statements, "optax", origin="long")
    assert source.count("jnp.sin") == 3_000


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("lion", "lion"),
        ("runs/quickstart:1234", "quickstart_1234"),
        ("a/b/My Program-2.py", "my_program_2"),
        ("7.py", "program_7"),
        ("torch", "torch_optimizer"),
        ("runs/lambda", "lambda_optimizer"),
        ("tensor.py", "tensor_optimizer"),
        ("***", "program"),
        ("x" * 300, "x" * 40),
    ],
)
def test_names_follow_from_origins(origin: str, name: str) -> None:
    assert function_name(origin) == name
    assert checked_name(name) == name


@given(st.text())
@trying(200)
def test_any_origin_gives_a_usable_name(origin: str) -> None:
    name = function_name(origin)
    assert checked_name(name) == name
    assert class_name(name).isidentifier()
    assert len(plain(origin)) <= 200


@given(st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,63}", fullmatch=True) | st.sampled_from(sorted(RESERVED)))
@trying(300)
def test_variables_get_names_that_are_free(name: str) -> None:
    found = variable_name(name, {"b1", "weight_decay"})
    assert found.isidentifier()
    assert not found.startswith("_")
    assert found not in RESERVED | {"b1", "weight_decay"}


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my lion", "expected a Python name of at most 40 ASCII characters .* found --name 'my lion'"),
        ("_lion", "starts with a letter, found --name '_lion'"),
        ("löwe", "ASCII"),
        ("", "found --name ''"),
        ("x" * 41, "at most 40"),
        (
            "optax",
            "expected a name that the source does not need itself, found --name 'optax'; choose another",
        ),
        ("class", "found --name 'class'"),
    ],
)
def test_names_that_can_not_be_used(name: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export(builtin("lion").statements, "optax", origin="lion", name=name)


def test_an_unknown_target() -> None:
    message = (
        r"expected a target to export to, found 'optx'; did you mean 'optax'\? \(targets: optax, torch, "
    )
    with pytest.raises(ExportError, match=message):
        export(builtin("lion").statements, "optx", origin="lion")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("update = dot(g, w)", "update must be a tensor, found a scalar"),
        ("update = g + mu", "statement 1: mu is used before it is defined"),
        ("t = sin(g)", "update is never defined"),
    ],
)
def test_an_invalid_program(body: str, message: str) -> None:
    program = parse(f"def train(w, g, m, v, lr):\n    {body}\n    return update, m, v\n")
    with pytest.raises(ExportError, match=f"mine: expected a valid program, .*: {message}; see `evosearch"):
        export(program.statements, "torch", origin="mine")


# ---------------------------------------------------------------- the documentation

PAGE = Path(__file__).parents[2] / "docs" / "export.md"


@pytest.mark.parametrize(
    ("name", "target", "language"), [("lion", "optax", "python"), ("adamw", "latex", "latex")]
)
def test_the_page_shows_what_is_printed(name: str, target: str, language: str) -> None:
    source = export(builtin(name).statements, target, origin=name, summary=builtin_summary(name))
    assert f"```{language}\n{source}```\n" in PAGE.read_text(encoding="utf-8")


def test_the_page_names_every_role() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for role in ROLES:
        assert f"| `{role.name}{'1' if role.numbered else ''}`" in page
