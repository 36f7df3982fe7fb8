"""Both interpreters and the compiled way run the same program the same way, on a thousand random programs.

Both get the same weights, gradients and state at every step; the compiled way runs op by op here, because a
thousand compilations would take minutes. Results must agree to `CLOSE` of the largest element. Where they
don't, the program must be ill-conditioned: `sign(x - y)` of two numbers that differ by their rounding errors,
a tangent near its pole. That is measured, not supposed: the compiled way itself must move as much when each
of its values is disturbed by `DISTURBANCE`.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from strategies import RULES, descendant, mended

from evosearch.evaluation.compiled import run_program
from evosearch.evaluation.encode import M_ROW, V_ROW
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.interpreters import make_interpreter
from evosearch.evaluation.schedule import Schedule
from evosearch.language import Constant, Statement, analyze, builtin, builtin_names
from evosearch.language.abstract import live_statements
from evosearch.language.mutation import random_program
from primitives import BY_NAME, TABLE, TreeSpace

PROGRAMS = 500
LEAST = 4
STEPS = 3
CLOSE = 1e-5
DISTURBANCE = 1e-6
DISTURBED = 5
"""How often a program is run with disturbances."""

SHAPES = {
    "a": {"b": (2, 3), "w": (37, 30)},
    "z": (1,),
}  # one leaf is longer than a block of the native interpreter
PARAMS = jax.tree.map(jnp.zeros, SHAPES, is_leaf=lambda x: isinstance(x, tuple))
SPACE = TreeSpace(tuple(leaf.shape for leaf in jax.tree.leaves(PARAMS)))
ROWS = {"xla": (M_ROW, V_ROW), "native": (0, 1)}
"""Where each interpreter's state holds m and v."""
SCHEDULE = Schedule("linear", 0.5).values(STEPS)

Leaves = tuple[Any, ...]
Statements = tuple[Statement, ...]


@cache
def random_programs() -> tuple[Statements, ...]:
    """Different descendants of shipped programs, by up to 100 mutations, and of programs from scratch.

    Drift leaves little alive, so programs of fewer than `LEAST` live statements are passed over.
    """
    rng = random.Random(0)
    starts = [*[builtin(name).statements for name in builtin_names()], (), ()]
    programs: dict[str, Statements] = {}
    while len(programs) < PROGRAMS:
        start = rng.choice(starts) or mended(random_program(rng, RULES))
        statements = descendant(rng, start, rng.choice([3, 10, 30, 100]))
        if len(live_statements(statements)) >= LEAST:
            programs.setdefault(analyze(statements).hash, statements)
    return tuple(programs.values())


def random_leaves(rng: np.random.Generator, size: float) -> Leaves:
    leaves = jax.tree.leaves(PARAMS)
    return tuple(jnp.asarray(size * rng.standard_normal(leaf.shape), jnp.float32) for leaf in leaves)


