"""Abstract execution: validity, liveness, and the laws of the canonical hash, held against real execution."""

import json
import os
import random
import struct
import subprocess
import sys
from collections import defaultdict
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evosearch.language import (
    AbstractExecution,
    Constant,
    Judged,
    Refusal,
    Statement,
    analyze,
    builtin,
    builtin_names,
    parse,
)
from evosearch.language.abstract import INITIAL, Edit, Env, constant_value, fold, live_statements
from evosearch.language.fingerprint import run_statements
from evosearch.language.mutation import Statements, mutate
from evosearch.language.program import INPUTS
from primitives import BY_NAME, TABLE, ValueType
from tests.strategies import RULES, descendant, programs, seeds, small_program, trying

GOLDEN = Path(__file__).parent / "golden_hashes.json"
"""Hashes that must never change: they are what runs, caches and people compare."""

laws = trying(60)


def lines(*texts: str) -> Statements:
    body = "".join(f"    {text}\n" for text in texts)
    return parse(f"def train(w, g, m, v, lr):\n{body}    return update, m, v\n").statements


def hash_of(*texts: str) -> str:
    analysis = analyze(lines(*texts))
    assert analysis.refusal is None, analysis.refusal
    return analysis.hash


# ---------------------------------------------------------------- validity


@pytest.mark.parametrize(
    ("texts", "statement", "reason"),
    [
        (("update = g * x",), 0, "x is used before it is defined"),
        (("t = g * lr", "update = t * x"), 1, "x is used before it is defined"),
        (("update = update + g",), 0, "update is used before it is defined"),
        (("t = norm(lr)", "update = t * x"), 0, "norm: argument 1 must be a tensor, found a scalar"),
        (("t = norm(g)", "t = rms(t)"), 1, "rms: argument 1 must be a tensor, found a leafwise value"),
        (("t = global_norm(0.5)",), 0, "global_norm: argument 1 must be a tensor, found a scalar"),
        (("t = dot(g, lr)",), 0, "dot: argument 2 must be a tensor, found a scalar"),
        (
            ("t = norm(g)", "t = cosine_sim(t, w)"),
            1,
            "cosine_sim: argument 1 must be a tensor, found a leafwise value",
        ),
        (("g = clip(g, w)",), 0, "clip: argument 2 must be a scalar, found a tensor"),
        (("t = norm(g)", "g = clip(g, t)"), 1, "clip: argument 2 must be a scalar, found a leafwise value"),
        (("lr = clip(lr, lr)",), 0, "clip: argument 1 must be a tensor, found a scalar"),
        (("m = interp(g, m, v)",), 0, "interp: argument 3 must be a scalar, found a tensor"),
        (
            ("t = norm(g)", "m = interp(g, m, t)"),
            1,
            "interp: argument 3 must be a scalar, found a leafwise value",
        ),
        ((), None, "update is never defined"),
        (("m = sign(g)",), None, "update is never defined"),
        (("update = sign(lr)",), None, "update must be a tensor, found a scalar"),
        (("update = get_pi()",), None, "update must be a tensor, found a scalar"),
        (("update = dot(g, g)",), None, "update must be a tensor, found a scalar"),
        (("update = norm(g)",), None, "update must be a tensor, found a leafwise value"),
        (("t = norm(g)", "update = t * lr"), None, "update must be a tensor, found a leafwise value"),
        (("update = sign(g)", "m = lr * lr"), None, "m must be a tensor, found a scalar"),
        (("update = sign(g)", "v = norm(g)"), None, "v must be a tensor, found a leafwise value"),
    ],
)
def test_why_a_program_is_invalid(texts, statement, reason):
    statements = lines(*texts)
    refusal = Refusal(reason, statement)
    assert AbstractExecution().judge(statements) == refusal
    analysis = analyze(statements)
    assert analysis.refusal == refusal
    assert not analysis.valid
    assert (analysis.hash, analysis.state, analysis.outputs) == ("", (), ())
    assert analysis.live == (False,) * len(statements)
    assert len(analysis.values) == (len(statements) if statement is None else statement)


