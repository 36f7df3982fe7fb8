"""The native interpreter: each row of the table in machine code, passes and places, and its compilation."""

import itertools
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from strategies import programs

from evosearch.c_library import compiler
from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.interpreters import choose, make_interpreter, settled
from evosearch.evaluation.native.code import Code, code_of
from evosearch.evaluation.native.operations import BUILT, INDEX_BITS, Kind, Operation
from evosearch.evaluation.native.source import source
from evosearch.evaluation.schedule import Schedule
from evosearch.language import Program, Statement, analyze, builtin, parse
from primitives import BY_NAME, OPCODES, TABLE, Primitive, TreeSpace

STEPS = 3
SCHEDULE = Schedule("linear", 0.25).values(STEPS)
CAPACITY = Capacity(60)


def body(*lines: str) -> tuple[Statement, ...]:
    text = "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"])
    return parse(text + "\n").statements


@cache
def stepper(shapes: tuple[tuple[int, ...], ...], capacity: Capacity = CAPACITY) -> Any:
    rule = make_interpreter("native", tuple(jnp.zeros(shape) for shape in shapes), capacity)
    return rule, jax.jit(rule.step)


def one_step(statements: Any, w: Any, g: Any, state: Any, factor: float = 1.0, step: int = 0) -> Any:
    """New weights, new m and v, finite or not."""
    rule, run = stepper(tuple(leaf.shape for leaf in w))
    program = rule.encode(statements, SCHEDULE)
    return jax.device_get(run(program, state, w, g, np.float32(factor), np.int32(step)))


# ---------------------------------------------------------------- the table, row by row

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -2.0,
    3.7,
    1e-30,
    -1e-30,
    1e30,
    -1e30,
    np.inf,
    -np.inf,
    np.nan,
    88.0,
    -104.0,
]
DENORMAL = [1e-40, -1e-40]
COMPUTED = [row for row in TABLE if row.arity > 0]


def test_every_primitive_has_machine_code_or_is_built_from_others() -> None:
    for row in TABLE:
        assert (row.c is not None) + (row.name in BUILT) + (row.arity == 0) == 1, row.name


def arguments(row: Primitive) -> list[np.ndarray[Any, Any]]:
    """All combinations of special values, then ordinary ones: enough for whole vectors and a rest."""
    rng = np.random.default_rng(0)
    wide = min(row.arity, 2)
    special = np.array(list(itertools.product(SPECIAL + DENORMAL, repeat=wide)), np.float32).T
    return [np.concatenate([column, np.float32(4 * rng.standard_normal(1501))]) for column in special]


@pytest.mark.parametrize("row", [r for r in COMPUTED if r.c], ids=lambda row: row.name)
def test_machine_code_computes_what_the_kernel_says(row: Primitive) -> None:
    args = arguments(row)
    names = ["w", "g"][: len(args)] + (["0.3"] if row.arity == 3 else [])
    statements = body("update = m + g", f"m = {row.name}({', '.join(names)})")
    w, g = ((jnp.asarray(args[k % len(args)]),) for k in range(2))
    _, state, _ = one_step(statements, w, g, jnp.zeros((2, w[0].size)))
    kernel = jax.jit(lambda *a: row.kernel(TreeSpace((a[0].shape,)), *a))
    expected = np.asarray(kernel(*args, *[np.float32(0.3)] * (row.arity - len(args))))
    np.testing.assert_allclose(state[0], expected, rtol=1e-5, atol=1e-37)
    if row.ieee:
        exact = row.reference(*args, *[np.float32(0.3)] * (row.arity - len(args)))
        normal = ~np.isin(np.abs(args), np.abs(np.float32(DENORMAL))).any(
            axis=0
        )  # XLA takes others for zeros
        far = np.isfinite(exact) & (np.abs(exact) > 1e-37) & normal
        np.testing.assert_allclose(state[0][far], exact[far], rtol=2e-7)
        assert np.array_equal(np.signbit(state[0][expected == 0]), np.signbit(expected[expected == 0]))


