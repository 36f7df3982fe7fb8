"""Reference optimizers of optax, as rules whose hyperparameters are arguments of the compiled loop.

They are what a found program is compared with, as people use them: real AdamW, with bias correction, which a
program can't express; real Lion; and ten others. One row each: how it is built, and for each of its
hyperparameters the grid that tuning moves on.

Every row decays weights in the decoupled way, `w <- w - lr * decay * w`, whether optax's own function has
such an argument or not. What has no grid is at optax's default, so that a row is what people get who write
`optax.NAME(lr, weight_decay=decay)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from evosearch.evaluation.rule import moved

PREFIX = "optax:"
"""What a reference's name begins with wherever programs are named, too."""

Array = jax.Array
Transformation: TypeAlias = optax.GradientTransformation


@dataclass(frozen=True)
class Grid:
    """The values of one hyperparameter that tuning may try.

    Attributes:
        values: rising.
        start: the place of the value to begin with.
        closed: whether nothing lies above the last value, as nothing does above 1 - beta = 1. Nothing lies
            below a first value of 0 in any case.

    Raises:
        ValueError: values that don't rise, or a start outside them.
    """

    values: tuple[float, ...]
    start: int
    closed: bool = False

    def __post_init__(self) -> None:
        if list(self.values) != sorted(set(self.values)) or not 0 <= self.start < len(self.values):
            raise ValueError(f"expected rising values and a start among them, found {self}")

    def is_edge(self, place: int) -> bool:
        """Whether a better value may lie beyond this place.

        >>> [Grid((0.0, 0.1, 1.0), 0).is_edge(place) for place in range(3)]
        [False, False, True]
        """
        last = place == len(self.values) - 1
        return (last and not self.closed) or (place == 0 and self.values[0] != 0)


def logarithmic(low: float, high: float, per_decade: int, start: float, zero: bool = False) -> Grid:
    """A grid from 10**low to 10**high, to three digits, so that people can write its values.

    Args:
        low: logarithm of the first value.
        high: logarithm of the last value.
        per_decade: steps in a decade.
        start: logarithm of the value to begin with.
        zero: whether 0 comes before the first value.

    >>> logarithmic(-1, 0, 2, -0.5)
    Grid(values=(0.1, 0.316, 1.0), start=1, closed=False)
    """
    count = round((high - low) * per_decade)
    values = [float(f"{10 ** (low + i / per_decade):.3g}") for i in range(count + 1)]
    first = (0.0,) if zero else ()
    return Grid((*first, *values), round((start - low) * per_decade) + len(first))


@dataclass(frozen=True)
class Reference:
    """One optimizer of optax.

    Attributes:
        name: how tables and the command line call it.
        summary: one line for people.
        build: makes the transformation from the learning rate at this step and the other hyperparameters, in
            the order of `grids`. All of them may be traced.
        grids: for each hyperparameter the values that tuning may try; betas are tuned through 1 - beta. The
            first is the peak learning rate, the second the weight decay.
    """

    name: str
    summary: str
    build: Callable[..., Transformation]
    grids: Mapping[str, Grid]


def _decoupled(scale: Transformation, lr: Array, decay: Array) -> Transformation:
    return optax.chain(scale, optax.add_decayed_weights(decay), optax.scale_by_learning_rate(lr))


def _sgd(lr: Array, decay: Array, rest: Array) -> Transformation:
    return _decoupled(optax.trace(1 - rest), lr, decay)


def _nesterov(lr: Array, decay: Array, rest: Array) -> Transformation:
    return _decoupled(optax.trace(1 - rest, nesterov=True), lr, decay)


