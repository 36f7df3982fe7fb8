"""Single steps of a program by each interpreter, held against the primitives' references in NumPy.

All get the same weights, gradients and state at every step. Results must agree to `CLOSE` of the largest
element. Where they don't, the compiled way, op by op in JAX, is asked: libraries differ in where they
overflow. Where it does not agree either, the program must be ill-conditioned, as `sign(x - y)` of two numbers
that differ by their rounding errors: the compiled way itself must move as much when each of its values is
disturbed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.batched.interpreter import AXES, BatchedInterpreter
from evosearch.evaluation.compiled import run_program
from evosearch.evaluation.encode import M_ROW, V_ROW
from evosearch.evaluation.flow import Capacity, flow_of
from evosearch.evaluation.interpreters import make_interpreter
from evosearch.evaluation.schedule import Schedule
from evosearch.language import Analysis, Constant
from evosearch.language.program import SMALLEST_NORMAL, Statements
from evosearch.soak.fuzz_programs import LONGEST
from primitives import BY_NAME, TreeSpace

STEPS = 3
CLOSE = 1e-5
DISTURBANCE = 1e-6
DISTURBED = 50
"""How often at most a program is run with disturbances: near a pole few of them show that it is one."""

SLACK = 3
"""An interpreter may be as far away as a disturbance of the compiled way, times this."""

TOGETHER = 5
"""Programs that the batched interpreter does at once, all their steps side by side."""

SHAPES = {"a": (2, 3), "b": (37, 30)}
"""The second leaf is longer than a block of the native interpreter."""

SCHEDULE = Schedule("linear", 0.5).values(STEPS)
CAPACITY = Capacity(LONGEST + 8)
_ROWS = {"xla": (M_ROW, V_ROW), "native": (0, 1)}
"""Where each interpreter's state holds m and v."""

Vector = NDArray[np.float32]
Leaves = tuple[Any, ...]


TINY = 1e-30
"""A constant with which a product is soon below the smallest normal number."""

FAR = 1e6
"""A weight of `interp` of which a float32 keeps one digit of the sum, or none."""


class Step(NamedTuple):
    """One step of one program.

    Attributes:
        statements: the program.
        analysis: what abstract execution says of it.
        number: of the step.
        inputs: w, g, m and v as leaves, lr as a number.
        expected: update and the carried slots as vectors, by the references.
    """

    statements: Statements
    analysis: Analysis
    number: int
    inputs: dict[str, Any]
    expected: dict[str, Vector]


class Found(NamedTuple):
    """What an interpreter made of a step: the moved weights, m and v, and whether weights are finite."""

    weights: Vector
    m: Vector
    v: Vector
    finite: bool


def steps_of(statements: Statements, analysis: Analysis, seed: tuple[int, int]) -> list[Step]:
    """The first steps of a valid program in NumPy, until something is not finite.

    Args:
        statements: the program.
        analysis: what abstract execution says of it.
        seed: of its inputs.
    """
    rng = np.random.default_rng(seed)
    w = _draw(rng, 0.3)
    slots = {"m": _draw(rng, 0.0), "v": _draw(rng, 0.0)}
    steps: list[Step] = []
    for number in range(STEPS):
        g = _draw(rng, 10.0 ** rng.integers(-3, 1))
        inputs = {"w": w, "g": g, **slots, "lr": SCHEDULE[number]}
        outputs = _by_reference(statements, analysis, inputs)
        expected = {name: _vector(value) for name, value in outputs.items()}
        steps.append(Step(statements, analysis, number, inputs, expected))
        if not all(np.isfinite(value).all() for value in expected.values()):
            break
        with np.errstate(all="ignore"):
            w = tuple(x - u for x, u in zip(w, outputs.pop("update"), strict=True))
        slots.update(outputs)
    return steps


def _draw(rng: np.random.Generator, size: float) -> Leaves:
    return tuple(np.float32(size * rng.standard_normal(shape)) for shape in SHAPES.values())


def _vector(leaves: Sequence[Any]) -> Vector:
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