@pytest.mark.parametrize(
    "texts",
    [
        ("update = g * lr",),
        ("t = norm(g)", "update = g / t"),
        ("t = norm(g)", "u = interp(lr, t, 0.5)", "update = u * g"),
        ("t = interp(0.5, lr, 0.5)", "m = clip(g, t)", "update = m + v"),
        ("w = sign(lr)", "update = w * g"),
        ("t = rms(g)", "s = dot(g, w)", "s = s * t", "update = g + s"),
        ("m = lr * lr", "m = m * g", "update = sign(m)"),
    ],
)
def test_valid_programs(texts):
    assert analyze(lines(*texts)).valid


def test_types():
    statements = lines(
        "a = norm(g)", "b = lr * 2", "c = a * b", "update = c * g", "d = interp(a, b, 0.1)", "e = get_e()"
    )
    types = [value.type for value in analyze(statements).values]
    leafwise, scalar, tensor = ValueType.LEAFWISE, ValueType.SCALAR, ValueType.TENSOR
    assert types == [leafwise, scalar, leafwise, tensor, leafwise, scalar]


@trying(200)
@given(programs(valid=False))
def test_the_types_are_what_execution_gives(program):
    """As far as a program is well typed it runs, and each value has the shape of its type."""
    shapes = ((3,), (2, 2), ())
    rng = np.random.default_rng(0)
    env = {name: tuple(rng.normal(size=shape) for shape in shapes) for name in INPUTS[:-1]}
    env["lr"] = np.float64(0.5)
    for statement, value in zip(program.statements, analyze(program.statements).values, strict=False):
        env = run_statements((statement,), env)
        result = env[statement.target]
        found = tuple(np.shape(leaf) for leaf in result) if isinstance(result, tuple) else np.shape(result)
        expected = {ValueType.TENSOR: shapes, ValueType.LEAFWISE: ((), (), ()), ValueType.SCALAR: ()}[
            value.type
        ]
        assert found == expected, statement.text


# ---------------------------------------------------------------- liveness


@pytest.mark.parametrize(
    ("name", "state", "live"),
    [
        ("adabelief", ("m", "v"), 10),
        ("adagrad", ("v",), 6),
        ("adam", ("m", "v"), 7),
        ("adamw", ("m", "v"), 9),
        ("lion", ("m",), 7),
        ("momentum", ("m",), 4),
        ("nesterov", ("m",), 6),
        ("program4", ("v",), 12),
        ("program8", ("v",), 12),
        ("rmsprop", ("v",), 6),
        ("sgd", (), 2),
        ("signsgd", (), 3),
        ("signum", ("m",), 4),
    ],
)
def test_state_and_live_statements_of_the_shipped_programs(name, state, live):
    statements = builtin(name).statements
    analysis = analyze(statements)
    assert analysis.state == state
    assert sum(analysis.live) == live
    judged = AbstractExecution().judge(statements)
    assert isinstance(judged, Judged)
    assert judged.live == live


def test_program8_is_program4():
    """The released pass leaves 13 statements; that `m` is overwritten in each step is seen here, so 12."""
    program4, program8 = builtin("program4").statements, builtin("program8").statements
    assert analyze(program4).hash == analyze(program8).hash
    assert live_statements(program8) == live_statements(program4)
    assert [s.text for s in program4 if s not in live_statements(program4)] == ["m = cosh(update)"]


@pytest.mark.parametrize(
    ("texts", "state", "live"),
    [
        (("update = sign(g)", "m = sign(g)"), (), (True, False)),
        (("update = sign(g)", "m = m + g"), (), (True, False)),  # m only feeds itself
        (("m = v + g", "v = m + g", "update = sign(g)"), (), (False, False, True)),  # a closed circle
        (("update = g + m", "m = sign(v)"), ("m", "v"), (True, True)),  # v reaches update a step later
        (("update = g + v", "v = sign(m)"), ("m", "v"), (True, True)),
        (("update = g + m", "m = sign(g)", "v = m + v"), ("m",), (True, True, False)),
        (("update = g + m", "v = m + v"), ("m",), (True, False)),  # m passes through, zero for ever
        (("m = sign(g)", "m = m * lr", "update = m + w"), (), (True, True, True)),
        (("update = sign(w)", "update = sign(g)"), (), (False, True)),
        (("t = sign(w)", "update = m - m", "t = sign(g)"), ("m",), (False, True, False)),
    ],
)
def test_liveness_over_steps(texts, state, live):
    analysis = analyze(lines(*texts))
    assert analysis.state == state
    assert analysis.live == live