@pytest.mark.parametrize("row", [r for r in COMPUTED if r.arity == 2 and r.c], ids=lambda row: row.name)
@pytest.mark.parametrize("first", [True, False])
def test_an_operand_may_be_a_number(row: Primitive, first: bool) -> None:
    x = jnp.asarray(np.float32(np.abs(np.random.default_rng(0).standard_normal(2000))))
    operands = ("1.7", "g") if first else ("g", "1.7")
    _, state, _ = one_step(
        body("update = m + w", f"m = {row.name}({', '.join(operands)})"), (x,), (x,), jnp.zeros((2, 2000))
    )
    args = [np.float32(1.7) if o == "1.7" else np.asarray(x) for o in operands]
    np.testing.assert_allclose(state[0], row.reference(*args), rtol=3e-6)


SHAPES = ((3, 5), (2500,), (1,))
REDUCTIONS = {
    "norm": ("n = norm(g)", "update = g / n"),
    "rms": ("n = rms(w)", "update = g / n"),
    "global_norm": ("n = global_norm(g)", "update = g / n"),
    "dot": ("n = dot(g, w)", "update = g * n"),
    "cosine_sim": ("n = cosine_sim(g, w)", "update = g * n"),
    "clip": ("update = clip(g, 0.7)",),
}


def leaves(seed: int, shapes: Any = SHAPES) -> Any:
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(np.float32(rng.standard_normal(shape))) for shape in shapes)


