"""What one look decides about the candidates that are open: promoted, worse, hopeless, or on to the next.

A baseline is shared by all candidates and a candidate is promoted only if it beats every baseline, so that
its p-value is the largest of them; that needs no further correction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evosearch.funnel.bounds import HOPE, boundary, chance, critical, hope
from evosearch.funnel.differences import Summary
from evosearch.funnel.rules import Better
from evosearch.study.sequential import Numbers

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Look:
    """Which candidates a look decides.

    Attributes:
        promoted: (..., candidates) better than every baseline.
        failed: failed on too many seeds.
        worse: not better by what is asked for, as surely as a promotion would have to be.
        hopeless: promotion has become unlikely.
    """

    promoted: Mask
    failed: Mask
    worse: Mask
    hopeless: Mask

    @property
    def over(self) -> Mask:
        """Decided in any way."""
        return self.promoted | self.failed | self.worse | self.hopeless


def decide(
    rule: Better, looks: tuple[int, ...], found: Summary, going: Mask, before: Mask, allowed: int
) -> Look:
    """What a look decides.

    Args:
        rule: what is asked for.
        looks: numbers of seeds; `found.seeds` is one of them.
        found: the differences from all baselines.
        going: (..., candidates) who is open and was given this look's seeds.
        before: (..., candidates) who was promoted at earlier looks.
        allowed: on how many seeds a candidate may fail.

    Returns:
        Masks that hold for none but those who are `going`.
    """
    failed = going & (found.failures > allowed)
    sound = going & ~failed
    promoted = sound & _promoted(rule, looks, found, sound, before)
    rest = sound & ~promoted
    low, _ = interval(rule, looks, found, going)
    worse = rest & (low > -rule.by).any(axis=-2)
    rest &= ~worse
    if found.seeds == looks[-1]:
        return Look(promoted, failed, worse, np.zeros_like(rest))
    level = _by_rank(rule, looks, looks[-1], before | promoted)
    hopes = hope(found.mean + rule.by, found.error, found.seeds, looks[-1], level[..., None, None])
    return Look(promoted, failed, worse, rest & (hopes.min(axis=-2) < HOPE))


def _promoted(rule: Better, looks: tuple[int, ...], found: Summary, going: Mask, before: Mask) -> Mask:
    """Step by step down: each promotion leaves more of the error to those who remain."""
    p = p_values(rule, found, going)
    promoted = before.copy()
    while True:
        new = going & ~promoted & (p <= _by_rank(rule, looks, found.seeds, promoted)[..., None])
        if not new.any():
            return promoted & ~before
        promoted |= new


def p_values(rule: Better, found: Summary, going: Mask) -> Numbers:
    """(..., candidates) one-sided p-values, against the baseline that is hardest to beat."""
    _, above = skews(found, going)
    excess = found.mean + rule.by
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(found.error > 0, excess / found.error, np.where(excess < -1e-12, -np.inf, np.inf))
    return np.asarray(chance(ratio, found.seeds, above).max(axis=-2), np.float64)


def _by_rank(rule: Better, looks: tuple[int, ...], seeds: int, promoted: Mask) -> Numbers:
    """(...) the level at a look for the next to be promoted."""
    candidates = promoted.shape[-1]
    ranks = np.minimum(promoted.sum(axis=-1) + 1, candidates)
    found, places = np.unique(ranks, return_inverse=True)
    levels = [level_at(looks, seeds, rule.share(int(rank), candidates)) for rank in found]
    return np.asarray(levels, np.float64)[places.reshape(ranks.shape)]


def level_at(looks: tuple[int, ...], seeds: int, error: float) -> float:
    """The level of the look after so many seeds.

    >>> round(level_at((8, 16), 16, 0.05), 4)
    0.0479
    """
    return boundary(looks, error)[looks.index(seeds)]


def skews(found: Summary, going: Mask) -> tuple[Numbers, Numbers]:
    """Skewness for bounds from below and from above: the less favourable of a candidate's own and the mean.

    A candidate whose bad seeds have not come yet looks better and less skewed than it is, both at once. How
    skewed the noise is depends on the task more than on the candidate, and many candidates show it.

    Args:
        found: the differences.
        going: (..., candidates) over whom the mean is taken.

    Returns:
        Two arrays (..., baselines, candidates), without the bias of small samples.
    """
    seeds, mask = found.seeds, going[..., None, :]
    whole = found.skew * np.sqrt(seeds * (seeds - 1)) / (seeds - 2)
    total = np.where(mask, whole, 0.0).sum(axis=-1, keepdims=True)
    mean = total / np.maximum(mask.sum(axis=-1, keepdims=True), 1)
    return np.minimum(whole, mean), np.maximum(whole, mean)


def interval(rule: Better, looks: tuple[int, ...], found: Summary, going: Mask) -> tuple[Numbers, Numbers]:
    """Bounds on the differences from below and above, at the boundary of a single candidate's share.

    Each bound holds with the confidence of the rule for all looks and candidates at once (Bonferroni),
    whenever a candidate was stopped and why; the two bounds together with twice the error. Of several
    baselines it holds for each one alone, and the largest upper bound for the one that is truly hardest.

    Returns:
        Two arrays (..., baselines, candidates).
    """
    level = level_at(looks, found.seeds, rule.error / found.mean.shape[-1])
    below, above = skews(found, going)
    low = found.mean + critical(level, found.seeds, -below) * found.error
    high = found.mean - critical(level, found.seeds, above) * found.error
    return low, high


def mean_ranks(metrics: Numbers) -> Numbers:
    """Mean rank of each candidate over tasks and seeds, 1 for the best; failed trainings are last.

    Args:
        metrics: (candidates, tasks, seeds).

    Returns:
        (candidates,) float64.

    >>> mean_ranks(np.array([[[1.0, 2.0]], [[2.0, 1.0]], [[3.0, float("nan")]]]))
    array([1.5, 1.5, 3. ])
    """
    known = np.where(np.isfinite(metrics), metrics, np.inf)
    return np.asarray(stats.rankdata(known, axis=0).mean(axis=(1, 2)), np.float64)
