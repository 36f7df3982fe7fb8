"""The probes of the fingerprint, and what a program computes on them in NumPy: see `fingerprint`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.language.abstract import DEPENDS, fold, live_flags
from evosearch.language.program import Constant, Statements
from primitives import BY_NAME, ValueType

BITS = 22
"""Numbers that agree in so many bits, one part in four million, are taken for equal."""

STEPS = 3
SIZES = (3, 4)
"""Elements of each leaf of the trees."""
GRADIENT_SCALES = (1e-6, 1e-3, 1.0, 1e3)
SCHEDULE = (1.0, 0.5, 0.0)

Numbers = NDArray[np.float64]
"""A value at all scales: (scales, elements of all leaves); (scales, 1) for a scalar; or one number."""


class Step(NamedTuple):
    """A live statement, made ready to be run.

    Attributes:
        target: the variable it writes.
        primitive: its row of the table.
        args: names of variables, and numbers.
        constant: its float32 number where it is a constant expression, as in the canonical hash; else None.
    """

    target: str
    primitive: str
    args: tuple[str | np.float64, ...]
    constant: float | None


@cache
def probes() -> tuple[Numbers, Numbers, Numbers]:
    """Fixed weights (scales, elements), gradients (steps, scales, elements), schedule (steps, scales, 1)."""
    weights, gradients = [], []
    for scale, size in enumerate(GRADIENT_SCALES):
        rng = np.random.Generator(np.random.Philox(key=scale))
        weights.append(rng.normal(size=sum(SIZES)))
        gradients.append(rng.normal(size=(STEPS, sum(SIZES))) * size)
    schedule = np.array([np.full((len(GRADIENT_SCALES), 1), lr) for lr in SCHEDULE])
    return np.stack(weights), np.stack(gradients, axis=1), schedule


def live_steps(statements: Statements, carried: int) -> list[Step]:
    """The live statements; constant expressions have their float32 value, as in the canonical hash."""
    known: dict[str, float] = {}  # variables that hold a constant at this place
    steps = []
    for statement, live in zip(statements, live_flags(statements, carried), strict=True):
        if not live:
            continue
        target, args = statement.target, statement.args
        numbers = [a.value if isinstance(a, Constant) else known.get(a) for a in args]
        constant = None
        if None not in numbers:
            known[target] = fold(statement.primitive, numbers)  # type: ignore[arg-type]
            constant = known[target]
        else:
            known.pop(target, None)
        ready = tuple([np.float64(a.value) if isinstance(a, Constant) else a for a in args])
        steps.append(Step(target, statement.primitive, ready, constant))
    return steps


def numpy_behaviour(steps: Sequence[Step], carried: int) -> bytes:
    """The rounded updates of a program, one step after the other.

    Args:
        steps: its live statements.
        carried: its `Judged.carried`.
    """
    keeps_m, keeps_v = carried & DEPENDS["m"], carried & DEPENDS["v"]
    weights, gradients, schedule = probes()
    m = v = np.zeros_like(weights)
    told = []
    with np.errstate(all="ignore"):
        for g, lr in zip(gradients, schedule, strict=True):
            env: dict[str, Any] = {"w": weights, "g": g, "m": m, "v": v, "lr": lr}
            for step in steps:
                env[step.target] = _value(step, env)
            m = env["m"] if keeps_m else m
            v = env["v"] if keeps_v else v
            weights = weights - env["update"]
            told.append(rounded(env["update"]))
    return b"".join(told)


def _value(step: Step, env: Mapping[str, Any]) -> Any:
    if step.constant is not None:
        return np.float64(step.constant)
    args: list[Any] = [env[a] if isinstance(a, str) else a for a in step.args]
    on_arrays = _on_arrays(step.primitive)
    if on_arrays is not None:
        return on_arrays(*args)
    reference, expects = BY_NAME[step.primitive].reference, BY_NAME[step.primitive].rule.expects
    rows = []
    for scale in range(len(GRADIENT_SCALES)):
        at = [_at(arg, scale, type_) for arg, type_ in zip(args, expects or (), strict=True)]
        rows.append(_as_row(reference(*at)))
    return np.stack(rows)


@cache
def _on_arrays(primitive: str) -> Callable[..., Any] | None:
    """What a reference does to plain arrays, without its look at what it is given; None if it needs trees."""
    row = BY_NAME[primitive]
    return None if row.elementwise is None else inspect.unwrap(row.reference)


def _at(value: Numbers, scale: int, type_: ValueType | None) -> Any:
    """A value at one scale, as references take it."""
    if type_ is not ValueType.TENSOR:
        return np.broadcast_to(value, (len(GRADIENT_SCALES), 1))[scale, 0]
    return tuple(np.split(value[scale], np.cumsum(SIZES)[:-1]))


def _as_row(result: Any) -> Numbers:
    """What a reference gives, as a row: leaves one after the other, a leaf's number repeated over it."""
    if not isinstance(result, tuple):
        return np.reshape(np.float64(result), (1,))
    return np.concatenate([np.broadcast_to(leaf, (n,)) for leaf, n in zip(result, SIZES, strict=True)])


def rounded(update: Numbers) -> bytes:
    """The numbers with the first `BITS` of their digits in base two; all NaN alike, and both zeros."""
    digits, exponents = np.frexp(update + 0.0)
    rounded = np.ldexp(np.rint(digits * 2.0**BITS), exponents - BITS)
    rounded[rounded != rounded] = np.nan  # NaN have signs, too
    data: bytes = rounded.tobytes()
    return data