def _adamw(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return optax.adamw(lr, b1=1 - rest1, b2=1 - rest2, weight_decay=decay)


def _nadam(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return optax.nadamw(lr, b1=1 - rest1, b2=1 - rest2, weight_decay=decay)


def _radam(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return _decoupled(optax.scale_by_radam(1 - rest1, 1 - rest2), lr, decay)


def _amsgrad(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return _decoupled(optax.scale_by_amsgrad(1 - rest1, 1 - rest2), lr, decay)


def _adabelief(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return _decoupled(optax.scale_by_belief(1 - rest1, 1 - rest2), lr, decay)


def _adafactor(lr: Array, decay: Array) -> Transformation:
    # Optax subtracts its weight_decay_rate times the weights at any learning rate.
    return optax.adafactor(lr, weight_decay_rate=lr * decay)


def _lion(lr: Array, decay: Array, rest1: Array, rest2: Array) -> Transformation:
    return optax.lion(lr, b1=1 - rest1, b2=1 - rest2, weight_decay=decay)


def _rmsprop(lr: Array, decay: Array, rest: Array) -> Transformation:
    # As optax.rmsprop without momentum.
    return _decoupled(optax.scale_by_rms(1 - rest, eps=1e-8), lr, decay)


def _adagrad(lr: Array, decay: Array) -> Transformation:
    # As optax.adagrad.
    return _decoupled(optax.scale_by_rss(initial_accumulator_value=0.1, eps=1e-7), lr, decay)


MUON_RMS = 0.2
"""Size of Muon's updates: that of AdamW's in practice, so that one learning rate suits both its parts."""


def _muon(lr: Array, decay: Array, rest: Array) -> Transformation:
    return optax.contrib.muon(
        lr, beta=1 - rest, weight_decay=decay, adam_weight_decay=decay, consistent_rms=MUON_RMS
    )


_BETA = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _rest(start: float) -> Grid:
    """The grid of a 1 - beta; the last value is that of no memory at all."""
    return Grid(_BETA, _BETA.index(start), closed=True)


def _row(
    name: str,
    summary: str,
    build: Callable[..., Transformation],
    lr: tuple[float, float, float],
    decay: tuple[float, float, float] = (-3.0, 0.5, -1.5),
    **rest: float,
) -> Reference:
    """A row; ranges as logarithms of (lowest, highest, start), and where each 1 - beta starts."""
    low, high, start = lr
    grids = {
        "lr": logarithmic(low, high, 4, start),
        "decay": logarithmic(decay[0], decay[1], 2, decay[2], zero=True),
        **{f"one_minus_{beta}": _rest(value) for beta, value in rest.items()},
    }
    return Reference(name, summary, build, MappingProxyType(grids))


_ADAM_LR = (-4.0, 1.0, -1.5)
_PLAIN_DECAY = (-4.5, -1.0, -3.0)
"""For rules with learning rates so large that lr * decay would otherwise leave nothing of the weights."""

_ROWS = (
    _row("sgd", "gradient descent with momentum", _sgd, (-2.5, 1.5, -0.5), _PLAIN_DECAY, b1=0.1),
    _row("nesterov", "SGD with Nesterov's momentum", _nesterov, (-2.5, 1.5, -0.5), _PLAIN_DECAY, b1=0.1),
    _row("adamw", "Adam with decoupled weight decay", _adamw, _ADAM_LR, b1=0.1, b2=0.01),
    _row("nadam", "AdamW with Nesterov's momentum", _nadam, _ADAM_LR, b1=0.1, b2=0.01),
    _row("radam", "Adam that waits for its second moment", _radam, _ADAM_LR, b1=0.1, b2=0.01),
    _row("amsgrad", "Adam whose second moment never falls", _amsgrad, _ADAM_LR, b1=0.1, b2=0.01),
    _row("adabelief", "Adam scaled by surprise", _adabelief, _ADAM_LR, b1=0.1, b2=0.01),
    _row("adafactor", "second moment by rows and columns (sides from 128)", _adafactor, (-3.0, 1.0, -1.0)),
    _row(
        "lion",
        "sign of an interpolated momentum",
        _lion,
        (-4.5, 0.5, -2.0),
        (-2.5, 1.0, -0.5),
        b1=0.1,
        b2=0.01,
    ),
    _row("rmsprop", "gradient over its running size, no momentum", _rmsprop, _ADAM_LR, b2=0.1),
    _row("adagrad", "gradient over its size so far", _adagrad, (-2.5, 1.5, -0.5), _PLAIN_DECAY),
    _row("muon", "orthogonal momentum for matrices, Adam for the rest", _muon, (-3.5, 1.0, -1.0), b1=0.05),
)

REFERENCES: Mapping[str, Reference] = MappingProxyType({row.name: row for row in _ROWS})
"""Every reference by its name."""


@dataclass(frozen=True)
class ReferenceRule:
    """A reference as an update rule on the parameter tree; see `training.Rule`.

    Its program is a pair: the schedule (steps,) and the hyperparameters in the order of `grids`, float32.
    """

    reference: Reference

    def pack(self, params: Any) -> Any:
        """The parameter tree itself."""
        return params

    def unpack(self, w: Any) -> Any:
        """The parameter tree itself."""
        return w

    def _transformation(self, hyperparameters: Array, lr: Array) -> Transformation:
        _, *others = hyperparameters
        return self.reference.build(lr, *others)

    def start(self, w: Any) -> Any:
        """The state of the optimizer before the first step."""
        # No hyperparameter enters the initial state of any reference.
        return self._transformation(jnp.ones(len(self.reference.grids)), jnp.float32(0)).init(w)

    def step(
        self, program: tuple[Any, Any], state: Any, w: Any, g: Any, factor: Any, step: Array
    ) -> tuple[Any, Any, Array]:
        """New weights and state, and whether the weights are finite."""
        schedule, hyperparameters = program
        lr = jnp.asarray(schedule)[step] * hyperparameters[0]
        updates, state = self._transformation(hyperparameters, lr).update(g, state, w)
        w, finite = moved(w, jax.tree.map(jnp.negative, updates), factor)
        return w, state, finite


def state_bytes_per_parameter(reference: Reference, params: Any) -> float:
    """Bytes of the optimizer's state for each weight, counters included.

    Args:
        reference: a row.
        params: weights, or their shapes as `jax.eval_shape` gives them.

    >>> round(state_bytes_per_parameter(REFERENCES["adamw"], jnp.zeros((100, 100))), 2)
    8.0
    """
    state = jax.eval_shape(ReferenceRule(reference).start, params)
    used = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
    return float(used / weights)
