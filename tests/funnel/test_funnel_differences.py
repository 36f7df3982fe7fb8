"""Paired scores as relative differences: units, tasks, failures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evosearch.funnel.differences import differences, failures, summary


def scores(key: int, *shape: int) -> NDArray[np.float64]:
    return np.random.Generator(np.random.Philox(key=key)).uniform(0.5, 1.5, shape)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_the_mean_is_that_of_the_tasks_relative_differences_in_any_unit(key: int, unit: float) -> None:
    ours, theirs = scores(key, 3, 2, 8), scores(key + 5000, 2, 8)
    expected = (ours.mean(axis=2) / theirs.mean(axis=1) - 1).mean(axis=1)
    assert differences(ours, theirs, 0.25).mean(axis=1) == pytest.approx(expected)
    other = np.array([unit, 1.0])[:, None]
    assert differences(ours * other, theirs * other, 0.25) == pytest.approx(differences(ours, theirs, 0.25))


def test_what_is_a_share_of_the_baseline_on_each_seed_has_no_spread() -> None:
    theirs = scores(1, 2, 8)
    found = summary([0.9 * theirs, theirs], [theirs], 0.25)
    assert found.mean[0].tolist() == pytest.approx([-0.1, 0.0])
    assert found.error[0].tolist() == found.skew[0].tolist() == [0, 0]
    assert found.mean[0, 1] == 0  # exactly: a program against itself shows nothing


def test_the_error_is_that_of_a_ratio_of_means() -> None:
    """Against the spread of the ratio over many draws, with gains that differ between tasks."""
    rng = np.random.Generator(np.random.Philox(key=3))
    theirs = 1 + 0.1 * rng.normal(size=(4000, 2, 16))
    ours = np.array([0.5, 1.5])[:, None] * (1 + 0.1 * rng.normal(size=(4000, 2, 16)))
    found = summary(ours[:, None], theirs[:, None], 0.25)
    assert found.error.mean() == pytest.approx(found.mean.std(), rel=0.05)


def test_moments_are_those_of_scipy() -> None:
    ours, theirs = scores(4, 5, 1, 12), scores(5, 1, 12)
    values, found = differences(ours, theirs, 0.25), summary(ours, theirs[None], 0.25)
    assert found.error[0] == pytest.approx(stats.sem(values, axis=1))
    assert found.skew[0] == pytest.approx(stats.skew(values, axis=1))
    assert found.seeds == 12


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_failed_training_counts_as_the_worst_of_its_task(bad: float) -> None:
    theirs, ours = np.ones((1, 4)), np.array([[[0.8, 0.9, 1.6, bad]]])
    assert differences(ours, theirs, 0.25)[0].tolist() == pytest.approx([-0.2, -0.1, 0.6, 0.6])
    assert differences(ours, theirs, 2.0)[0].tolist() == pytest.approx([-0.2, -0.1, 0.6, 2.0])
    assert differences(np.full((1, 1, 4), bad), theirs, 0.25)[0].tolist() == pytest.approx([0.25] * 4)
    assert failures(ours).tolist() == [1]


def test_a_seed_that_fails_on_two_tasks_is_one_failure() -> None:
    assert failures([[[1, math.nan, 1], [1, math.inf, math.nan]]]).tolist() == [2]
    assert failures([[[math.nan] * 3], [[1.0] * 3]]).tolist() == [3, 0]


def test_leading_axes_are_funnels() -> None:
    ours, theirs = scores(6, 7, 3, 2, 8), scores(7, 7, 2, 2, 8)
    whole = summary(ours, theirs, 0.25)
    assert whole.mean.shape == (7, 2, 3)
    one = summary(ours[4], theirs[4], 0.25)
    assert whole.mean[4] == pytest.approx(one.mean)
    assert whole.error[4] == pytest.approx(one.error)
