"""Behavioural fingerprint: programs that compute the same numbers share it, however they are written.

The live statements are run in double precision for a few steps on fixed pseudo-random trees of several
scales (`probes`); the outputs, rounded to `BITS` significant bits, are hashed. Constant expressions take
their float32 value, as in the canonical hash, so programs that share that hash share the fingerprint. Beyond
it, the fingerprint finds algebra, operations without effect, constants that differ after the seventh digit.

Where there is a C compiler, machine code runs them, else NumPy. The last digits of the two may differ, which
rounding hides nearly always; so only fingerprints of one machine are to be compared.

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

from evosearch.language.abstract import AbstractExecution, Judged, Value
from evosearch.language.native import NativeBehaviour, native_behaviour, pack
from evosearch.language.probes import live_steps, numpy_behaviour
from evosearch.language.program import Constant, Statement, Statements
from primitives import BY_NAME


def fingerprint(statements: Statements, carried: int | None = None) -> bytes:
    """The 16-byte behavioural fingerprint of a valid program.

    Args:
        statements: the statements of a valid program.
        carried: its `Judged.carried`, if that is known; it saves most of the time.

    Returns:
        A digest of `update` at `STEPS` steps for each scale. Programs with the same canonical hash agree;
        programs equal up to algebra agree unless rounding falls on two sides of a digit, which only costs
        a score.

    Example:
        >>> from evosearch.language import builtin
        >>> len(fingerprint(builtin("lion").statements))
        16
    """
    if carried is None:
        judged = AbstractExecution(memo_limit=len(statements)).judge(statements)
        assert isinstance(judged, Judged), "the program is valid"
        carried = judged.carried
    steps, native = live_steps(statements, carried), _machine_code()
    return digest(native(*pack(steps), carried) if native else numpy_behaviour(steps, carried))


@cache
def _machine_code() -> NativeBehaviour | None:
    """None where there is no C compiler: the search, which is what it slows down, says so."""
    from evosearch.c_library import NoCompilerError

    try:
        return native_behaviour()
    except NoCompilerError:
        return None


def digest(behaviour: bytes) -> bytes:
    """The fingerprint of what a program computes on the probes."""
    return blake2b(behaviour, digest_size=16).digest()


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
