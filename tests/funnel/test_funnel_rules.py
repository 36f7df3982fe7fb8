"""Promotion rules: what may be asked for, how the error is shared out, what a failure costs."""

from __future__ import annotations

import math

import pytest

from evosearch.errors import StudyError
from evosearch.funnel import CONTROLS, Best, Better, Failures


@pytest.mark.parametrize("by", [-0.01, 1.0, math.inf, math.nan])
def test_a_gain_is_a_share(by: float) -> None:
    with pytest.raises(
        StudyError, match=r"expected a gain from 0 to below 1, such as 0\.01 for 1 %, found by ="
    ):
        Better(by=by)


@pytest.mark.parametrize("confidence", [0.5, 1.0, 95.0, math.nan])
def test_a_confidence_lies_above_one_half(confidence: float) -> None:
    with pytest.raises(
        StudyError, match=r"expected a confidence above 0\.5 and below 1, such as 0\.95, found"
    ):
        Better(confidence=confidence)


def test_an_unknown_control_names_the_nearest() -> None:
    with pytest.raises(
        StudyError,
        match=r"expected control to be one of family, discovery, found 'famly'; did you mean 'family'",
    ):
        Better(control="famly")


@pytest.mark.parametrize("control", CONTROLS)
def test_a_share_rises_with_the_rank_and_never_exceeds_the_error(control: str) -> None:
    rule = Better(control=control)
    for candidates in (1, 2, 50, 200):
        shares = [rule.share(rank, candidates) for rank in range(1, candidates + 1)]
        assert shares == sorted(shares)
        assert 0 < shares[0] <= rule.error / candidates + 1e-15
        assert shares[-1] <= rule.error + 1e-15


def test_holm_leaves_the_whole_error_to_the_last_and_yekutieli_less() -> None:
    assert Better().share(50, 50) == pytest.approx(0.05)
    harmonic = sum(1 / k for k in range(1, 51))
    assert Better(control="discovery").share(50, 50) == pytest.approx(0.05 / harmonic)


def test_best_keeps_a_geometric_series() -> None:
    assert [Best(1).kept(64, look, 6) for look in range(1, 7)] == [32, 16, 8, 4, 2, 1]
    assert [Best(3).kept(10, look, 4) for look in range(1, 5)] == [8, 6, 5, 3]
    assert Best(9).kept(4, 1, 3) == 4
    with pytest.raises(StudyError, match="expected to keep at least 1 candidate, found count = 0"):
        Best(0)


def test_failures_are_a_count_and_a_share_of_the_last_look() -> None:
    assert [Failures(3, 0.1).allowed(seeds) for seeds in (4, 10, 20, 30, 64)] == [0, 1, 2, 3, 3]
    with pytest.raises(
        StudyError, match="expected at least 0 failures and a share from 0 to below 1, found -1"
    ):
        Failures(most=-1)
    with pytest.raises(StudyError, match="expected the loss of a failure to be 0 or more, found nan"):
        Failures(loss=math.nan)