def vector(leaves: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


# ---------------------------------------------------------------- the two ways, and one of them disturbed


@cache
def interpreter(name: str) -> Any:
    return make_interpreter(name, PARAMS, Capacity())


@cache
def _interpret(name: str) -> Any:
    rule = interpreter(name)

    def run(program: Any, state: Any, w: Any, g: Any, m: Any, v: Any, factor: Any, step: Any) -> Any:
        row_m, row_v = ROWS[name]
        state = state.at[row_m].set(m).at[row_v].set(v)  # other rows stay as the last step left them
        w, state, finite = rule.step(program, state, rule.pack(w), g, factor, step)
        return rule.unpack(w), state, finite

    return jax.jit(run)


def by_compiled(statements: Statements, inputs: dict[str, Any], state: Sequence[str]) -> dict[str, Any]:
    env = run_program(statements, inputs)
    return {name: env[name] for name in ("update", *state)}


def by_disturbed(
    statements: Statements, inputs: dict[str, Any], state: Sequence[str], rng: np.random.Generator
) -> dict[str, Any]:
    """The same with a small error in every input and in the result of every statement."""

    def disturbed(value: Any) -> Any:
        return jax.tree.map(
            lambda x: np.float32(x * (1 + DISTURBANCE * rng.choice([-1.0, 1.0], np.shape(x)))), value
        )

    env = {name: disturbed(value) for name, value in inputs.items()}
    for statement, live in zip(statements, analyze(statements).live, strict=True):
        if live:
            args = [jnp.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
            env[statement.target] = disturbed(BY_NAME[statement.primitive].kernel(SPACE, *args))
    return {name: env[name] for name in ("update", *state)}


# ---------------------------------------------------------------- the comparison


@dataclass
class Tally:
    """What was compared, over all programs."""

    compared: int = 0
    finite: int = 0
    excused: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


def difference(a: Any, b: Any) -> float:
    """The largest difference of two vectors, as a share of the largest element of either."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        same = np.array_equal(np.isfinite(a), np.isfinite(b))
        return 0.0 if same else np.inf
    largest = max(np.abs(a).max(), np.abs(b).max(), np.finfo(np.float32).tiny)
    return float((np.abs(a - b) / largest).max())


def compare_step(
    name: str,
    number: int,
    statements: Statements,
    inputs: dict[str, Any],
    expected: dict[str, Any],
    held: Any,
    step: int,
    tally: Tally,
) -> Any:
    """One step of one program by an interpreter, against the compiled way's outputs; what it holds then."""
    state = analyze(statements).state
    m, v = (vector(inputs[slot]) for slot in ("m", "v"))
    w, g = (jax.tree.unflatten(jax.tree.structure(PARAMS), inputs[slot]) for slot in ("w", "g"))
    factor = visible(vector(expected["update"]), vector(inputs["w"]))
    program = interpreter(name).encode(statements, SCHEDULE)
    moved, held, finite = _interpret(name)(program, held, w, g, m, v, factor, step)
    row_m, row_v = ROWS[name]
    found = {"update": vector(jax.tree.leaves(moved)), "m": held[row_m], "v": held[row_v]}
    assert bool(finite) == bool(np.isfinite(found["update"]).all())

    def output(outputs: dict[str, Any], slot: str) -> Any:
        """A slot as the interpreter gives it back: the update as weights that it has moved."""
        value = vector(outputs[slot])
        return vector(inputs["w"]) - factor * value if slot == "update" else value

    for slot in expected:
        ours, theirs = np.asarray(found[slot]), output(expected, slot)
        tally.compared += 1
        tally.finite += bool(np.isfinite(theirs).all())
        apart = difference(ours, theirs)
        if apart > CLOSE:
            rng = np.random.default_rng((number, step))
            others = [by_disturbed(statements, inputs, state, rng) for _ in range(DISTURBED)]
            tally.excused.add(number)
            if apart > 3 * max(difference(output(other, slot), theirs) for other in others):
                tally.wrong.append(f"program {number}, step {step}, {slot}: {apart:.1e}")
    return held


def visible(update: Any, w: Any) -> Any:
    """A power of two by which an update is as large as the weights, so that its errors show in their sum."""
    with np.errstate(all="ignore"):
        ratio = np.abs(w).max() / np.abs(update).max()
    return np.float32(2.0 ** np.clip(np.round(np.log2(ratio)), -100, 100) if 0 < ratio < np.inf else 1)


def compare(number: int, statements: Statements, tallies: dict[str, Tally]) -> None:
    """A few steps of one program by each interpreter and the compiled way, until something is not finite."""
    rng = np.random.default_rng(number)
    w = random_leaves(rng, 0.3)
    slots = {"m": random_leaves(rng, 0.0), "v": random_leaves(rng, 0.0)}
    state = analyze(statements).state
    held = {name: interpreter(name).start(interpreter(name).pack(PARAMS)) for name in tallies}
    for step in range(STEPS):
        g = random_leaves(rng, 10.0 ** rng.integers(-3, 1))
        inputs = {"w": w, "g": g, **slots, "lr": jnp.float32(SCHEDULE[step])}
        outputs = by_compiled(statements, inputs, state)
        for name, tally in tallies.items():
            held[name] = compare_step(name, number, statements, inputs, outputs, held[name], step, tally)
        if not all(np.isfinite(vector(value)).all() for value in outputs.values()):
            return
        w = jax.tree.map(lambda x, u: x - u, w, outputs.pop("update"))
        slots.update(outputs)


@pytest.fixture(scope="module")
def tallies() -> dict[str, Tally]:
    tallies = {name: Tally() for name in ROWS}
    for number, statements in enumerate(random_programs()):
        compare(number, statements, tallies)
    return tallies


@pytest.mark.parametrize("name", ROWS)
def test_both_ways_agree(name: str, tallies: dict[str, Tally]) -> None:
    tally = tallies[name]
    assert tally.wrong == []
    assert len(tally.excused) <= PROGRAMS // 50
    assert tally.finite > 3 * PROGRAMS


def test_the_programs_are_many_long_and_use_everything() -> None:
    programs = random_programs()
    live = [live_statements(statements) for statements in programs]
    assert np.median([len(statements) for statements in live]) >= 6
    assert {s.primitive for statements in live for s in statements} == {row.name for row in TABLE}
    carried = [analyze(statements).state for statements in programs]
    assert min(carried.count(state) for state in ((), ("m",), ("v",), ("m", "v"))) > PROGRAMS // 50