@laws
@given(programs())
def test_live_statements_are_a_program_of_the_same_meaning(program):
    live = live_statements(program.statements)
    before, after = analyze(program.statements), analyze(live)
    assert after.refusal is None
    assert after.hash == before.hash
    assert after.state == before.state
    assert all(after.live)
    assert len(live) == sum(before.live)
    assert live_statements(live) == live


def test_a_scratch_variable_that_would_go_out_gets_a_name_of_its_own():
    statements = lines("m = dot(g, g)", "m1 = m * lr", "update = g * m1", "m = cosh(update)")
    live = live_statements(statements)
    assert [s.text for s in live] == ["m2 = dot(g, g)", "m1 = m2 * lr", "update = g * m1"]
    assert analyze(live).hash == analyze(statements).hash


def test_an_invalid_program_has_no_live_statements():
    assert live_statements(lines("update = norm(g)")) == ()


# ---------------------------------------------------------------- real execution

SCALES = (1e-4, 1.0, 1e3)
STEPS = 3
SHAPES = ((3,), (2, 2))


def behaviour(
    statements: Statements, *, folded: bool, noise: tuple[str, ...] = (), steps: int = STEPS
) -> tuple[bytes, ...]:
    """The bytes of `update` at every step and scale, all NaN alike, with the NumPy references.

    Args:
        statements: a valid program; all of its statements are run.
        folded: give constant expressions their float32 value, as the hash does.
        noise: state slots that come in as noise at each step.
        steps: how many steps to run.
    """
    constants = [value.constant for value in analyze(statements).values]
    updates = []
    for scale in SCALES:
        rng = np.random.default_rng(7)
        draw = lambda size: tuple(rng.normal(size=shape) * size for shape in SHAPES)  # noqa: E731, B023
        zeros = tuple(np.zeros(shape) for shape in SHAPES)
        env = {"w": draw(1.0), "m": zeros, "v": zeros}
        for step in range(steps):
            gradient, other = draw(scale), draw(1.0)
            env = {name: env[name] for name in ("w", "m", "v")}
            env |= {"g": gradient, "lr": np.float64(1 - step / STEPS), **dict.fromkeys(noise, other)}
            weights = env["w"]
            for statement, constant in zip(statements, constants, strict=True):
                if folded and constant is not None:
                    env = {**env, statement.target: np.float64(constant)}
                else:
                    env = run_statements((statement,), env)
            update = [np.where(np.isnan(leaf), np.nan, leaf) for leaf in env["update"]]
            updates.append(b"".join(leaf.tobytes() for leaf in update))
            with np.errstate(all="ignore"):
                env["w"] = tuple(w - u for w, u in zip(weights, env["update"], strict=True))
    return tuple(updates)


@cache
def families() -> dict[str, list[Statements]]:
    """Valid programs by canonical hash: short ones from scratch, and close relatives of evolved ones."""
    found: list[Statements] = [small_program(random.Random(seed)) for seed in range(2_500)]
    for family in range(50):
        rng = random.Random(family)
        start = builtin(builtin_names()[family % len(builtin_names())]).statements
        parent = descendant(rng, start, rng.randrange(40))
        found += [descendant(rng, parent, rng.randint(1, 3)) for _ in range(20)]
    groups = defaultdict(list)
    for statements in dict.fromkeys(found):
        groups[analyze(statements).hash].append(statements)
    return groups


def test_equal_hash_only_if_equal_behaviour():
    """Bit for bit, when constant expressions have the float32 value that the hash gives them."""
    pairs = swapped = folded = 0
    for group in families().values():
        first = group[0]
        if len(group) == 1:
            continue
        expected = behaviour(first, folded=True)
        exact = behaviour(first, folded=False)
        written = {live_statements(first)}
        for other in group[1:]:
            if live_statements(other) in written:
                continue  # that dead statements never matter has a test of its own
            assert behaviour(other, folded=True) == expected, (first, other)
            written.add(live_statements(other))
            pairs += 1
            swapped += analyze(other).state != analyze(first).state
            if has_live_constant_expression(first) or has_live_constant_expression(other):
                folded += 1
            else:
                assert behaviour(other, folded=False) == exact, (first, other)
    assert pairs > 150
    assert swapped > 30
    assert folded > 50


