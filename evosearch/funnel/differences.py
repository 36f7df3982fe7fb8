"""Paired scores as relative differences: seed by seed, averaged over tasks, failures included.

All functions work on any number of leading axes, so that a thousand simulated funnels cost one call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evosearch.study.sequential import Numbers


@dataclass(frozen=True)
class Summary:
    """Differences of many candidates from one or several baselines.

    Attributes:
        mean: (..., baselines, candidates) relative difference; negative where the candidate is better.
        error: its standard error, likewise.
        skew: sample skewness of the seeds' differences, likewise; 0 where they do not differ.
        failures: (..., candidates) int, seeds on which a candidate failed.
        seeds: pairs.
    """

    mean: Numbers
    error: Numbers
    skew: Numbers
    failures: NDArray[np.int64]
    seeds: int


def differences(candidates: ArrayLike, baseline: ArrayLike, failure_loss: float) -> Numbers:
    """Relative differences whose mean over seeds is the mean over tasks of `mean / baseline's mean - 1`.

    The difference of a seed is the candidate's metric less its ratio of means times the baseline's, over the
    baseline's mean: the linear part of a ratio of means. Its spread is that of the ratio, whether or not the
    candidate gains as much on one task as on another.

    Args:
        candidates: (..., candidates, tasks, seeds) metrics; not finite where a training failed.
        baseline: (..., tasks, seeds) metrics; finite, with means above 0.
        failure_loss: the least loss that a failed training counts as; see `Failures`.

    Returns:
        (..., candidates, seeds) float64, finite.

    >>> differences([[[0.9, 1.8]]], [[1.0, 2.0]], 0.25).round(12)
    array([[-0.1, -0.1]])
    """
    theirs = np.asarray(baseline, np.float64)[..., None, :, :]
    base = theirs.mean(axis=-1, keepdims=True)
    ours = _with_losses(np.asarray(candidates, np.float64), theirs, base, failure_loss)
    ratio = ours.mean(axis=-1, keepdims=True) / base
    return np.asarray(((ours - ratio * theirs) / base + ratio - 1).mean(axis=-2))


def _with_losses(ours: Numbers, theirs: Numbers, base: Numbers, failure_loss: float) -> Numbers:
    """Failed trainings as the worst of their task."""
    failed = ~np.isfinite(ours)
    if not failed.any():
        return ours
    losses = np.where(failed, -math.inf, (np.where(failed, 0.0, ours) - theirs) / base)
    worst = np.maximum(losses.max(axis=-1, keepdims=True), failure_loss)
    return np.where(failed, theirs + worst * base, ours)


def summary(candidates: ArrayLike, baselines: ArrayLike, failure_loss: float) -> Summary:
    """Means, standard errors and skewness of the differences from each baseline.

    Args:
        candidates: (..., candidates, tasks, seeds) metrics.
        baselines: (..., baselines, tasks, seeds) metrics of the same seeds.
        failure_loss: see `differences`.
    """
    ours, theirs = np.asarray(candidates, np.float64), np.asarray(baselines, np.float64)
    seeds = ours.shape[-1]
    rows = [_moments(differences(ours, theirs[..., b, :, :], failure_loss)) for b in range(theirs.shape[-3])]
    mean, error, skew = (np.stack(columns, axis=-2) for columns in zip(*rows, strict=True))
    return Summary(mean, error, skew, failures(ours), seeds)


def failures(candidates: ArrayLike) -> NDArray[np.int64]:
    """Seeds on which a candidate failed on any task.

    >>> failures([[[1.0, float("nan"), 1.0], [1.0, float("inf"), 1.0]]])
    array([1])
    """
    failed = ~np.isfinite(np.asarray(candidates, np.float64)).all(axis=-2)
    return np.asarray(failed.sum(axis=-1), np.int64)


def _moments(values: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    seeds = values.shape[-1]
    mean = values.mean(axis=-1)
    around = values - mean[..., None]
    squares = (around**2).mean(axis=-1)
    # Equal differences differ in the last digit after so many operations.
    squares = np.where(np.sqrt(squares) <= 1e-12 * (1 + np.abs(mean)), 0.0, squares)
    safe = np.where(squares == 0, 1.0, squares)
    skew = np.where(squares == 0, 0.0, (around**3).mean(axis=-1) / safe**1.5)
    return mean, np.sqrt(squares / (seeds - 1)), skew