def _by_reference(statements: Statements, analysis: Analysis, inputs: dict[str, Any]) -> dict[str, Leaves]:
    """The outputs in float32; denormal numbers count as zero, as they do on the processor."""
    env = dict(inputs)
    for statement, value, live in zip(statements, analysis.values, analysis.live, strict=True):
        if live:
            if value.constant is not None:
                env[statement.target] = np.float32(value.constant)
                continue
            args = [np.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
            env[statement.target] = jax.tree.map(_flushed, BY_NAME[statement.primitive].reference(*args))
    return {name: env[name] for name in ("update", *analysis.state)}


def _flushed(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(np.abs(x) < SMALLEST_NORMAL, np.float32(0) * x, x).astype(np.float32)


# ---------------------------------------------------------------- by interpreters


class Interpreters:
    """The interpreters, and what they hold from the programs before: nothing of it may show.

    Args:
        names: of those that run one program at a time.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._held = {name: _interpreter(name).start(_interpreter(name).pack(_params())) for name in names}

    def one(self, name: str, step: Step) -> Found:
        """A step by the native or the XLA interpreter."""
        interpreter, (row_m, row_v) = _interpreter(name), _ROWS[name]
        w, g, m, v, factor = _given(step)
        program = interpreter.encode(step.statements, SCHEDULE)
        moved, held, finite = _stepper(name)(program, self._held[name], w, g, m, v, factor, step.number)
        self._held[name] = held
        state = np.asarray(held)
        return Found(_vector(jax.tree.leaves(moved)), state[row_m], state[row_v], bool(finite))

    def many(self, steps: Sequence[Step]) -> list[Found]:
        """Steps of at most `TOGETHER` programs by the batched interpreter, all at once."""
        programs = [*dict.fromkeys(step.statements for step in steps)]
        flows = [flow_of(program, SCHEDULE, CAPACITY) for program in programs]
        lanes = [*steps, *[steps[-1]] * (TOGETHER * STEPS - len(steps))]
        flows += [flows[-1]] * (TOGETHER - len(flows))
        where = [programs.index(step.statements) for step in lanes]
        encoded = _batched().encode_all(flows, where, STEPS)
        given = jax.tree.map(lambda *leaves: np.stack(leaves), *[_given(step) for step in lanes])
        numbers = np.array([step.number for step in lanes], np.int32)
        moved, state, finite = jax.device_get(_together()(encoded, *given, numbers))
        weights = [_vector([leaf[lane] for leaf in jax.tree.leaves(moved)]) for lane in range(len(steps))]
        return [Found(weights[k], state[k][0], state[k][1], bool(finite[k])) for k in range(len(steps))]


def _params() -> Any:
    return {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}


def _tree(leaves: Leaves) -> Any:
    return dict(zip(SHAPES, leaves, strict=True))


def _given(step: Step) -> tuple[Any, Any, Vector, Vector, Any]:
    """The weights, the gradient, m, v, and what the update is multiplied by."""
    inputs = step.inputs
    factor = visible(step.expected["update"], _vector(inputs["w"]))
    return _tree(inputs["w"]), _tree(inputs["g"]), _vector(inputs["m"]), _vector(inputs["v"]), factor


@cache
def _interpreter(name: str) -> Any:
    return make_interpreter(name, _params(), CAPACITY)


@cache
def _batched() -> BatchedInterpreter:
    return BatchedInterpreter(_params(), CAPACITY)


@cache
def _stepper(name: str) -> Any:
    rule, (row_m, row_v) = _interpreter(name), _ROWS[name]

    def run(program: Any, held: Any, w: Any, g: Any, m: Any, v: Any, factor: Any, step: Any) -> Any:
        held = held.at[row_m].set(m).at[row_v].set(v)  # other rows stay as the program before left them
        w, held, finite = rule.step(program, held, rule.pack(w), g, factor, step)
        return rule.unpack(w), held, finite

    return jax.jit(run)


@cache
def _together() -> Any:
    rule = _batched()

    def run(program: Any, w: Any, g: Any, m: Any, v: Any, factor: Any, step: Any) -> Any:
        w, state, finite = rule.step(program, jnp.stack([m, v]), rule.pack(w), g, factor, step)
        return rule.unpack(w), state, finite

    return jax.jit(jax.vmap(run, in_axes=(AXES, 0, 0, 0, 0, 0, 0)))


# ---------------------------------------------------------------- the comparison


def complaints(name: str, step: Step, found: Found, tally: Counter[str]) -> Iterator[str]:
    """What is wrong with a step by an interpreter.

    Args:
        name: of the interpreter, for sentences.
        step: what was to be done.
        found: what was done.
        tally: counts what was compared, and by what it was excused.
    """
    if found.finite != bool(np.isfinite(found.weights).all()):
        yield f"{name}, step {step.number}: finite is {found.finite}, and the weights say otherwise"
    ours = {"update": found.weights, "m": found.m, "v": found.v}
    wrong = [slot for slot in step.expected if apart(ours[slot], _output(step, slot, step.expected)) > CLOSE]
    tally["outputs compared"] += len(step.expected)
    if not wrong:
        return
    compiled = _by_compiled(step, np.random.default_rng(0), 0.0)
    for slot in wrong:
        theirs = _output(step, slot, compiled)
        far = apart(ours[slot], theirs)
        if far <= CLOSE:
            tally["outputs that agree with JAX only"] += 1
            continue
        rng = np.random.default_rng(step.number)
        others = (_output(step, slot, _by_compiled(step, rng, DISTURBANCE)) for _ in range(DISTURBED))
        if any(far <= SLACK * apart(other, theirs) for other in others):
            tally["outputs excused as ill-conditioned"] += 1
            continue
        if cancels(step.statements):
            tally["outputs excused as interp far outside 0 to 1"] += 1
            continue
        if vanishes(step.statements):
            tally["outputs excused as numbers below the smallest normal one"] += 1
            continue
        if slot == "update" and overflows(step):
            tally["outputs excused as at the edge of overflow"] += 1
            continue
        yield (
            f"{name}, step {step.number}: {slot} is {far:.1e} away from the compiled way, "
            f"{apart(ours[slot], _output(step, slot, step.expected)):.1e} from the references"
        )


def cancels(statements: Statements) -> bool:
    """Whether there is an `interp` so far outside 0 to 1 that its two products cancel or overflow.

    XLA may fuse a product with the sum, others may not, and then all digits differ. Disturbing what comes in
    does not show it, since both products are disturbed alike.
    """
    return any(
        s.primitive == "interp" and isinstance(s.args[2], Constant) and abs(s.args[2].value) > FAR
        for s in statements
    )


def vanishes(statements: Statements) -> bool:
    """Whether there is a constant so small that products with it may be zero, and large again after another.

    Below the smallest normal number interpreters count with zero; XLA may first multiply two constants.
    """
    constants = [a.value for s in statements for a in s.args if isinstance(a, Constant)]
    return any(0 < abs(value) < TINY for value in constants)


def overflows(step: Step) -> bool:
    """Whether what weights are moved by overflows before it is taken from them.

    XLA may fuse the product with the difference, which can be finite then.
    """
    update = step.expected["update"]
    factor = visible(update, _vector(step.inputs["w"]))
    with np.errstate(all="ignore"):
        moved = np.abs(np.float64(update) * np.float64(factor))
    return bool((np.isfinite(update) & (moved > np.finfo(np.float32).max)).any())


def apart(a: Vector, b: Vector) -> float:
    """The largest difference of two vectors, as a share of the largest element of either; infinite where only
    one of them is finite.
    """
    good = np.isfinite(a)
    if not np.array_equal(good, np.isfinite(b)):
        return np.inf
    if not good.any():
        return 0.0
    x, y = np.float64(a[good]), np.float64(b[good])
    largest = max(np.abs(x).max(), np.abs(y).max(), np.finfo(np.float32).tiny)
    return float((np.abs(x - y) / largest).max())


def visible(update: Vector, w: Vector) -> Any:
    """A power of two by which an update is as large as the weights, so that its errors show in their sum."""
    with np.errstate(all="ignore"):
        ratio = np.abs(w).max() / np.abs(update).max()
    return np.float32(2.0 ** np.clip(np.round(np.log2(ratio)), -100, 100) if 0 < ratio < np.inf else 1)


def _output(step: Step, slot: str, outputs: dict[str, Vector]) -> Vector:
    """A slot as interpreters give it back: the update as weights that it has moved."""
    if slot != "update":
        return outputs[slot]
    w = _vector(step.inputs["w"])
    with np.errstate(all="ignore"):
        moved: Vector = w - visible(step.expected["update"], w) * outputs["update"]
    return moved


def _by_compiled(step: Step, rng: np.random.Generator, size: float) -> dict[str, Vector]:
    """The outputs in JAX, op by op; with a small error in each input and result, if `size` is not 0."""

    def disturbed(value: Any) -> Any:
        return jax.tree.map(
            lambda x: jnp.float32(x * (1 + size * rng.choice([-1.0, 1.0], np.shape(x)))), value
        )

    inputs = jax.tree.map(jnp.float32, step.inputs)
    if size == 0:
        env = run_program(step.statements, inputs)
    else:
        space = TreeSpace(tuple(SHAPES.values()))
        env = {name: disturbed(value) for name, value in inputs.items()}
        for statement, live in zip(step.statements, step.analysis.live, strict=True):
            if live:
                args = [jnp.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
                env[statement.target] = disturbed(BY_NAME[statement.primitive].kernel(space, *args))
    return {name: _vector(env[name]) for name in step.expected}
