"""Funnels whose truth is known: how often they err, what they find, and what they cost.

    simulate(TRUTHS["funnel"], Better(), usual_looks(4, 64), funnels=1000, seed=0)

The decisions are those of `evosearch.funnel.decide`, as a stage takes them. Beside it runs a funnel that
gives all candidates the same number of seeds, with the same test and correction, looked at once; its number
of seeds is the least that finds as much.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from evosearch.errors import StudyError
from evosearch.funnel.decide import Mask, decide, interval
from evosearch.funnel.differences import summary
from evosearch.funnel.plan import FEWEST
from evosearch.funnel.rules import Better, Failures
from evosearch.funnel.truths import Truth, drawn
from evosearch.study.sequential import Numbers
from evosearch.study.statistics import Interval

_CELLS = 4_000_000
"""Scores that are held at once."""


@dataclass(frozen=True)
class Ran:
    """What many funnels of one kind did.

    Attributes:
        promoted: (funnels, candidates).
        seeds: (funnels, candidates) int, seeds given.
        covered: (funnels, candidates) whether the interval at the end holds the truth.
    """

    promoted: Mask
    seeds: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    covered: Mask

    @property
    def evaluations(self) -> float:
        """Mean number of evaluations of a funnel, the baseline's included."""
        return float((self.seeds.sum(axis=1) + self.seeds.max(axis=1)).mean())

    def power(self, better: Mask) -> float:
        """The mean share of the better candidates that was promoted; NaN where none is better."""
        return float(self.promoted[:, better].mean()) if better.any() else float("nan")

    def erred(self, better: Mask) -> Mask:
        """(funnels,) whether anyone was promoted who is not better."""
        return np.asarray(self.promoted[:, ~better].any(axis=1))

    def false_share(self, better: Mask) -> float:
        """The mean share of false promotions among the promoted."""
        false = self.promoted[:, ~better].sum(axis=1)
        return float((false / np.maximum(self.promoted.sum(axis=1), 1)).mean())


@dataclass(frozen=True)
class Simulated:
    """What a simulation found.

    Attributes:
        funnels: how many.
        erred: share of funnels with a false promotion.
        erred_interval: of that share, binomial (Clopper and Pearson) at 95 %.
        false_share: mean share of false promotions among the promoted.
        covered: share of funnels in which every interval holds its truth.
        power: mean share of the better candidates that was promoted.
        evaluations: mean number, the baseline's included.
        equal_seeds: seeds for everybody with which a funnel of equal seeds has that power; None where nobody
            is better, or where even the most seeds do not reach it.
        equal_power: its power.
        equal_evaluations: what it costs.
    """

    funnels: int
    erred: float
    erred_interval: Interval
    false_share: float
    covered: float
    power: float
    evaluations: float
    equal_seeds: int | None
    equal_power: float | None
    equal_evaluations: int | None

    @property
    def factor(self) -> float | None:
        """How many times the evaluations an equal allocation takes for the same power."""
        return None if self.equal_evaluations is None else self.equal_evaluations / self.evaluations


def simulate(
    truth: Truth,
    rule: Better,
    looks: tuple[int, ...],
    funnels: int,
    seed: int,
    failures: Failures | None = None,
) -> Simulated:
    """What many funnels of one truth do.

    Args:
        truth: how good candidates are, and how noisy.
        rule: of promotion.
        looks: numbers of seeds.
        funnels: how many.
        seed: of all random numbers.
        failures: rule of failed trainings; by default `Failures()`.

    Returns:
        Shares, means, and the equal allocation that finds as much.

    Raises:
        StudyError: no funnel.
    """
    if funnels < 1:
        raise StudyError(f"expected at least 1 funnel to simulate, found {funnels}")
    costs = failures or Failures()
    ran = _joined(
        [_sequential(truth, rule, looks, costs, *scores) for scores in _chunks(truth, looks, funnels, seed)]
    )
    better = np.asarray(truth.effects) < -rule.by
    erred = ran.erred(better)
    count = stats.binomtest(int(erred.sum()), funnels).proportion_ci(0.95)
    power = ran.power(better)
    equal = _equal(truth, rule, looks, funnels, seed, costs, power) if better.any() else None
    return Simulated(
        funnels,
        float(erred.mean()),
        (float(count.low), float(count.high)),
        ran.false_share(better),
        float(ran.covered.all(axis=1).mean()),
        power,
        ran.evaluations,
        *((None, None, None) if equal is None else equal),
    )


def _chunks(
    truth: Truth, looks: tuple[int, ...], funnels: int, seed: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """The scores of all funnels, some funnels at a time: the same ones on each call."""
    rng = np.random.Generator(np.random.Philox(key=seed))
    at_once = max(1, _CELLS // (len(truth.effects) * looks[-1]))
    for first in range(0, funnels, at_once):
        yield drawn(truth, rng, min(at_once, funnels - first), looks[-1])


def _sequential(
    truth: Truth,
    rule: Better,
    looks: tuple[int, ...],
    costs: Failures,
    candidates: Numbers,
    baselines: Numbers,
) -> Ran:
    """Funnels look by look, as `evosearch.funnel.allocation` goes through one."""
    shape = candidates.shape[:2]
    going, promoted, covered = np.ones(shape, bool), np.zeros(shape, bool), np.zeros(shape, bool)
    seeds = np.zeros(shape, np.int64)
    effects, allowed = np.asarray(truth.effects), costs.allowed(looks[-1])
    for look in looks:
        found = summary(candidates[..., :look], baselines[..., :look], costs.loss)
        low, high = interval(rule, looks, found, going)
        holds = ((low <= effects) & (effects <= high)).all(axis=-2)
        seeds, covered = np.where(going, look, seeds), np.where(going, holds, covered)
        said = decide(rule, looks, found, going, promoted, allowed)
        promoted, going = promoted | said.promoted, going & ~said.over
    return Ran(promoted, seeds, covered)


def _joined(parts: list[Ran]) -> Ran:
    return Ran(
        np.concatenate([part.promoted for part in parts]),
        np.concatenate([part.seeds for part in parts]),
        np.concatenate([part.covered for part in parts]),
    )


def _equal(
    truth: Truth,
    rule: Better,
    looks: tuple[int, ...],
    funnels: int,
    seed: int,
    costs: Failures,
    power: float,
) -> tuple[int, float, int] | None:
    """The least number of seeds for all that has this power on the same scores: seeds, power, evaluations.

    One look at so many seeds is a funnel, too. Power rises with the seeds, but for noise.
    """
    better = np.asarray(truth.effects) < -rule.by

    def power_at(count: int) -> float:
        chunks = _chunks(truth, looks, funnels, seed)
        one = (count,)
        parts = [_sequential(truth, rule, one, costs, c[..., :count], b[..., :count]) for c, b in chunks]
        return _joined(parts).power(better)

    choices = range(FEWEST, looks[-1] + 1)
    place = bisect.bisect_left(choices, power, key=power_at)
    if place == len(choices):
        return None
    count = choices[place]
    return count, power_at(count), count * (len(truth.effects) + 1)
