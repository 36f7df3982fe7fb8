"""The interpreter and the compiled way run the same program the same way, on a thousand random programs.

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
from strategies import RULES, descendant, mended

from evosearch.evaluation.compiled import run_program
from evosearch.evaluation.encode import M_ROW, V_ROW, Capacity, encode
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.schedule import Schedule
from evosearch.language import Constant, Statement, analyze, builtin, builtin_names
from evosearch.language.abstract import live_statements
from evosearch.language.mutation import random_program
from primitives import BY_NAME, TABLE, TreeSpace

PROGRAMS = 1000
LEAST = 4
STEPS = 3
CLOSE = 1e-5
DISTURBANCE = 1e-6
DISTURBED = 5
"""How often a program is run with disturbances."""

SHAPES = {"a": {"b": (2, 3), "w": (4,)}, "z": (1,)}
RULE = Interpreter(jax.tree.map(jnp.zeros, SHAPES, is_leaf=lambda x: isinstance(x, tuple)), Capacity())
SPACE = TreeSpace(tuple(leaf.shape for leaf in jax.tree.leaves(RULE.params)))
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
    leaves = jax.tree.leaves(RULE.params)
    return tuple(jnp.asarray(size * rng.standard_normal(leaf.shape), jnp.float32) for leaf in leaves)


def vector(leaves: Leaves) -> np.ndarray[Any, Any]:
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


# ---------------------------------------------------------------- the two ways, and one of them disturbed


@cache
def _interpret() -> Any:
    def run(program: Any, registers: Any, w: Any, g: Any, m: Any, v: Any, step: Any) -> Any:
        registers = (
            registers.at[M_ROW].set(m).at[V_ROW].set(v)
        )  # the other rows stay as the last step left them
        return RULE.update(program, registers, w, g, step)

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
    number: int, statements: Statements, inputs: dict[str, Any], registers: Any, step: int, tally: Tally
) -> tuple[dict[str, Any], Any]:
    """One step of one program both ways; the compiled way's outputs, and the interpreter's registers."""
    state = analyze(statements).state
    expected = by_compiled(statements, inputs, state)
    w, m, v = (vector(inputs[name]) for name in ("w", "m", "v"))
    g = jax.tree.unflatten(jax.tree.structure(RULE.params), inputs["g"])
    program = encode(statements, SCHEDULE, RULE.capacity)
    update, registers = _interpret()(program, registers, w, g, m, v, step)
    found = {"update": update, "m": registers[M_ROW], "v": registers[V_ROW]}
    for name, value in expected.items():
        ours, theirs = np.asarray(found[name]), vector(value)
        tally.compared += 1
        tally.finite += bool(np.isfinite(theirs).all())
        apart = difference(ours, theirs)
        if apart > CLOSE:
            rng = np.random.default_rng((number, step))
            others = [by_disturbed(statements, inputs, state, rng)[name] for _ in range(DISTURBED)]
            tally.excused.add(number)
            if apart > 3 * max(difference(vector(other), theirs) for other in others):
                tally.wrong.append(f"program {number}, step {step}, {name}: {apart:.1e}")
    return expected, registers


def compare(number: int, statements: Statements, tally: Tally) -> None:
    """A few steps of one program both ways, until something is not finite."""
    rng = np.random.default_rng(number)
    w = random_leaves(rng, 0.3)
    slots = {"m": random_leaves(rng, 0.0), "v": random_leaves(rng, 0.0)}
    registers = RULE.start(RULE.pack(RULE.params))
    for step in range(STEPS):
        g = random_leaves(rng, 10.0 ** rng.integers(-3, 1))
        inputs = {"w": w, "g": g, **slots, "lr": jnp.float32(SCHEDULE[step])}
        outputs, registers = compare_step(number, statements, inputs, registers, step, tally)
        if not all(np.isfinite(vector(value)).all() for value in outputs.values()):
            return
        w = jax.tree.map(lambda x, u: x - u, w, outputs.pop("update"))
        slots.update(outputs)


def test_both_ways_agree() -> None:
    tally = Tally()
    programs = random_programs()
    for number, statements in enumerate(programs):
        compare(number, statements, tally)
    assert tally.wrong == []
    assert len(tally.excused) <= PROGRAMS // 100
    assert tally.finite > 3 * PROGRAMS


def test_the_programs_are_many_long_and_use_everything() -> None:
    programs = random_programs()
    live = [live_statements(statements) for statements in programs]
    assert np.median([len(statements) for statements in live]) >= 6
    assert {s.primitive for statements in live for s in statements} == {row.name for row in TABLE}
    carried = [analyze(statements).state for statements in programs]
    assert min(carried.count(state) for state in ((), ("m",), ("v",), ("m", "v"))) > PROGRAMS // 50
