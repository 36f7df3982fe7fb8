"""Behavioural fingerprint: programs that compute the same numbers share it, however they are written.

The live statements are run in NumPy, in double precision, for a few steps on fixed pseudo-random trees of
several scales; the outputs, rounded to `DIGITS` significant digits, are hashed. Constant expressions take
their float32 value, as in the canonical hash, so programs that share that hash share the fingerprint. Beyond
it, the fingerprint finds algebra, operations without effect, constants that differ after the seventh digit.

It is a measurement and not a proof: programs that differ only where no probe looks (a clip that never acts at
these scales, an overflow of float32) would be merged. The probes therefore span gradients from 1e-6 to 1e3
and schedule values from 1 to 0, and the search uses it only where its YAML says so.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.language.abstract import DEPENDS, AbstractExecution, Judged, Value, live_flags
from evosearch.language.program import Constant, Statement, Statements
from primitives import BY_NAME, ValueType

DIGITS = 7
STEPS = 3
SIZES = (3, 4)
"""Elements of each leaf of the trees."""
GRADIENT_SCALES = (1e-6, 1e-3, 1.0, 1e3)
SCHEDULE = (1.0, 0.5, 0.0)

Numbers = NDArray[np.float64]
"""A value at all scales: (scales, elements of all leaves); (scales, 1) for a scalar; or one number."""


@cache
def _probe() -> tuple[Numbers, Numbers]:
    """Fixed weights (scales, elements), and gradients (steps, scales, elements)."""
    weights, gradients = [], []
    for scale, size in enumerate(GRADIENT_SCALES):
        rng = np.random.Generator(np.random.Philox(key=scale))
        weights.append(rng.normal(size=sum(SIZES)))
        gradients.append(rng.normal(size=(STEPS, sum(SIZES))) * size)
    return np.stack(weights), np.stack(gradients, axis=1)


def fingerprint(statements: Statements, judged: Judged | None = None) -> bytes:
    """The 16-byte behavioural fingerprint of a valid program.

    Args:
        statements: the statements of a valid program.
        judged: what abstract execution says of it, if that is known; it saves a third of the time.

    Returns:
        A digest of `update` at `STEPS` steps for each scale. Programs with the same canonical hash agree;
        programs equal up to algebra agree unless rounding falls on two sides of a digit, which only costs
        a score.
    """
    known = judged or AbstractExecution(memo_limit=len(statements)).judge(statements)
    assert isinstance(known, Judged), "the program is valid"
    all_steps = zip(statements, known.values, live_flags(statements, known.carried), strict=True)
    live = [(statement, value) for statement, value, flag in all_steps if flag]
    keeps_m, keeps_v = known.carried & DEPENDS["m"], known.carried & DEPENDS["v"]
    digest = blake2b(digest_size=16)
    weights, gradients = _probe()
    m = v = np.zeros_like(weights)
    with np.errstate(all="ignore"):
        for g, lr in zip(gradients, SCHEDULE, strict=True):
            env = {"w": weights, "g": g, "m": m, "v": v, "lr": np.full((len(g), 1), lr)}
            for statement, value in live:
                env[statement.target] = _value(statement, value, env)
            m = env["m"] if keeps_m else m
            v = env["v"] if keeps_v else v
            weights = weights - env["update"]
            digest.update(_rounded(env["update"]))
    return digest.digest()


def _value(statement: Statement, value: Value, env: Mapping[str, Numbers]) -> Numbers:
    if value.constant is not None:
        return np.float64(value.constant)  # type: ignore[return-value]
    args: list[Any] = [np.float64(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
    on_arrays = _on_arrays(statement.primitive)
    if on_arrays is not None:
        result: Numbers = on_arrays(*args)
        return result
    reference, expects = BY_NAME[statement.primitive].reference, BY_NAME[statement.primitive].rule.expects
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


def _rounded(update: Numbers) -> bytes:
    flat = np.broadcast_to(update, (len(GRADIENT_SCALES), sum(SIZES))).ravel() + 0.0
    return ",".join([f"{number:.{DIGITS - 1}e}" for number in flat.tolist()]).encode()


def run_statements(statements: Sequence[Statement], env: dict[str, Any]) -> dict[str, Any]:
    """Run statements in NumPy through the primitives' references; returns the variables' values."""
    env = dict(env)
    for s in statements:
        args = [np.float64(a.value) if isinstance(a, Constant) else env[a] for a in s.args]
        env[s.target] = BY_NAME[s.primitive].reference(*args)
    return env


def run_folded(live: Sequence[tuple[Statement, Value]], env: dict[str, Any]) -> dict[str, Any]:
    """Run statements, each with its abstract value; constant expressions give their float32 value."""
    for statement, value in live:
        if value.constant is None:
            env = run_statements((statement,), env)
        else:
            env = {**env, statement.target: np.float64(value.constant)}
    return env
