"""Reference optimizers from optax, as rules whose hyperparameters are arguments of the compiled loop.

They are what a found program is compared with: real AdamW, with bias correction, which a program can't
express, and real Lion. Each row says which hyperparameters are tuned and over which range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import optax

Array = jax.Array


@dataclass(frozen=True)
class Reference:
    """One optimizer of optax.

    Attributes:
        name: how tables call it.
        build: makes the transformation from the learning rate at this step and the other hyperparameters.
        ranges: for each hyperparameter the range that tuning searches, on a logarithmic scale; betas are
            tuned through 1 - beta. The first is the peak learning rate.
    """

    name: str
    build: Callable[..., optax.GradientTransformation]
    ranges: Mapping[str, tuple[float, float]]


def _adamw(lr: Array, decay: Array, one_minus_b1: Array, one_minus_b2: Array) -> optax.GradientTransformation:
    return optax.adamw(lr, b1=1 - one_minus_b1, b2=1 - one_minus_b2, eps=1e-8, weight_decay=decay)


def _lion(lr: Array, decay: Array, one_minus_b1: Array, one_minus_b2: Array) -> optax.GradientTransformation:
    return optax.lion(lr, b1=1 - one_minus_b1, b2=1 - one_minus_b2, weight_decay=decay)


_BETAS = {"one_minus_b1": (0.02, 0.5), "one_minus_b2": (0.001, 0.5)}

REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        row.name: row
        for row in (
            Reference("adamw", _adamw, MappingProxyType({"lr": (1e-3, 0.3), "decay": (1e-3, 3.0), **_BETAS})),
            Reference("lion", _lion, MappingProxyType({"lr": (3e-4, 0.1), "decay": (1e-3, 10.0), **_BETAS})),
        )
    }
)
"""Every reference by its name."""


@dataclass(frozen=True)
class ReferenceRule:
    """A reference as an update rule on the parameter tree; see `training.Rule`.

    Its program is a pair: the schedule (steps,) and the hyperparameters in the order of `ranges`, float32.
    """

    reference: Reference

    def pack(self, params: Any) -> Any:
        """The parameter tree itself."""
        return params

    def unpack(self, w: Any) -> Any:
        """The parameter tree itself."""
        return w

    def _transformation(self, hyperparameters: Array, lr: Array) -> optax.GradientTransformation:
        _, *others = hyperparameters
        return self.reference.build(lr, *others)

    def start(self, w: Any) -> Any:
        """The state of the optimizer before the first step."""
        # No hyperparameter enters the initial state of any reference.
        return self._transformation(jnp.ones(len(self.reference.ranges)), jnp.float32(0)).init(w)

    def update(self, program: tuple[Any, Any], state: Any, w: Any, g: Any, step: Array) -> tuple[Any, Any]:
        """What to subtract from the weights, and the new state."""
        schedule, hyperparameters = program
        lr = jnp.asarray(schedule)[step] * hyperparameters[0]
        updates, state = self._transformation(hyperparameters, lr).update(g, state, w)
        return jax.tree.map(jnp.negative, updates), state