def has_live_constant_expression(statements: Statements) -> bool:
    analysis = analyze(statements)
    return any(
        live and value.constant is not None
        for live, value in zip(analysis.live, analysis.values, strict=True)
    )


def test_other_hashes_mostly_mean_other_behaviour():
    """A hash that tells everything apart would pass the test above; most different hashes must be needed."""
    different = [group[0] for group in families().values()][:400]
    behaviours = {behaviour(statements, folded=True, steps=2) for statements in different}
    assert len(behaviours) > len(different) / 2


@laws
@given(programs())
def test_what_comes_in_through_a_dead_slot_never_matters(program):
    dead = tuple({"m", "v"} - set(analyze(program.statements).state))
    assume(dead)
    assert behaviour(program.statements, folded=False, noise=dead) == behaviour(
        program.statements, folded=False
    )


@laws
@given(programs())
def test_dead_statements_never_matter(program):
    live = live_statements(program.statements)
    assert behaviour(live, folded=False) == behaviour(program.statements, folded=False)


# ---------------------------------------------------------------- laws of the hash


def renamed(statements: Statements, names: dict[str, str]) -> Statements:
    return tuple(
        Statement(
            names.get(s.target, s.target),
            s.primitive,
            tuple(names.get(a, a) if isinstance(a, str) else a for a in s.args),
        )
        for s in statements
    )


def each_target_once(statements: Statements) -> Statements:
    """Every statement writes to a variable of its own, except for the last writers of the outputs."""
    last = {s.target: i for i, s in enumerate(statements)}
    current: dict[str, str] = {}
    result = []
    for i, s in enumerate(statements):
        args = tuple(current.get(a, a) if isinstance(a, str) else a for a in s.args)
        keep = last[s.target] == i and s.target in ("update", "m", "v")
        current[s.target] = s.target if keep else f"own{i}"
        result.append(Statement(current[s.target], s.primitive, args))
    return tuple(result)


def swap_operands(s: Statement) -> Statement:
    return Statement(s.target, s.primitive, s.args[::-1])


SWAP_SLOTS = {"m": "v", "v": "m"}


@laws
@given(programs())
def test_names_do_not_matter(program):
    statements = program.statements
    free = sorted({s.target for s in statements} - {*INPUTS, "update"})
    shuffled = dict(zip(free, free[1:] + free[:1], strict=True))
    assert analyze(renamed(statements, shuffled)).hash == analyze(statements).hash
    assert analyze(each_target_once(statements)).hash == analyze(statements).hash


@laws
@given(programs(), seeds)
def test_dead_code_does_not_matter(program, seed):
    statements = program.statements
    rng = random.Random(seed)
    position = rng.randrange(len(statements) + 1)
    known = [*INPUTS, *[s.target for s in statements[:position]]]
    row = rng.choice([row for row in TABLE if row.rule.name == "elementwise"])
    new = Statement(
        "unread", row.name, tuple(rng.choice(known) for _ in range(row.arity or rng.randint(1, 2)))
    )
    assume(len(new.args) == row.arity)
    before = analyze(statements)
    after = analyze((*statements[:position], new, *statements[position:]))
    assert after.hash == before.hash
    assert after.live == (*before.live[:position], False, *before.live[position:])


@laws
@given(programs())
def test_order_of_independent_statements_does_not_matter(program):
    statements = program.statements
    seen = 0
    for i, (a, b) in enumerate(pairwise(statements)):
        if a.target == b.target or a.target in b.variables or b.target in a.variables:
            continue
        seen += 1
        other = (*statements[:i], b, a, *statements[i + 2 :])
        assert analyze(other).hash == analyze(statements).hash
    assume(seen)


@laws
@given(programs())
def test_operands_of_commutative_primitives_may_change_places(program):
    statements = program.statements
    places = [i for i, s in enumerate(statements) if BY_NAME[s.primitive].commutative]
    assume(places)
    everywhere = tuple(swap_operands(s) if i in places else s for i, s in enumerate(statements))
    assert analyze(everywhere).hash == analyze(statements).hash


