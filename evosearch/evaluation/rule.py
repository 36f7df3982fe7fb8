"""How weights are laid out and moved by a gradient: what interpreters and references have in common."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp

Array = jax.Array


class Rule(Protocol):
    """How weights are laid out and how one step is computed from a gradient.

    `program` is whatever varies between calls without a new compilation: an encoded program, a schedule,
    hyperparameters.
    """

    def pack(self, params: Any) -> Any:
        """The parameter tree in the rule's own layout."""
        ...

    def unpack(self, w: Any) -> Any:
        """The parameter tree of a value in the rule's own layout."""
        ...

    def start(self, w: Any) -> Any:
        """The state before the first step."""
        ...

    def step(
        self, program: Any, state: Any, w: Any, g: Any, factor: Any, step: Array
    ) -> tuple[Any, Any, Array]:
        """The weights less factor * update, the new state, and whether all weights are finite.

        `w` is in the rule's layout, `g` a tree like the parameters.
        """
        ...


def moved(w: Any, update: Any, factor: Any) -> tuple[Any, Array]:
    """Weights less factor * update, and whether all of them are finite.

    >>> w, finite = moved({"a": jnp.ones(2)}, {"a": jnp.full(2, 2.0)}, 0.25)
    >>> w["a"].tolist(), bool(finite)
    ([0.5, 0.5], True)
    """
    w = jax.tree.map(lambda x, u: x - factor * u, w, update)
    return w, jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(w)]))
