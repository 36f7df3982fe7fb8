"""What a proxy task is: a record of pure functions over pytrees of arrays.

Every function that the training loop calls takes the arrays it reads as an argument, so nothing is baked into
compiled code, and takes its randomness as a key, so a training is a function of (task, key).
"""

import enum
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import jax
import numpy as np
from numpy.typing import NDArray

Key: TypeAlias = jax.Array
"""A typed JAX key, from `jax.random.key`, `fold_in` or `split`."""
Scalar: TypeAlias = jax.Array
"""A float32 array of shape ()."""
Params: TypeAlias = Any
"""A nested dict whose leaves are float32 arrays: all that the optimizer may change, and nothing else."""
Data: TypeAlias = Any
"""A pytree of the arrays of one split; of one structure in all four splits."""
Batches: TypeAlias = Any
"""A pytree whose leaves have a leading axis of training steps."""
Batch: TypeAlias = Any
"""One slice of `Batches`: the same pytree without the leading axis."""


class Split(enum.Enum):
    """Four sets of examples that share nothing; the value says what each is for."""

    TRAIN = "gradients"
    SEARCH = "fitness during a search"
    SELECTION = "choosing among the programs that a search found"
    REPORT = "figures that are published"


@dataclass(frozen=True)
class TaskData:
    """The arrays of a task.

    Attributes:
        splits: for each split a pytree of numpy arrays, of one structure. Arrays that all splits need, such
            as the weights of a frozen tower, are the same object in each.
        identity: for each split int64 (k,), the numbers of the raw items (characters of the text, images of
            the file) that can reach a loss or a metric through it. Two splits share no number.
        chance: the metric of a model that gives every answer the same probability; same unit as the metric.
    """

    splits: Mapping[Split, Data]
    identity: Mapping[Split, NDArray[np.int64]]
    chance: float

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of all arrays, with their names, types and shapes."""
        digest = hashlib.sha256()
        for split in Split:
            for path, leaf in jax.tree_util.tree_leaves_with_path(self.splits[split]):
                array = np.ascontiguousarray(leaf)
                name = jax.tree_util.keystr(path)
                digest.update(f"{split.name}{name}:{array.dtype.str}{array.shape};".encode())
                digest.update(array.tobytes())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Task:
    """A small training problem.

    `init`, `draw`, `loss` and `evaluate` are pure, can be jitted, vmapped and called inside `fori_loop`, and
    do no work on the host. Pass the arrays to the jitted function; a closure would compile them in.

    Attributes:
        name: the row of the table it was built from.
        family: what kind of task it is, such as "image" or "language".
        metric: in words what `evaluate` returns. Never negative, and lower is better.
        steps: training steps for which the task was tuned; n below.
        batch_size: examples in a training step.
        data: returns the arrays, read at the first call and kept.
        init: (key, TRAIN arrays) -> weights.
        draw: (key, TRAIN arrays, n) -> everything random about n steps, as leaves of shape (n, ...):
            minibatch indices as int32, keys where a step needs noise. n is static. Called once a training.
        loss: (weights, TRAIN arrays, one slice of draw's result) -> the loss to differentiate.
        evaluate: (weights, arrays of any split) -> the metric, of all the examples of that split.
    """

    name: str
    family: str
    metric: str
    steps: int
    batch_size: int
    data: Callable[[], TaskData]
    init: Callable[[Key, Data], Params]
    draw: Callable[[Key, Data, int], Batches]
    loss: Callable[[Params, Data, Batch], Scalar]
    evaluate: Callable[[Params, Data], Scalar]

    @property
    def chance(self) -> float:
        """The metric of a model that guesses."""
        return self.data().chance