@laws
@given(programs())
def test_operands_of_other_primitives_may_not(program):
    statements = program.statements
    analysis = analyze(statements)
    outputs = [value.digest for value in analysis.outputs]
    seen = 0
    for i, s in enumerate(statements):
        ordered = len(s.args) == 2 and not BY_NAME[s.primitive].commutative and s.primitive != "clip"
        if not ordered or not analysis.live[i] or analysis.values[i].constant is not None:
            continue
        x, y = (environment(statements, i)[a] for a in s.args)
        if x.digest == y.digest:
            continue
        seen += 1
        other = analyze((*statements[:i], swap_operands(s), *statements[i + 1 :]))
        assert [value.digest for value in other.outputs] != outputs
        # With two slots it may be the same program with the slots swapped, as v - m is m - v.
        assert other.hash != analysis.hash or len(analysis.state) == 2
    assume(seen)


def environment(statements: Statements, position: int) -> Env:
    """The value of each variable before the statement at `position`."""
    env = Env(INITIAL)
    env.update(zip([s.target for s in statements[:position]], analyze(statements).values, strict=False))
    return env


@laws
@given(programs())
def test_the_slots_may_change_their_names(program):
    other = renamed(program.statements, SWAP_SLOTS)
    before, after = analyze(program.statements), analyze(other)
    assert after.hash == before.hash
    assert set(after.state) == {SWAP_SLOTS[name] for name in before.state}
    assert behaviour(other, folded=False) == behaviour(program.statements, folded=False)


@laws
@given(programs())
def test_what_a_dead_slot_holds_does_not_matter(program):
    statements = program.statements
    dead = sorted({"m", "v"} - set(analyze(statements).state))
    assume(dead)
    other = (*statements, *[Statement(slot, "cosh", ("update",)) for slot in dead])
    assert analyze(other).hash == analyze(statements).hash


@laws
@given(programs(), st.integers(0, 4), seeds)
def test_a_constant_may_be_computed(program, way, seed):
    statements = program.statements
    places = [
        (i, j) for i, s in enumerate(statements) for j, a in enumerate(s.args) if isinstance(a, Constant)
    ]
    assume(places)
    i, j = random.Random(seed).choice(places)
    s = statements[i]
    c = s.args[j]
    computed = [
        Statement("computed", "multiply", (c, 1)),
        Statement("computed", "maximum", (c, c)),
        Statement("computed", "subtract", (c, 0)),
        Statement("computed", "divide", (c, 0.99999999)),
        Statement("computed", "interp", (c, 7, 0)),
    ][way]
    assume(way < 4 or c.value != 0)  # -0 + 0 is 0
    using = Statement(s.target, s.primitive, (*s.args[:j], "computed", *s.args[j + 1 :]))
    other = (*statements[:i], computed, using, *statements[i + 1 :])
    assert analyze(other).hash == analyze(statements).hash


@laws
@given(programs(), seeds)
def test_an_expression_may_be_computed_twice(program, seed):
    statements = program.statements
    rng = random.Random(seed)
    i = rng.randrange(len(statements))
    s = statements[i]
    copy = Statement("copy", s.primitive, s.args)
    rest = []
    shadowed = False
    for later in statements[i + 1 :]:
        args = tuple(
            "copy" if a == s.target and not shadowed and rng.random() < 0.5 else a for a in later.args
        )
        rest.append(Statement(later.target, later.primitive, args))
        shadowed = shadowed or later.target == s.target
    other = (*statements[:i], copy, s, *rest)
    assert analyze(other).hash == analyze(statements).hash


@laws
@given(programs())
def test_a_live_statement_matters(program):
    """Each live statement, replaced by something new, gives another hash or an invalid program."""
    statements = program.statements
    before = analyze(statements)
    new = lambda s: Statement(s.target, "arctan", (s.target if s.target in INPUTS else "w",))  # noqa: E731
    for i, live in enumerate(before.live):
        env = environment(statements, i)
        value = env[new(statements[i]).args[0]]
        folded = before.values[i].constant is not None  # such a statement may matter as its number only
        if not live or folded or before.values[i].type is not value.type:
            continue
        after = analyze((*statements[:i], new(statements[i]), *statements[i + 1 :]))
        if after.valid and statements[i].primitive != "arctan":
            assert after.hash != before.hash, (i, statements[i].text)