@pytest.mark.parametrize("name", BUILT)
def test_primitives_of_whole_tensors_are_built_right(name: str) -> None:
    lines = REDUCTIONS[name]
    w, g = leaves(0), leaves(1)
    size = sum(leaf.size for leaf in w)
    moved, _, finite = one_step(body(*lines), w, g, jnp.zeros((2, size)))
    env: dict[str, Any] = {"w": tuple(map(np.asarray, w)), "g": tuple(map(np.asarray, g))}
    for statement in body(*lines):
        args = [env.get(a, a) if isinstance(a, str) else np.float32(a.value) for a in statement.args]
        env[statement.target] = BY_NAME[statement.primitive].reference(*args)
    assert finite
    for ours, before, update in zip(moved, w, env["update"], strict=True):
        np.testing.assert_allclose(ours, before - update, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- whole programs, to the last bit

EXACT = [row.name for row in TABLE if row.ieee]


def in_numpy(statements: Any, steps: int, shapes: Any) -> Any:
    """Weights after a few steps whose gradients are given, every statement in NumPy's float32."""
    w = tuple(map(np.asarray, leaves(0, shapes)))
    env: dict[str, Any] = {name: tuple(np.zeros_like(leaf) for leaf in w) for name in ("m", "v")}
    for step in range(steps):
        env.update(w=w, g=tuple(map(np.asarray, leaves(step + 1, shapes))), lr=SCHEDULE[step])
        for statement in statements:
            args = [env[a] if isinstance(a, str) else np.float32(a.value) for a in statement.args]
            env[statement.target] = BY_NAME[statement.primitive].reference(*args)
        w = tuple(np.float32(x - np.float32(0.5) * u) for x, u in zip(w, env["update"], strict=True))
    return w


def natively(statements: Any, steps: int, shapes: Any) -> Any:
    w = leaves(0, shapes)
    state = jnp.zeros((2, sum(leaf.size for leaf in w)))
    for step in range(steps):
        w, state, _ = one_step(statements, w, leaves(step + 1, shapes), state, 0.5, step)
        w, state = tuple(map(jnp.asarray, w)), jnp.asarray(state)
    return w


@pytest.mark.parametrize(
    "lines",
    [
        ("update = m + v", "t = m + g", "m = v + g", "v = t + g"),  # the slots change places
        ("update = m + v", "m = w + g", "v = g + w"),  # and here they hold the same
        ("update = m * g", "m = g + w", "update = update + m"),
        ("update = m + v", "t = v * g", "v = m * g", "m = abs(t)"),
        ("m = m + g", "update = m + v", "v = square(m)"),
        ("update = interp(g, m, 0.3)", "m = interp(g, m, 0.9)", "update = sign(update)"),
        ("s = lr * 3.0", "update = g * s", "update = update + 0.25", "update = maximum(update, w)"),
    ],
)
def test_exact_primitives_give_exact_programs(lines: tuple[str, ...]) -> None:
    shapes = ((33, 40), (7,))
    ours, expected = natively(body(*lines), STEPS, shapes), in_numpy(body(*lines), STEPS, shapes)
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(np.asarray(mine), theirs)


def test_weights_that_are_not_finite_are_told() -> None:
    w = leaves(0)
    size = sum(leaf.size for leaf in w)
    for position in range(3):
        g = tuple(
            leaf.at[(0,) * leaf.ndim].set(jnp.nan if k == position else 1.0)
            for k, leaf in enumerate(leaves(1))
        )
        *_, finite = one_step(body("update = g * 1.0"), w, g, jnp.zeros((2, size)))
        assert not finite
    *_, finite = one_step(body("update = g * 1.0"), w, leaves(1), jnp.zeros((2, size)))
    assert finite


# ---------------------------------------------------------------- passes and places


def listing(code: Code) -> list[str]:
    """Instructions as text."""
    names = {**{number: name for name, number in OPCODES.items()}, **{o.value: o.name for o in Operation}}

    def place(operand: int) -> str:
        kind = Kind(operand >> INDEX_BITS)
        index = operand & ((1 << INDEX_BITS) - 1)
        return {0: "w", 1: "g", 2: "m", 3: "v"}.get(kind, f"{kind.name.lower()}{index}")

    lines = []
    for operation, to, x, y, _ in code.instructions[: code.counts[0]].tolist():
        name = names[operation]
        two = operation == Operation.SUM or (name in BY_NAME and BY_NAME[name].arity > 1)
        operands = f"{place(x)}, {place(y)}" if two else place(x)
        lines.append(f"pass of {to}" if operation == Operation.PASS else f"{place(to)} = {name}({operands})")
    return lines


def listed(*lines: str) -> list[str]:
    return listing(code_of(body(*lines), SCHEDULE, CAPACITY))


def test_a_program_without_sums_is_one_pass_in_the_cache() -> None:
    code = code_of(builtin("adamw").statements, SCHEDULE, CAPACITY)
    _, scratch, spills, _ = code.counts
    assert [line for line in listing(code) if line.startswith("pass")] == ["pass of 9"]
    assert (scratch, spills) == (2, 0)
    assert listed("m = m + g", "update = sin(m)") == [
        "pass of 3",
        "m = add(m, g)",
        "scratch0 = sin(m)",
        "w = MOVE(scratch0)",
    ]


def test_what_a_later_pass_reads_is_spilled_and_the_rest_waits() -> None:
    assert listed(
        "a = g * w", "b = cos(g)", "n = global_norm(a)", "update = a / n", "update = update + b"
    ) == [
        "pass of 2",
        "spill0 = multiply(g, w)",
        "narrow1 = SUM(spill0, spill0)",
        "narrow2 = TOTAL(narrow1)",
        "narrow3 = sqrt(narrow2)",
        "pass of 4",
        "scratch0 = cos(g)",
        "scratch1 = divide(spill0, narrow3)",
        "scratch1 = add(scratch1, scratch0)",
        "w = MOVE(scratch1)",
    ]


def test_a_sum_is_made_once() -> None:
    lines = listed("a = norm(g)", "b = rms(g)", "c = a + b", "update = g / c")
    assert sum("SUM" in line for line in lines) == 1


def test_a_slot_is_copied_home_where_its_old_value_is_read_later() -> None:
    assert listed("new = m + g", "update = new * m", "m = m + g")[-2:] == [
        "m = COPY(scratch0)",
        "w = MOVE(scratch1)",
    ]


@settings(max_examples=200, deadline=None)
@given(programs())
def test_no_more_work_than_statements(program: Program) -> None:
    code = code_of(program.statements, SCHEDULE, CAPACITY)
    live = [s for s, flag in zip(program.statements, analyze(program.statements).live, strict=True) if flag]
    length, scratch, spills, narrows = code.counts
    built = sum(s.primitive in BUILT for s in live)
    assert length <= len(live) + 9 * built + 3 + (built + 1)  # slots, weights, a head for each pass
    assert scratch + spills <= len(live) + 2
    assert narrows <= 1 + len(live) + 10 * built
    assert not code.instructions[length:].any()


def test_a_program_can_be_too_long() -> None:
    with pytest.raises(ValueError, match="expected at most 2 live statements, found 3"):
        code_of(body("a = sin(g)", "b = cos(a)", "update = abs(b)"), SCHEDULE, Capacity(2))


# ---------------------------------------------------------------- the library


def test_the_text_names_every_operation() -> None:
    text = source()
    assert all(row.c in text for row in TABLE if row.c)
    assert text.count("static void operation_") == sum(row.c is not None for row in TABLE) + 3


def in_a_new_process(code: str, cache_folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "EVOSEARCH_CACHE": str(cache_folder), **environment}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


LOAD = "from evosearch.evaluation.interpreters import choose; print(choose({!r}))"


def test_it_is_compiled_once_and_found_again_without_a_compiler_run(tmp_path: Path) -> None:
    log, (real, *_) = tmp_path / "calls", compiler()
    wrapper = tmp_path / "cc"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    for _ in range(2):
        done = in_a_new_process(LOAD.format("native"), tmp_path / "cache", CC=str(wrapper))
        assert done.stdout.strip() == "Choice(name='native', reason='')", done.stderr
    assert log.read_text().count("-shared") == 1
    assert [path.suffix for path in (tmp_path / "cache" / "native").iterdir()] == [".so"]


def test_without_a_compiler_auto_is_xla_and_says_why(tmp_path: Path) -> None:
    done = in_a_new_process(LOAD.format("auto"), tmp_path, CC="/nowhere/cc")
    assert "Choice(name='xla', reason='the native interpreter needs a C compiler, found none" in done.stdout
    done = in_a_new_process(LOAD.format("native"), tmp_path, CC="/nowhere/cc")
    assert "NoCompilerError: the native interpreter needs a C compiler, found none" in done.stderr


def test_a_compiler_that_fails_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    done = in_a_new_process(LOAD.format("native"), tmp_path, CC=str(broken))
    assert (
        f"{broken} can't compile the native interpreter (no such luck): name another compiler" in done.stderr
    )


def test_a_cache_that_can_not_be_written_to_is_no_reason_to_fail(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = in_a_new_process(LOAD.format("native"), tmp_path / "file", TMPDIR=str(tmp_path))
    assert done.stdout.strip() == "Choice(name='native', reason='')", done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]  # what was made elsewhere is gone


def test_the_compiler_may_have_arguments(tmp_path: Path) -> None:
    (cc, *_) = compiler()
    done = in_a_new_process(LOAD.format("native"), tmp_path, CC=f"{cc} -g0 -pipe")
    assert done.stdout.strip() == "Choice(name='native', reason='')", done.stderr
    assert len(list((tmp_path / "native").iterdir())) == 1


def test_the_choice_is_made_once_for_all_processes() -> None:
    assert settled(Plan((TaskPlan("digits_mlp"),))).interpreter == choose("auto").name == "native"
    assert settled(Plan((TaskPlan("digits_mlp"),), interpreter="xla")).interpreter == "xla"


@pytest.mark.parametrize("name", ["adamw", "program8"])
def test_interpreters_score_alike(name: str) -> None:
    plans = [Plan((TaskPlan("digits_mlp", (("steps", 50),)),), interpreter=i) for i in ("native", "xla")]
    ours, other = (Evaluator(plan).evaluate(Job(0, builtin(name).statements, ((0, 1),))) for plan in plans)
    np.testing.assert_allclose(ours.metrics, other.metrics, rtol=1e-4)
