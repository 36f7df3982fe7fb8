"""Levels of the looks, the correction for skewness, hope."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evosearch.funnel import usual_looks
from evosearch.funnel.bounds import boundary, chance, critical, hope

LOOKS = usual_looks(4, 64)


def test_usual_looks_have_one_between_each_and_its_double() -> None:
    assert usual_looks(4, 64) == (4, 6, 8, 12, 16, 24, 32, 48, 64)
    assert usual_looks(8, 8) == (8,)
    assert usual_looks(3, 7) == (3, 4, 6, 7)


def test_the_boundary_spends_the_cube_of_time() -> None:
    looks, error = (4, 8, 16), 0.05
    times = np.array(looks) / 16
    bounds = stats.norm.isf(boundary(looks, error))
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    for count in range(1, 4):
        joint = stats.multivariate_normal(cov=correlation[:count, :count], seed=0)
        assert 1 - joint.cdf(bounds[:count]) == pytest.approx(error * times[count - 1] ** 3, abs=1e-4)


def test_a_larger_error_has_larger_levels_at_every_look() -> None:
    """What keeps Holm's procedure valid over looks: who crosses at rank 1 crosses at all later ranks."""
    levels = np.array([boundary(LOOKS, 0.05 / candidates) for candidates in (200, 199, 50, 7, 2, 1)])
    assert (np.diff(levels, axis=0) > 0).all()


def test_one_look_has_the_whole_error() -> None:
    assert boundary((16,), 0.05) == pytest.approx((0.05,))


@settings(deadline=None)
@given(
    st.floats(-30, 30),
    st.integers(4, 64),
    st.floats(-2, 2),
)
def test_a_chance_is_never_below_that_of_the_t_test_nor_of_the_signs(
    ratio: float, seeds: int, skew: float
) -> None:
    found = chance(ratio, seeds, skew).item()
    assert found >= stats.t.cdf(ratio, seeds - 1)
    assert found >= 2.0**-seeds
    assert found <= 1


@settings(deadline=None)
@given(st.floats(1e-5, 0.4), st.integers(20, 64), st.floats(-1.5, 1.5))
def test_critical_is_the_inverse_of_chance(level: float, seeds: int, skew: float) -> None:
    ratio = critical(level, seeds, skew).item()
    assert ratio < 0.2
    assert chance(ratio, seeds, skew).item() == pytest.approx(level, rel=1e-6)


def test_rare_bad_seeds_cost_confidence_and_rare_good_ones_win_none() -> None:
    plain = stats.t.cdf(-3, 31)
    assert chance(-3.0, 32, 1.5).item() > 3 * plain
    assert chance(-3.0, 32, -1.5).item() == pytest.approx(plain)
    assert (
        critical(0.01, 32, 1.5).item()
        < critical(0.01, 32, 0.0).item()
        == pytest.approx(stats.t.ppf(0.01, 31))
    )


def test_no_spread_is_no_proof() -> None:
    assert chance(-math.inf, 4, 0.0).item() == 1 / 16
    assert chance(math.inf, 4, 0.0).item() == 1


def test_hope_is_the_chance_that_a_simulation_finds() -> None:
    rng = np.random.Generator(np.random.Philox(key=2))
    seeds, last, mean, spread, level = 16, 64, -0.01, 0.1, 0.01
    true = mean + spread / math.sqrt(seeds) * rng.standard_t(seeds - 1, size=40_000)
    later = true + spread / math.sqrt(last - seeds) * rng.normal(size=40_000)
    final = (seeds * mean + (last - seeds) * later) / last
    needed = stats.t.ppf(level, last - 1) * spread / math.sqrt(last)
    found = hope(mean, spread / math.sqrt(seeds), seeds, last, level)
    assert found.item() == pytest.approx((final < needed).mean(), abs=0.01)
    assert hope([-1.0, 0.0, 1.0], [0.0, 0.0, 0.0], 4, 8, 0.01).tolist() == [1, 0, 0]