# ---------------------------------------------------------------- single hashes


def test_different_constants_have_different_hashes():
    rng = random.Random(0)
    constants = {Constant(rng.gauss(0, 1)) for _ in range(1_000)}
    constants |= {Constant(struct.unpack("<f", struct.pack("<I", 0x3F800000 + i))[0]) for i in range(1_000)}
    constants |= {Constant(0.0), Constant(-0.0), Constant(-1.0)}
    hashes = {analyze((Statement("update", "multiply", ("g", c)),)).hash for c in constants}
    assert len(hashes) == len(constants) > 1_990


def test_different_primitives_have_different_hashes():
    args = {"clip": ("g", "lr"), "interp": ("g", "w", "lr")}
    hashes = set()
    for row in TABLE:
        statement = Statement("t", row.name, args.get(row.name, ("g", "w")[: row.arity]))
        hashes.add(analyze((statement, Statement("update", "add", ("g", "t")))).hash)
    assert len(hashes) == len(TABLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("update = g + m", "m = g + m"), ("update = g + v", "v = v + g")),
        (("t = get_pi()", "update = g * t"), ("update = g * 3.1415927",)),
        (("t = get_eps()", "update = g * t"), ("update = g * 1e-08",)),
        (("t = 0.5 + 0.25", "t = sqrt(t)", "update = t * g"), ("update = g * 0.8660254",)),
        (("t = 1.0 / 0.0", "t = arcsin(t)", "update = t * g"), ("t = arccosh(-2)", "update = g * t")),  # NaN
        (("t = exp(100)", "update = t * g"), ("t = power(0.0, -1.0)", "update = g * t")),  # infinity
        (("t = exp(-100)", "update = t * g"), ("update = g * 0.0",)),  # below the smallest normal number
    ],
)
def test_equal(one, other):
    assert hash_of(*one) == hash_of(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("update = g + g",), ("update = g * 2",)),
        (("update = g - w",), ("update = w - g",)),
        (("update = g * 0.0",), ("update = g * -0.0",)),
        (("update = sign(g)",), ("update = sign(w)",)),
        (("update = g + m", "m = g + m"), ("update = g + m", "m = g + v", "v = g + m")),
        (("update = g + m", "m = sign(g)"), ("update = g + m",)),
        (("update = g + m", "m = sign(v)"), ("update = g + m", "m = sign(g)")),
        (("t = m - v", "update = t + g", "m = sign(g)"), ("t = v - m", "update = t + g", "m = sign(g)")),
        (("a = g + m", "update = a + w", "m = sign(g)"), ("a = g + w", "update = a + m", "m = sign(g)")),
    ],
)
def test_not_equal(one, other):
    assert hash_of(*one) != hash_of(*other)


# ---------------------------------------------------------------- constant expressions


@pytest.mark.parametrize(
    ("name", "numbers", "result"),
    [
        ("tan", (1.4572199583053589,), 8.766757011413574),
        ("sqrt", (0.6270633339881897,), 0.7918733358383179),
        ("get_pi", (), 3.1415927410125732),
        ("get_eps", (), 9.99999993922529e-09),
        ("divide", (1.0, 0.0), 100000000.0),
        ("divide", (1.0, 3.0), 0.3333333432674408),
        ("interp", (1.0, 2.0, 0.25), 1.25),
        ("power", (2.0, 10.0), 1024.0),
        ("exp", (100.0,), np.inf),
        ("multiply", (1e30, -1e30), -np.inf),
        ("log", (0.0,), -np.inf),
        ("arcsin", (2.0,), np.nan),
        ("power", (-1.0, 0.5), np.nan),
        ("multiply", (1e-30, 1e-30), 0.0),
        ("multiply", (1e-30, -1e-30), -0.0),
    ],
)
def test_fold(name, numbers, result):
    found = np.float64(fold(name, numbers))
    assert repr(found) == repr(np.float64(result))


def test_digest_of_a_constant_is_its_bits():
    assert constant_value(0.5).digest != constant_value(-0.5).digest
    assert constant_value(float("nan")).digest == constant_value(-float("nan")).digest
    assert constant_value(0.0).digest != constant_value(-0.0).digest


# ---------------------------------------------------------------- judge, judge with an edit, analyze


