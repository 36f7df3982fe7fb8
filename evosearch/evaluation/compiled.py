"""The compiled way: a program traced straight into JAX on the parameter tree.

It costs a compilation for each program and serves large tasks, exporters, and as a check of the interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.rule import moved
from evosearch.language.abstract import analyze
from evosearch.language.program import Constant, Statement
from primitives import BY_NAME, TreeSpace

Array = jax.Array
Leaves = tuple[Array, ...]


class State(NamedTuple):
    """The slots of the program that are carried from step to step; the others are empty."""

    m: Leaves
    v: Leaves


@dataclass(frozen=True)
class Compiled:
    """One program as an update rule on the parameter tree; see `training.Rule`.

    Args:
        statements: a valid program.
        params: an example of the parameters, for shapes.
    """

    statements: tuple[Statement, ...]
    params: Any

    def pack(self, params: Any) -> Leaves:
        """The leaves of the parameter tree."""
        return tuple(jax.tree.leaves(params))

    def unpack(self, w: Leaves) -> Any:
        """The parameter tree of these leaves."""
        return jax.tree.unflatten(jax.tree.structure(self.params), w)

    def start(self, w: Leaves) -> State:
        """Zeros for the carried slots."""
        carried = analyze(self.statements).state
        zeros = tuple(jnp.zeros_like(leaf) for leaf in w)
        return State(zeros if "m" in carried else (), zeros if "v" in carried else ())

    def step(
        self,
        schedule: NDArray[np.float32] | Array,
        state: State,
        w: Leaves,
        g: Any,
        factor: Array,
        step: Array,
    ) -> tuple[Leaves, State, Array]:
        """One run of the program: new weights and state, and whether the weights are finite."""
        zeros = tuple(jnp.zeros_like(leaf) for leaf in w)
        inputs = {"w": w, "g": self.pack(g), "m": state.m or zeros, "v": state.v or zeros}
        env = run_program(self.statements, {**inputs, "lr": jnp.asarray(schedule)[step]})
        w, finite = moved(w, env["update"], factor)
        return w, State(env["m"] if state.m else (), env["v"] if state.v else ()), finite


def run_program(statements: Sequence[Statement], inputs: dict[str, Any]) -> dict[str, Any]:
    """Run the live statements of a valid program in JAX, traceable.

    Args:
        statements: a valid program.
        inputs: w, g, m, v as tuples of arrays and lr as a 0-d array.

    Returns:
        All variables afterwards; `update` as a tuple of arrays shaped like the weights.
    """
    space = TreeSpace(tuple(leaf.shape for leaf in inputs["w"]))
    env = dict(inputs)
    for statement, live in zip(statements, analyze(statements).live, strict=True):
        if live:
            args = [jnp.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
            env[statement.target] = BY_NAME[statement.primitive].kernel(space, *args)
    return env
