"""Means, intervals and differences with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from evosearch.study.statistics import Mean, bootstrap, mean_of, paired

RNG = np.random.Generator(np.random.Philox(key=0))


def test_a_mean_and_its_interval() -> None:
    values = RNG.normal(size=9)
    found = mean_of(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(values.mean())
    assert found.error == pytest.approx(values.std(ddof=1) / 3)
    assert found.interval == pytest.approx(tuple(expected))
    assert (found.count, found.failed) == (9, 0)


def test_values_that_are_not_finite_are_counted_and_left_out() -> None:
    found = mean_of([1.0, math.inf, 3.0, math.nan])
    assert (found.mean, found.count, found.failed) == (2.0, 2, 2)
    assert mean_of([5.0, math.inf]).mean == 5.0
    one, none = mean_of([5.0]), mean_of([math.inf])
    assert (one.interval, none.interval, none.mean) == (None, None, math.inf)
    assert math.isnan(one.error)
    assert mean_of([2.0, 2.0]) == Mean(2.0, 0.0, (2.0, 2.0), 2, 0)


def test_a_paired_difference() -> None:
    a, b = RNG.normal(size=12), RNG.normal(size=12)
    found = paired(a, b)
    assert found is not None
    assert found.difference == pytest.approx((a - b).mean())
    assert found.interval == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval(0.95)))
    assert found.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    a[3], b[7] = math.inf, math.nan
    some = paired(a, b)
    assert some is not None
    both = [i for i in range(12) if i not in (3, 7)]
    assert (some.pairs, some.difference) == (10, pytest.approx((a - b)[both].mean()))
    assert paired([1.0, math.inf], [2.0, 3.0]) is None


def test_against_oneself_there_is_exactly_no_difference() -> None:
    values = RNG.normal(size=5)
    found = paired(values, values)
    assert found is not None
    assert (found.difference, found.interval, found.effect) == (0.0, (0.0, 0.0), None)


def test_a_bootstrap_interval() -> None:
    values = RNG.normal(size=200)
    low, high = bootstrap([values], lambda x: float(x.mean()), seed=0) or (0, 0)
    expected = mean_of(values).interval
    assert expected is not None
    assert (low, high) == pytest.approx(expected, abs=0.03)
    assert bootstrap([values], lambda x: float(x.mean()), seed=0) == (low, high)
    assert bootstrap([values], lambda x: float(x.mean()), seed=1) != (low, high)
    assert bootstrap([[1.0]], lambda x: float(x.mean()), seed=0) is None


def test_seeds_stay_paired_when_resampled() -> None:
    a = RNG.normal(size=(10, 3))
    found = bootstrap([a, a + 1], lambda x, y: float((y - x).mean()), seed=0)
    assert found == pytest.approx((1.0, 1.0))