def digests(judged: Judged) -> list[tuple[bytes, bytes, int, ValueType]]:
    return [(v.digest, v.swapped, v.depends, v.type) for v in judged.values]


def assert_same(found: Judged | Refusal, expected: Judged | Refusal) -> None:
    if isinstance(expected, Refusal):
        assert found == expected
    else:
        assert isinstance(found, Judged)
        assert (found.hash, found.live) == (expected.hash, expected.live)
        assert digests(found) == digests(expected)


@pytest.mark.parametrize("memo_limit", [1, 7, 200_000])
def test_an_edit_never_changes_the_result(memo_limit):
    """Long chains, as the search breeds them; a tiny memo is forgotten all the time."""
    valid = refused = 0
    for seed in range(12):
        rng = random.Random(seed)
        execution = AbstractExecution(memo_limit)
        parent = builtin(builtin_names()[seed % len(builtin_names())]).statements
        known = execution.judge(parent)
        assert isinstance(known, Judged)
        for _ in range(150):
            mutated = mutate(rng, parent, RULES)
            if mutated is None:
                continue
            child, m = mutated
            found = execution.judge(child, Edit(parent, known, m.statement, m.new, m.gone))
            assert_same(found, AbstractExecution().judge(child))
            if isinstance(found, Judged):
                parent, known = child, found
                valid += 1
            else:
                refused += 1
    assert valid > 500
    assert refused > 200


@trying(200)
@given(programs(), programs(valid=False), st.data())
def test_an_edit_of_any_size_never_changes_the_result(parent, donor, data):
    same = data.draw(st.integers(0, len(parent)))
    gone = data.draw(st.integers(0, len(parent) - same))
    start = data.draw(st.integers(0, len(donor)))
    new = donor.statements[start : start + data.draw(st.integers(0, 4))]
    child = (*parent.statements[:same], *new, *parent.statements[same + gone :])
    execution = AbstractExecution()
    known = execution.judge(parent.statements)
    assert isinstance(known, Judged)
    edit = Edit(parent.statements, known, same, len(new), gone)
    assert_same(execution.judge(child, edit), AbstractExecution().judge(child))


@trying(100)
@given(st.one_of(programs(), programs(valid=False)))
def test_analyze_tells_what_judge_tells(program):
    judged = AbstractExecution().judge(program.statements)
    analysis = analyze(program.statements)
    if isinstance(judged, Refusal):
        assert analysis.refusal == judged
    else:
        assert analysis.refusal is None
        assert analysis.hash == judged.hash.hex()
        assert len(analysis.hash) == 32
        assert sum(analysis.live) == judged.live
        assert [v.digest for v in analysis.values] == [v.digest for v in judged.values]


def test_the_memo_is_bounded():
    execution = AbstractExecution(memo_limit=10)
    for seed in range(50):
        execution.judge(small_program(random.Random(seed)))
        assert len(execution._memo) <= 10


# ---------------------------------------------------------------- stability

SCRIPT = """
import json, random
from evosearch.language import AbstractExecution, analyze, builtin, builtin_names
from tests.strategies import descendant, trying
print(json.dumps({
    "shipped": {name: analyze(builtin(name).statements).hash for name in builtin_names()},
    "judged": {n: AbstractExecution().judge(builtin(n).statements).hash.hex() for n in builtin_names()},
    "evolved": {
        name: analyze(descendant(random.Random(i), builtin(name).statements, 50)).hash
        for i, name in enumerate(builtin_names())
    },
}))
"""


def test_hashes_never_change():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    hashes = {name: analyze(builtin(name).statements).hash for name in builtin_names()}
    assert hashes == golden["shipped"]
    expressions = {text: hash_of(*text.split("; ")) for text in golden["constant expressions"]}
    assert expressions == golden["constant expressions"]


@pytest.mark.parametrize("salt", ["1", "2"])
def test_another_process_finds_the_same_hashes(salt):
    env = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, check=True, capture_output=True, text=True
    ).stdout
    found = json.loads(out)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))["shipped"]
    assert found["shipped"] == golden
    assert found["judged"] == golden
    assert found["evolved"] == {
        name: analyze(descendant(random.Random(i), builtin(name).statements, 50)).hash
        for i, name in enumerate(builtin_names())
    }
