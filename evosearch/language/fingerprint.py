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

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.language.abstract import Value, analyze
from evosearch.language.program import Constant, Statement
from primitives import BY_NAME

DIGITS = 7
STEPS = 3
SHAPES = ((3,), (2, 2))
GRADIENT_SCALES = (1e-6, 1e-3, 1.0, 1e3)
SCHEDULE = (1.0, 0.5, 0.0)

Tree = tuple[NDArray[np.float64], ...]


@cache
def _probe(scale: int) -> tuple[Tree, tuple[Tree, ...]]:
    """Fixed weights and one gradient tree per step."""
    rng = np.random.Generator(np.random.Philox(key=scale))
    weights = tuple(rng.normal(size=shape) for shape in SHAPES)
    gradients = tuple(
        tuple(rng.normal(size=shape) * GRADIENT_SCALES[scale] for shape in SHAPES) for _ in range(STEPS)
    )
    return weights, gradients


def run_statements(statements: Sequence[Statement], env: dict[str, Any]) -> dict[str, Any]:
    """Run statements in NumPy through the primitives' references; returns the variables' values."""
    env = dict(env)
    for s in statements:
        args = [np.float64(a.value) if isinstance(a, Constant) else env[a] for a in s.args]
        env[s.target] = BY_NAME[s.primitive].reference(*args)
    return env


def fingerprint(statements: Sequence[Statement]) -> bytes:
    """The 16-byte behavioural fingerprint of a valid program.

    Args:
        statements: the statements of a valid program.

    Returns:
        A digest of `update` at `STEPS` steps for each scale. Programs with the same canonical hash agree;
        programs equal up to algebra agree unless rounding falls on two sides of a digit, which only costs
        a score.
    """
    analysis = analyze(statements)
    all_steps = zip(statements, analysis.values, analysis.live, strict=True)
    live = [(statement, value) for statement, value, flag in all_steps if flag]
    digest = blake2b(digest_size=16)
    for scale in range(len(GRADIENT_SCALES)):
        for update in _updates(live, analysis.state, scale):
            digest.update(_rounded(update))
    return digest.digest()


def run_folded(live: Sequence[tuple[Statement, Value]], env: dict[str, Any]) -> dict[str, Any]:
    """Run statements, each with its abstract value; constant expressions give their float32 value."""
    for statement, value in live:
        if value.constant is None:
            env = run_statements((statement,), env)
        else:
            env = {**env, statement.target: np.float64(value.constant)}
    return env


def _updates(live: Sequence[tuple[Statement, Value]], state: tuple[str, ...], scale: int) -> list[Tree]:
    weights, gradients = _probe(scale)
    zeros = tuple(np.zeros(shape) for shape in SHAPES)
    m = v = zeros
    updates = []
    for gradient, lr in zip(gradients, SCHEDULE, strict=True):
        env = run_folded(live, {"w": weights, "g": gradient, "m": m, "v": v, "lr": np.float64(lr)})
        updates.append(env["update"])
        m = env["m"] if "m" in state else zeros
        v = env["v"] if "v" in state else zeros
        with np.errstate(all="ignore"):
            weights = tuple(w - u for w, u in zip(weights, env["update"], strict=True))
    return updates


def _rounded(tree: Tree) -> bytes:
    flat = np.concatenate(
        [np.ravel(np.broadcast_to(leaf, shape)) for leaf, shape in zip(tree, SHAPES, strict=True)]
    )
    return ",".join([f"{number:.{DIGITS - 1}e}" for number in flat + 0.0]).encode()
