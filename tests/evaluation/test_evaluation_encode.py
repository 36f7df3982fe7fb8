"""Programs as data: what the instructions compute, how few rows they use, and what does not fit."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import programs

from evosearch.evaluation.encode import COPY, FIRST_FREE_ROW, M_ROW, V_ROW, Encoded, encode, row_count
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.schedule import Schedule
from evosearch.language import Constant, Program, Statement, analyze, builtin, builtin_names, parse
from evosearch.language.abstract import fold
from evosearch.language.abstract import live_statements as live
from primitives import BY_NAME, TABLE, Primitive, ValueType

STEPS = 4
SCHEDULE = Schedule("linear", 0.25).values(STEPS)
CAPACITY = Capacity(60)
SIZE = 3

Row: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


def apply(primitive: Primitive, args: Sequence[Any]) -> Row:
    """A primitive by its NumPy reference, on rows and float32 numbers; the tree is one array."""
    expects = primitive.rule.expects or (None,) * primitive.arity
    wrapped = [
        (arg,) if expected is ValueType.TENSOR else arg for arg, expected in zip(args, expects, strict=True)
    ]
    if primitive.name == "clip":
        wrapped[1] = np.float32(wrapped[1])
    result = primitive.reference(*wrapped)
    result = result[0] if isinstance(result, tuple) else result
    return np.broadcast_to(np.float32(result), (SIZE,))


def gradients() -> tuple[Row, list[Row]]:
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=SIZE)), [np.float32(rng.normal(size=SIZE)) for _ in range(STEPS)]


# ---------------------------------------------------------------- two ways to run a program in NumPy


def run_encoded(encoded: Encoded, capacity: Capacity) -> list[Row]:
    """The updates of a training whose gradients are given, by the instructions."""
    w, gs = gradients()
    registers = np.full(
        (row_count(capacity), SIZE), np.nan, np.float32
    )  # what was never written must not be read
    registers[M_ROW] = registers[V_ROW] = 0
    updates = []
    for step, g in enumerate(gs):
        registers[0], registers[1] = w, g
        for opcode, to, *operands in encoded.instructions[: encoded.length]:
            if opcode == COPY:
                registers[to] = registers[operands[0]]
                continue
            primitive = TABLE[opcode]
            args = [
                _operand(registers, encoded.scalars[step], index, capacity, scalar)
                for index, scalar in zip(operands, _wants_scalar(primitive), strict=False)
            ]
            registers[to] = apply(primitive, args)
        updates.append(registers[encoded.update_row].copy())
        w = w - updates[-1]
    return updates


def _wants_scalar(primitive: Primitive) -> list[bool]:
    return [e is ValueType.SCALAR for e in primitive.rule.expects or (None,) * primitive.arity]


def _operand(registers: Any, scalars: Row, index: int, capacity: Capacity, scalar: bool) -> Any:
    if index >= row_count(capacity):
        return scalars[index - row_count(capacity)]
    return registers[index, 0] if scalar else registers[index].copy()


def run_directly(statements: Sequence[Statement]) -> list[Row]:
    """The same by executing every statement, the dead ones too; scalars known ahead for all steps at once."""
    w, gs = gradients()
    m, v = np.zeros((2, SIZE), np.float32)
    ahead = _known_ahead(statements)
    updates = []
    for step, g in enumerate(gs):
        env: dict[str, Any] = {"w": w, "g": g, "m": m, "v": v, "lr": SCHEDULE[step]}
        for index, statement in enumerate(statements):
            primitive = BY_NAME[statement.primitive]
            if index in ahead:
                env[statement.target] = np.broadcast_to(ahead[index], (STEPS,))[step]
                continue
            args = [np.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
            wants = _wants_scalar(primitive)
            args = [a[0] if want and np.ndim(a) else a for a, want in zip(args, wants, strict=True)]
            env[statement.target] = apply(primitive, args)
        updates.append(env["update"])
        w, m, v = w - env["update"], env["m"], env["v"]
    return updates


def _known_ahead(statements: Sequence[Statement]) -> dict[int, Any]:
    """For each statement that depends on lr and constants only, its value at all steps, or at any."""
    env: dict[str, Any] = {"lr": SCHEDULE}
    found: dict[int, Any] = {}
    for index, statement in enumerate(statements):
        args = [np.float32(a.value) if isinstance(a, Constant) else env.get(a) for a in statement.args]
        env.pop(statement.target, None)
        if any(a is None for a in args):
            continue
        if all(np.ndim(a) == 0 for a in args):
            value: Any = np.float32(fold(statement.primitive, [float(a) for a in args]))
        else:
            with np.errstate(all="ignore"):
                value = np.float32(BY_NAME[statement.primitive].reference(*args))
        found[index] = env[statement.target] = value
    return found


def assert_equal_runs(statements: Sequence[Statement], capacity: Capacity) -> None:
    encoded = encode(statements, SCHEDULE, capacity)
    with np.errstate(all="ignore"):
        ours, expected = run_encoded(encoded, capacity), run_directly(statements)
    np.testing.assert_array_equal(ours, expected)


@settings(max_examples=300, deadline=None)
@given(programs())
def test_instructions_compute_what_the_program_says(program: Program) -> None:
    assert_equal_runs(program.statements, CAPACITY)


# ---------------------------------------------------------------- how small it is


def rows_used(encoded: Encoded) -> int:
    return int(encoded.instructions[: encoded.length, 1].max(initial=0)) + 1


@settings(max_examples=300, deadline=None)
@given(programs())
def test_no_more_instructions_and_rows_than_needed(program: Program) -> None:
    encoded = encode(program.statements, SCHEDULE, CAPACITY)
    code = encoded.instructions[: encoded.length]
    copies = int((code[:, 0] == COPY).sum())
    assert encoded.length - copies <= len(live(program.statements))
    assert copies <= len(analyze(program.statements).state)
    assert rows_used(encoded) <= FIRST_FREE_ROW + encoded.length - copies
    assert not encoded.instructions[encoded.length :].any()


@pytest.mark.parametrize(
    ("name", "instructions", "copies", "rows"),
    [("sgd", 1, 0, 5), ("lion", 6, 0, 6), ("adamw", 8, 0, 6), ("program8", 10, 0, 7)],
)
def test_shipped_programs_are_small(name: str, instructions: int, copies: int, rows: int) -> None:
    encoded = encode(builtin(name).statements, SCHEDULE, CAPACITY)
    code = encoded.instructions[: encoded.length]
    assert (len(code), (code[:, 0] == COPY).sum(), rows_used(encoded)) == (instructions, copies, rows)


def body(*lines: str) -> tuple[Statement, ...]:
    text = "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"])
    return parse(text + "\n").statements


def encoded_body(*lines: str) -> Encoded:
    return encode(body(*lines), SCHEDULE, CAPACITY)


def code_of(encoded: Encoded) -> list[tuple[str, int, int, int]]:
    """Instructions as (name, to, x, y)."""
    names = [row.name for row in TABLE] + ["copy"]
    return [
        (names[op], int(to), int(x), int(y)) for op, to, x, y, _ in encoded.instructions[: encoded.length]
    ]


def test_a_chain_needs_one_row() -> None:
    encoded = encoded_body("update = sin(g)", *["update = sin(update)"] * 29)
    assert encoded.length == 30
    assert rows_used(encoded) == FIRST_FREE_ROW + 1


def test_a_slot_is_written_at_home_where_nothing_reads_it_later() -> None:
    encoded = encoded_body("m = m + g", "update = sin(m)")
    assert code_of(encoded) == [("add", M_ROW, M_ROW, 1), ("sin", 4, M_ROW, 0)]


def test_a_slot_is_copied_home_where_its_old_value_is_read_later() -> None:
    encoded = encoded_body("new = m + g", "update = new * m", "m = m + g")
    assert code_of(encoded)[0] == ("add", 4, M_ROW, 1)
    assert code_of(encoded)[2] == ("copy", M_ROW, 4, 0)


@pytest.mark.parametrize(
    "lines",
    [
        ("update = m + v", "t = m + g", "m = v + g", "v = t + g"),  # the slots change places
        ("update = m + v", "m = w + g", "v = g + w"),  # and here they hold the same
        ("update = m * g", "m = g + w", "update = update + m"),
        ("update = m + v", "t = v * g", "v = m * g", "m = abs(t)"),
        ("m = m + g", "update = m + v", "v = cube(m)"),
    ],
)
def test_slots_come_home(lines: tuple[str, ...]) -> None:
    assert_equal_runs(body(*lines), CAPACITY)


def test_scalars_are_computed_ahead_for_every_step() -> None:
    encoded = encoded_body("s = lr * 3.0", "s = sqrt(s)", "c = cos(2.0)", "s = s + c", "update = g * s")
    assert [line[0] for line in code_of(encoded)] == ["multiply"]
    expected = np.sqrt(SCHEDULE * np.float32(3)) + np.float32(np.cos(2.0))
    np.testing.assert_allclose(encoded.scalars[:, 0], expected, rtol=1e-6)
    assert not encoded.scalars[:, 1:].any()


def test_repeated_and_mirrored_expressions_are_computed_once() -> None:
    encoded = encoded_body("a = w * g", "b = g * w", "update = a + b")
    assert [line[0] for line in code_of(encoded)] == ["multiply", "add"]


# ---------------------------------------------------------------- what does not fit


def chain(length: int) -> tuple[Statement, ...]:
    return (Statement("update", "sin", ("g",)), *[Statement("update", "sin", ("update",))] * (length - 1))


def test_only_live_statements_count() -> None:
    dead = (Statement("t", "sin", ("g",)),) * 10
    assert encode((*dead, *chain(5)), SCHEDULE, Capacity(5)).length == 5
    with pytest.raises(ValueError, match="expected at most 5 live statements, found 6"):
        encode(chain(6), SCHEDULE, Capacity(5))


def test_the_largest_program_that_fits_runs() -> None:
    values = [Statement(f"t{i}", "interp", ("g", float(i + 2), float(-i - 1))) for i in range(6)]
    sums = [Statement("update", "add", ("update" if i else "t0", f"t{i}")) for i in range(6)]
    assert_equal_runs((*values, *sums), Capacity(12))


def test_an_invalid_program_is_refused() -> None:
    with pytest.raises(ValueError, match="only a valid program can be encoded: update is never defined"):
        encode((), SCHEDULE, CAPACITY)


@pytest.mark.parametrize("name", builtin_names())
def test_arrays_have_the_shape_of_the_capacity(name: str) -> None:
    encoded = encode(builtin(name).statements, SCHEDULE, CAPACITY)
    assert [a.shape for a in encoded] == [(62, 5), (), (), (STEPS, 180)]
    assert [a.dtype for a in encoded] == [np.int32, np.int32, np.int32, np.float32]
