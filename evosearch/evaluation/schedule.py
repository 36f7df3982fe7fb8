"""Learning-rate schedules: the value of `lr` at each training step, a factor in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

SHAPES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = MappingProxyType(
    {
        "constant": np.ones_like,
        "linear": lambda progress: 1.0 - progress,
        "cosine": lambda progress: 0.5 + 0.5 * np.cos(np.pi * progress),
    }
)
"""What follows the warm-up, as a function of progress from 0 to 1."""


@dataclass(frozen=True)
class Schedule:
    """A linear warm-up, then one of `SHAPES`.

    Attributes:
        kind: a name of `SHAPES`.
        warmup: the share of the steps that the warm-up takes, in [0, 1).
    """

    kind: str = "cosine"
    warmup: float = 0.1

    def values(self, steps: int) -> NDArray[np.float32]:
        """The value at each step, float32 (steps,); the first is above 0 and the peak is 1.

        >>> Schedule("linear", 0.5).values(4).tolist()
        [0.5, 1.0, 1.0, 0.5]
        """
        warm = round(self.warmup * steps)
        step = np.arange(steps)
        progress = (step - warm) / max(1, steps - warm)
        rising = (step + 1) / max(1, warm)
        return np.where(step < warm, rising, SHAPES[self.kind](progress.clip(0, 1))).astype(np.float32)
