"""Scores whose truth is known: how good candidates are, how noisy, how alike, and how often they fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from evosearch.errors import StudyError, nearest
from evosearch.study.sequential import Numbers

Draw = Callable[[np.random.Generator, tuple[int, ...]], Numbers]
CLUSTER = 10
"""Candidates that are near-copies of each other, where any are."""


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    return rng.normal(size=shape)


def _heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """Student's t with 3 degrees of freedom."""
    return np.asarray(rng.standard_t(3, size=shape) / math.sqrt(3))


def _lognormal(sigma: float) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
        values = rng.lognormal(-(sigma**2) / 2, sigma, shape)
        return np.asarray((values - 1) / math.sqrt(math.expm1(sigma**2)))

    return draw


def _coarse(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    """Few values, as the errors on a small validation set have."""
    return np.asarray(rng.integers(-1, 2, size=shape) * math.sqrt(1.5))


NOISES: dict[str, Draw] = {
    "normal": _normal,
    "heavy": _heavy,
    "skewed": _lognormal(0.25),
    "very skewed": _lognormal(0.5),
    "coarse": _coarse,
}
"""All with mean 0 and standard deviation 1. `skewed` has a skewness of 0.8, `very skewed` of 1.75: now and
then a seed is much worse."""


@dataclass(frozen=True)
class Truth:
    """How good candidates are, and how noisy. The baseline's metric is 1.

    Attributes:
        effects: of each candidate, as a share; negative is better.
        noise: a key of `NOISES`.
        spread: standard deviation of a training, as a share.
        shared: standard deviation of what all trainings of a seed have in common.
        quiet: whether the baseline has no noise of its own; then candidates are independent.
        alike: correlation of the noise of candidates within clusters of `CLUSTER`.
        fails: chance that a candidate's training fails.

    Raises:
        StudyError: values that are no truth.

    Example:
        Truth((-0.04,) * 5 + (0.0,) * 45)
    """

    effects: tuple[float, ...]
    noise: str = "normal"
    spread: float = 0.05
    shared: float = 0.05
    quiet: bool = False
    alike: float = 0.0
    fails: float = 0.0

    def __post_init__(self) -> None:
        if not self.effects or not all(math.isfinite(e) and e > -1 for e in self.effects):
            raise StudyError(f"expected the effects of candidates, each above -1, found {self.effects}")
        if self.noise not in NOISES:
            raise StudyError(
                f"expected noise to be one of {', '.join(NOISES)}, found {self.noise!r}"
                f"{nearest(self.noise, NOISES)}"
            )
        if not (0 <= self.alike <= 1 and 0 <= self.fails < 1):
            raise StudyError(
                f"expected a correlation and a chance of failing from 0 to 1, "
                f"found {self.alike:g} and {self.fails:g}"
            )


_MIXED = (-0.04,) * 5 + (0.0,) * 15 + (0.01, 0.02, 0.04, 0.08, 0.16) * 6

TRUTHS: dict[str, Truth] = {
    "one equal": Truth((0.0,)),
    "all equal": Truth((0.0,) * 50),
    "all equal, quiet baseline": Truth((0.0,) * 50, quiet=True),
    "all equal, near-copies": Truth((0.0,) * 50, alike=0.95),
    "all equal, heavy tails": Truth((0.0,) * 50, noise="heavy"),
    "all equal, coarse": Truth((0.0,) * 50, noise="coarse"),
    "all equal, skewed": Truth((0.0,) * 50, noise="skewed"),
    "all equal, skewed, quiet baseline": Truth((0.0,) * 50, noise="skewed", quiet=True),
    "all equal, very skewed, quiet baseline": Truth((0.0,) * 50, noise="very skewed", quiet=True),
    "all equal, failing": Truth((0.0,) * 50, fails=0.02),
    "200 equal": Truth((0.0,) * 200),
    "5 of 50 better": Truth((-0.04,) * 5 + (0.0,) * 45),
    "funnel": Truth(_MIXED),
    "funnel, near-copies": Truth(_MIXED, alike=0.95),
    "funnel, heavy tails": Truth(_MIXED, noise="heavy"),
    "funnel, failing": Truth(_MIXED, fails=0.01),
    "funnel of 200": Truth((-0.045,) * 5 + (0.0,) * 75 + (0.01, 0.02, 0.04, 0.08) * 30),
    "finalists": Truth((-0.035,) * 4 + (0.0,)),
    "one better": Truth((-0.03,)),
}
"""`funnel` is what a stage meets: few are better, some equal, most worse."""


def drawn(truth: Truth, rng: np.random.Generator, funnels: int, seeds: int) -> tuple[Numbers, Numbers]:
    """Scores of many funnels.

    Args:
        truth: behind them.
        rng: random numbers.
        funnels: how many.
        seeds: of each.

    Returns:
        Metrics (funnels, candidates, 1 task, seeds) and (funnels, 1 baseline, 1 task, seeds); NaN where a
        training failed.
    """
    draw, count = NOISES[truth.noise], len(truth.effects)
    seed = truth.shared * rng.normal(size=(funnels, 1, seeds))
    own = draw(rng, (funnels, count, seeds))
    if truth.alike:
        common = draw(rng, (funnels, -(-count // CLUSTER), seeds)).repeat(CLUSTER, axis=1)[:, :count]
        own = math.sqrt(truth.alike) * common + math.sqrt(1 - truth.alike) * own
    baseline = 1 + seed + (0.0 if truth.quiet else truth.spread) * draw(rng, (funnels, 1, seeds))
    metrics = (1 + np.asarray(truth.effects)[:, None]) * (1 + seed + truth.spread * own)
    if truth.fails:
        metrics = np.where(rng.random(metrics.shape) < truth.fails, math.nan, metrics)
    return metrics[:, :, None, :], baseline[:, :, None, :]
