"""A model of how good each setting on a grid is, from noisy scores of some of them.

A Gaussian process (scikit-learn's) over places in the grids, with a length of its own for each hyperparameter
and noise of a size that is fitted too. It says two things: what to expect of a setting that was tried, which
is less led by luck than the setting's own score, and where to try next, by Thompson sampling: draw functions
that agree with the scores and take the lowest point of each.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

Place = tuple[int, ...]
"""A setting, as places in the grids."""

POOL = 400
"""At most so many untried settings are looked at for the next round."""
REACH = 3
"""Steps in a grid that a round may go from settings that look good."""
ELITE = 5
"""How many settings look good."""
CAP = 0.6
"""Scores above this quantile count as it: how bad the bad ones are says nothing about the best."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Surrogate:
    """A fitted model.

    Attributes:
        expected: of each setting that was tried; lower is better, in units of its own.
        model: the Gaussian process.
    """

    expected: Mapping[Place, float]
    model: GaussianProcessRegressor

    @staticmethod
    def fit(scores: Mapping[Place, float]) -> Surrogate:
        """The model of these scores.

        Args:
            scores: of each setting; lower is better, not finite where training failed.
        """
        places = np.array(list(scores), np.float64)
        targets = _targets(np.array(list(scores.values()), np.float64))
        lengths = np.full(places.shape[1], 3.0)
        kernel = ConstantKernel(1.0, (0.05, 20.0)) * RBF(lengths, (1.0, 30.0)) + WhiteKernel(0.1, (1e-4, 2.0))
        model = GaussianProcessRegressor(kernel, random_state=0)
        with warnings.catch_warnings():
            # A length at its bound, as of a hyperparameter that does not matter, is no mistake.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(places, targets)
        return Surrogate(dict(zip(scores, model.predict(places).tolist(), strict=True)), model)

    def propose(self, sizes: Sequence[int], count: int, rng: random.Random) -> list[Place]:
        """Settings to try next, all different and none tried; fewer only if the grids hold no more.

        Args:
            sizes: of the grids.
            count: how many.
            rng: draws the functions.
        """
        if count == 0:
            return []
        pool = self._pool(sizes, rng)
        if len(pool) <= count:
            return pool
        draws = self.model.sample_y(
            np.array(pool, np.float64), n_samples=4 * count, random_state=rng.randrange(2**31)
        )
        chosen = dict.fromkeys(int(row) for row in np.argmin(draws, axis=0))
        # Where draws agree on too few, those that look best on average.
        chosen.update(dict.fromkeys(np.argsort(draws.mean(axis=1), kind="stable").tolist()))
        return [pool[row] for row in itertools.islice(chosen, count)]

    def _pool(self, sizes: Sequence[int], rng: random.Random) -> list[Place]:
        """Untried settings near those that look best, in the order of the grids; all, where they are few."""
        if math.prod(sizes) <= POOL:
            ranges = [range(size) for size in sizes]
            return [place for place in itertools.product(*ranges) if place not in self.expected]
        near: set[Place] = set()
        for centre in sorted(self.expected, key=self.expected.__getitem__)[:ELITE]:
            ranges = [
                range(max(0, at - REACH), min(size, at + REACH + 1))
                for at, size in zip(centre, sizes, strict=True)
            ]
            near.update(itertools.product(*ranges))
        pool = sorted(near - self.expected.keys())
        return pool if len(pool) <= POOL else sorted(rng.sample(pool, POOL))


def _targets(scores: Array) -> Array:
    """Scores on a scale on which a normal distribution is no bad guess: capped, logarithms, standardised."""
    finite = scores[np.isfinite(scores)]
    if len(finite) == 0:
        return np.zeros(len(scores))
    cap = float(np.quantile(finite, CAP))
    capped = np.where(np.isfinite(scores), np.minimum(scores, cap), cap)
    shifted = np.log(capped) if capped.min() > 0 else capped
    spread = shifted.std()
    return (shifted - shifted.mean()) / spread if spread > 0 else np.zeros(len(scores))
