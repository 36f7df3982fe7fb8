"""What one look decides: Holm's steps, several baselines, worse, hopeless, failures, skewness, ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evosearch.funnel import Better
from evosearch.funnel.bounds import boundary
from evosearch.funnel.decide import Look, decide, interval, mean_ranks, p_values, skews
from evosearch.funnel.differences import Summary

LOOKS = (8, 16, 32)


def summary_of(
    mean: NDArray[np.float64] | list[list[float]],
    error: float = 0.01,
    seeds: int = 32,
    skew: float = 0.0,
    failed: list[int] | None = None,
) -> Summary:
    means = np.asarray(mean, np.float64)
    count = means.shape[-1]
    return Summary(
        means,
        np.full(means.shape, error),
        np.full(means.shape, skew),
        np.array(failed or [0] * count),
        seeds,
    )


def decided(found: Summary, rule: Better | None = None, before: list[bool] | None = None) -> Look:
    count = found.mean.shape[-1]
    was = np.array(before or [False] * count)
    return decide(rule or Better(), LOOKS, found, ~was, was, 1)


@pytest.mark.parametrize("control", ["family", "discovery"])
@settings(deadline=None)
@given(key=st.integers(0, 10_000))
def test_promotions_are_those_of_the_step_down_definition(control: str, key: int) -> None:
    rng = np.random.Generator(np.random.Philox(key=key))
    found = summary_of(rng.uniform(-0.05, 0.01, (1, 8)))
    rule, expected = Better(control=control), set()
    p = p_values(rule, found, np.ones(8, bool))
    for rank, k in enumerate(np.argsort(p), start=1):
        if p[k] > boundary(LOOKS, rule.share(rank, 8))[-1]:
            break
        expected.add(int(k))
    assert set(np.flatnonzero(decided(found, rule).promoted).tolist()) == expected


def test_who_was_promoted_earlier_leaves_more_error_to_the_others() -> None:
    found = summary_of([[-0.0212, -0.0212, -0.0212]])
    p = p_values(Better(), found, np.ones(3, bool))[0]
    assert boundary(LOOKS, 0.05 / 3)[-1] < p < boundary(LOOKS, 0.05 / 2)[-1]
    assert not decided(found).promoted.any()
    assert decided(found, before=[True, False, False]).promoted.tolist() == [False, True, True]


def test_every_baseline_has_to_be_beaten() -> None:
    found = summary_of([[-0.2, -0.2, 0.0], [-0.2, 0.0, -0.2]])
    assert decided(found).promoted.tolist() == [True, False, False]


def test_a_gain_that_is_asked_for_is_what_is_tested() -> None:
    found = summary_of([[-0.2, -0.06]])
    assert decided(found).promoted.tolist() == [True, True]
    asked = decided(found, Better(by=0.05))
    assert asked.promoted.tolist() == [True, False]
    assert decided(found, Better(by=0.15)).worse.tolist() == [False, True]


@settings(deadline=None)
@given(key=st.integers(0, 10_000), skew=st.floats(-1.5, 1.5), by=st.sampled_from([0.0, 0.01]))
def test_an_interval_that_lies_below_is_a_promotion_and_one_that_lies_above_is_worse(
    key: int, skew: float, by: float
) -> None:
    rng = np.random.Generator(np.random.Philox(key=key))
    found, rule = summary_of(rng.uniform(-0.08, 0.08, (2, 5)), skew=skew), Better(by=by)
    low, high = interval(rule, LOOKS, found, np.ones(5, bool))
    look = decided(found, rule)
    assert ((low <= found.mean) & (found.mean <= high)).all()
    assert look.promoted[(high < -by - 1e-9).all(axis=0)].all()
    assert (look.worse == (low > -by).any(axis=0)).all()
    assert not (look.promoted & look.worse).any()


def test_who_has_little_hope_ends_and_who_has_some_goes_on() -> None:
    look = decided(summary_of([[0.01, -0.01, 0.002]], seeds=8))
    assert look.hopeless.tolist() == [True, False, True]
    assert look.over.tolist() == look.hopeless.tolist()
    other = decided(summary_of([[-0.03, -0.01], [0.02, -0.01]], seeds=8))
    assert other.hopeless.tolist() == [True, False]  # against one baseline is enough
    last = decided(summary_of([[0.001, -0.001]], seeds=32))
    assert not last.over.any()


def test_failing_too_often_comes_before_everything_else() -> None:
    look = decided(summary_of([[-0.2, -0.2, 0.2]], failed=[2, 1, 2]))
    assert look.failed.tolist() == [True, False, True]
    assert look.promoted.tolist() == [False, True, False]
    assert not look.worse.any()


def test_who_is_out_is_not_decided_again() -> None:
    found = summary_of([[math.nan, -0.2]])
    look = decide(Better(), LOOKS, found, np.array([False, True]), np.array([False, False]), 1)
    assert look.promoted.tolist() == look.over.tolist() == [False, True]


def test_equal_differences_on_few_seeds_are_no_proof() -> None:
    looks = (4, 5)
    found = summary_of([[-0.1, -0.1]], error=0.0, seeds=5)
    none = np.zeros(2, bool)
    assert not decide(Better(), looks, found, ~none, none, 0).promoted.any()  # 2 ** -5 > 0.025
    more = summary_of([[-0.1, 0.0]], error=0.0, seeds=32)
    assert decided(more).promoted.tolist() == [True, False]


def test_the_less_favourable_skewness_counts() -> None:
    found = Summary(np.zeros((1, 3)), np.ones((1, 3)), np.array([[0.0, 1.0, 2.0]]), np.zeros(3, np.int64), 32)
    unbiased = math.sqrt(32 * 31) / 30
    below, above = skews(found, np.array([True, True, True]))
    assert above[0].tolist() == pytest.approx([unbiased, unbiased, 2 * unbiased])
    assert below[0].tolist() == pytest.approx([0, unbiased, unbiased])
    _, alone = skews(found, np.array([True, False, False]))
    assert alone[0, 0] == 0


def test_many_funnels_at_once_are_decided_as_one_by_one() -> None:
    rng = np.random.Generator(np.random.Philox(key=9))
    means, before = rng.uniform(-0.05, 0.02, (20, 2, 6)), rng.random((20, 6)) < 0.2
    for seeds in (8, 32):
        look = decide(Better(), LOOKS, summary_of(means, seeds=seeds), ~before, before, 1)
        for k in range(20):
            one = decide(Better(), LOOKS, summary_of(means[k], seeds=seeds), ~before[k], before[k], 1)
            assert one.promoted.tolist() == look.promoted[k].tolist()
            assert one.over.tolist() == look.over[k].tolist()


def test_ranks_are_means_over_tasks_and_seeds() -> None:
    metrics = np.array([[[1.0, 2.0], [5.0, 5.0]], [[2.0, 1.0], [4.0, math.nan]], [[3.0, 3.0], [6.0, 4.0]]])
    assert mean_ranks(metrics).tolist() == pytest.approx([(1 + 2 + 2 + 2) / 4, (2 + 1 + 1 + 3) / 4, 2.5])
