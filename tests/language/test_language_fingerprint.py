"""The behavioural fingerprint: equal where programs compute the same, different where they do not."""

import random
import re
from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from evosearch.language import Constant, Statement, analyze, builtin, builtin_names, parse, probes
from evosearch.language.abstract import AbstractExecution, Judged, live_statements
from evosearch.language.fingerprint import fingerprint, run_statements
from evosearch.language.mutation import Statements
from evosearch.language.native import STEP_BYTES, native_behaviour, pack
from evosearch.language.native.behaviour import source
from evosearch.language.probes import BITS, GRADIENT_SCALES, SIZES, STEPS, live_steps, numpy_behaviour
from evosearch.language.program import program_text
from primitives import TABLE, ValueType
from tests.strategies import descendant, programs, small_program, trying


def lines(*texts: str) -> Statements:
    body = "".join(f"    {text}\n" for text in texts)
    return parse(f"def train(w, g, m, v, lr):\n{body}    return update, m, v\n").statements


SAME = {
    "x + x, 2 x": (("update = g + g",), ("update = g * 2",)),
    "interp written out": (
        ("m = interp(g, m, 0.9)", "update = m * lr"),
        ("a = 1 - 0.9", "a = g * a", "b = 0.9 * m", "m = a + b", "update = m * lr"),
    ),
    "double negation": (("update = g * lr",), ("t = negative(g)", "t = negative(t)", "update = t * lr")),
    "a - b, a + -b": (("update = g - w",), ("t = negative(w)", "update = g + t")),
    "x * x, square": (("update = g * g",), ("update = square(g)",)),
    "square under a root": (("t = square(g)", "update = sqrt(t)"), ("update = abs(g)",)),
    "adding what cancels": (("update = sign(g)",), ("t = m - m", "t = t + g", "update = sign(t)")),
    "maximum with itself": (("update = g * lr",), ("t = maximum(g, g)", "update = t * lr")),
    "sum of products": (
        ("a = g * w", "b = g * m", "update = a + b", "m = sign(g)"),
        ("t = w + m", "update = g * t", "m = sign(g)"),
    ),
    "slots swapped": (
        ("m = m + g", "update = m / v", "v = v + w"),
        ("v = v + g", "update = v / m", "m = m + w"),
    ),
    "the sign of zero": (("update = g * 0.0",), ("update = g * -0.0",)),
    "constant computed": (("t = cos(0.5)", "update = g * t"), ("update = g * 0.87758255",)),
    "state without effect": (
        ("m = interp(g, m, 0.0)", "update = m * lr"),
        ("m = g * 1", "update = g * lr"),
    ),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_equal_in_meaning(one, other):
    assert fingerprint(lines(*one)) == fingerprint(lines(*other))


DIFFERENT = {
    "sign of a sum of two": (("update = sign(g)",), ("update = sign(w)",)),
    "constants in the seventh digit": (("update = g * 0.9",), ("update = g * 0.9000001",)),
    "step size": (("update = g * 0.1",), ("update = g * 0.2",)),
    "with the schedule and without": (("update = g * lr",), ("update = g * 1",)),
    "clip": (("update = g * lr",), ("t = clip(g, 1)", "update = t * lr")),
    "norm of an array and of the whole": (
        ("t = norm(g)", "update = g / t"),
        ("t = global_norm(g)", "update = g / t"),
    ),
    "norm and rms": (("t = norm(g)", "update = g / t"), ("t = rms(g)", "update = g / t")),
    "state of the last step only": (("update = g + m", "m = sign(g)"), ("update = g + m", "m = m + g")),
    "only for small gradients": (
        ("update = abs(g)",),
        ("t = abs(g)", "update = maximum(t, 1e-5)"),
    ),
    "only for large gradients": (
        ("update = abs(g)",),
        ("t = abs(g)", "update = minimum(t, 100)"),
    ),
    "near zero": (
        ("update = g * 1",),
        ("t = square(g)", "t = 1e-10 + t", "update = g / t"),
    ),
    "NaN": (("update = arcsin(g)",), ("t = clip(g, 1)", "update = arcsin(t)")),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_different_in_meaning(one, other):
    assert fingerprint(lines(*one)) != fingerprint(lines(*other))


def test_shipped_programs_differ_except_for_program4_and_program8():
    prints = {name: fingerprint(builtin(name).statements) for name in builtin_names()}
    equal = {pair for pair in combinations(sorted(prints), 2) if prints[pair[0]] == prints[pair[1]]}
    assert equal == {("program4", "program8")}
    assert {len(p) for p in prints.values()} == {16}


def test_equal_whenever_the_canonical_hash_is_equal():
    groups = defaultdict(set)
    for seed in range(4_000):
        statements = small_program(random.Random(seed))
        groups[analyze(statements).hash].add(live_statements(statements))
    pairs = 0
    for group in groups.values():
        if len(group) > 1:
            assert len({fingerprint(statements) for statements in group}) == 1, group
            pairs += len(group) - 1
    assert pairs > 200


@trying(60)
@given(programs())
def test_dead_code_and_names_of_slots_do_not_matter(program):
    swap = {"m": "v", "v": "m"}
    swapped = tuple(
        Statement(
            swap.get(s.target, s.target),
            s.primitive,
            tuple(swap.get(a, a) if isinstance(a, str) else a for a in s.args),
        )
        for s in program.statements
    )
    prints = [fingerprint(s) for s in (program.statements, live_statements(program.statements), swapped)]
    assert prints[0] == prints[1] == prints[2]


@trying(60)
@given(programs())
def test_what_is_known_already_changes_nothing(program):
    statements = program.statements
    judged = AbstractExecution().judge(statements)
    assert isinstance(judged, Judged)
    assert fingerprint(statements, judged.carried) == fingerprint(statements)


def test_it_is_a_pure_function():
    """Neither the global generator nor what was asked before has an influence."""
    statements = builtin("program8").statements
    first = fingerprint(statements)
    np.random.seed(1)  # noqa: NPY002
    fingerprint(builtin("adamw").statements)
    assert fingerprint(statements) == first


def unpacked(behaviour: bytes) -> np.ndarray:
    return np.frombuffer(behaviour).reshape(STEPS, len(GRADIENT_SCALES), sum(SIZES))


def behaviours(statements: Statements) -> list[np.ndarray]:
    """What machine code and NumPy find, as (steps, scales, elements)."""
    judged = AbstractExecution().judge(statements)
    assert isinstance(judged, Judged)
    steps = live_steps(statements, judged.carried)
    found = native_behaviour()(*pack(steps), judged.carried), numpy_behaviour(steps, judged.carried)
    return list(map(unpacked, found))


def assert_same_behaviour(statements: Statements) -> None:
    """Up to the last of the digits that are left after rounding."""
    machine_code, numpy = behaviours(statements)
    np.testing.assert_allclose(
        machine_code, numpy, rtol=2.0 ** (1 - BITS), atol=0, err_msg=program_text(statements)
    )


ARGUMENTS = {
    "as they come": (),
    "huge": ("g = g * 1e38", "w = w * -1e38", "lr = 1e38 * lr"),
    "too large": (
        "g = exp(g)",
        "g = exp(g)",
        "w = exp10(g)",
        "lr = 1e38 - lr",
        "lr = cube(lr)",
        "lr = cube(lr)",
    ),
    "tiny": ("g = g * 1e-38", "g = cube(g)", "w = cube(g)", "lr = lr * 1e-30"),
    "zero": ("g = g * 0.0", "w = g * -1", "lr = lr * 0.0"),
    "below zero": ("lr = 0.0 - lr",),
    "equal": ("w = g * 1",),
    "not a number": ("g = arcsin(g)", "w = log(m)", "w = w * 0.0", "lr = arcsin(2.5)", "lr = lr * 2"),
}


@pytest.mark.parametrize("before", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_machine_code_computes_each_primitive_as_numpy_does(row, before):
    expects = row.rule.expects or (ValueType.TENSOR,) * row.arity
    args = [
        "lr" if type_ is ValueType.SCALAR else name
        for name, type_ in zip(("g", "w", "lr")[: row.arity], expects, strict=True)
    ]
    # The last line makes a tensor of whatever the primitive gives.
    assert_same_behaviour(lines(*before, f"t = {row.name}({', '.join(args)})", "s = m - m", "update = s + t"))


def test_machine_code_knows_every_primitive_and_no_function_of_single_precision():
    text = source()
    run = [row for row in TABLE if row.arity]
    assert all(f"= run_{row.name},\n" in text for row in run)
    assert text.count("] = run_") == len(run)
    called = {name for row in run for name in re.findall(r"\b(\w+f)\(", row.c or "")}
    assert called <= set(re.findall(r"#define (\w+f) ", text))


def shaken(steps: list[probes.Step], carried: int, seed: int) -> np.ndarray:
    """What NumPy finds where the last digits of the probes, and of all that is computed, are others."""
    rng, (weights, gradients, schedule) = np.random.default_rng(seed), probes.probes()

    def other(number: Any) -> Any:
        return number * (1 + 10.0 ** -(13 + seed % 3) * rng.normal(size=np.shape(number)))

    def value(step: probes.Step, env: Mapping[str, Any]) -> Any:
        found = exact(step, env)
        return found if step.constant is not None else other(found)

    exact, others = probes._value, (other(weights), other(gradients), schedule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "probes", lambda: others)
        patch.setattr(probes, "_value", value)
        return unpacked(numpy_behaviour(steps, carried))


def test_machine_code_agrees_with_numpy():
    """As far as NumPy agrees with itself where last digits differ: sin(1e9 g) and w - arcsinh(w) do not."""
    numbers = excused = 0
    for number in range(400):
        rng = random.Random(number)
        statements = descendant(rng, builtin(rng.choice(builtin_names())).statements, 30)
        judged = AbstractExecution().judge(statements)
        steps = live_steps(statements, judged.carried)
        machine_code, numpy = behaviours(statements)
        others = np.stack([shaken(steps, judged.carried, seed) for seed in range(12)])
        settled = (np.isnan(others) == np.isnan(numpy)).all(0) & (np.isinf(others) == np.isinf(numpy)).all(0)
        with np.errstate(invalid="ignore"):
            slack = 30 * np.abs(others - numpy).max(0) + 2.0 ** (1 - BITS) * np.abs(numpy)
            close = np.abs(machine_code - numpy) <= slack
        same = np.isnan(machine_code) & np.isnan(numpy) | (machine_code == numpy) | close
        assert (same | ~settled).all(), program_text(statements)
        numbers += same.size
        with np.errstate(invalid="ignore"):
            loose = slack > 1e-3 * np.abs(numpy)
        excused += np.count_nonzero(~settled | loose)
    assert excused < numbers / 50


def test_without_a_compiler_numpy_finds_the_same(monkeypatch):
    """Another process has the two in one: here machine code is left out."""
    statements = builtin("program8").statements
    with_machine_code = fingerprint(statements)
    monkeypatch.setattr("evosearch.language.fingerprint._machine_code", lambda: None)
    assert fingerprint(statements) == with_machine_code


def test_steps_are_packed_as_c_reads_them():
    steps = live_steps(lines("a = cos(0.5)", "b = g * a", "update = b - 2.5"), 0)
    packed, count, variables = pack(steps)
    assert (count, variables, len(packed)) == (3, 8, 3 * STEP_BYTES)
    assert np.frombuffer(packed[16:24]).item() == pytest.approx(np.cos(0.5), rel=1e-7)
    assert np.frombuffer(packed[52:56], np.float32).item() == 2.5


def test_run_statements():
    env = {"g": (np.array([3.0, -4.0]),), "m": (np.zeros(2),), "lr": np.float64(0.5)}
    after = run_statements(
        (
            Statement("n", "global_norm", ("g",)),
            Statement("g", "divide", ("g", "n")),
            Statement("m", "interp", ("g", "m", Constant(0.25))),
        ),
        env,
    )
    assert after["n"] == 5
    np.testing.assert_allclose(after["g"][0], [0.6, -0.8], rtol=1e-8)
    np.testing.assert_allclose(after["m"][0], [0.45, -0.6], rtol=1e-8)
    assert set(env) == {"g", "m", "lr"}, "what was given is not changed"
    assert env["g"][0].tolist() == [3.0, -4.0]
