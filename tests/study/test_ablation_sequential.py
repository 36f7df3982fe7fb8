"""The sequential test: its levels computed in another way, and its errors on scores whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evosearch.errors import StudyError
from evosearch.study.sequential import (
    HOPE,
    Decision,
    Design,
    Verdict,
    doubling,
    hope,
    judge,
    levels,
    scaled,
)

DESIGN = Design(margin=0.05, error=0.05, looks=doubling(4, 128))
Numbers = NDArray[np.float64]


def run(design: Design, variant: Numbers, original: Numbers) -> Verdict:
    """A whole test on scores that are there already."""
    for look in design.looks:
        verdict = judge(design, variant[:look], original[:look])
        if verdict.decision is not Decision.OPEN:
            return verdict
    raise AssertionError("a test must end at its last look")


def simulated(rng: np.random.Generator, loss: float, kind: str) -> tuple[Numbers, Numbers]:
    """Paired scores of 128 seeds whose means differ by this share of the original's."""
    if kind == "normal":
        seed = 1 + 0.2 * rng.normal(size=128)
        ours, theirs = (0.1 * rng.normal(size=128) for _ in range(2))
        return seed + loss + ours, seed + theirs
    seed = rng.lognormal(0, 0.2, 128)  # skewed, and with a spread that grows with the score
    ours, theirs = (rng.lognormal(-0.01125, 0.15, 128) for _ in range(2))
    return (1 + loss) * seed * ours, seed * theirs


def many(loss: float, kind: str, tests: int, design: Design = DESIGN) -> list[Verdict]:
    rng = np.random.Generator(np.random.Philox(key=7))
    return [run(design, *simulated(rng, loss, kind)) for _ in range(tests)]


def share(verdicts: list[Verdict], *decisions: Decision) -> float:
    return sum(verdict.decision in decisions for verdict in verdicts) / len(verdicts)


# ---------------------------------------------------------------- errors on known truth


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_a_loss_of_the_margin_is_accepted_no_more_often_than_stated(kind: str) -> None:
    tests = 2000
    noise = 2 * math.sqrt(0.05 * 0.95 / tests)
    assert share(many(0.05, kind, tests), Decision.ACCEPTED) <= 0.05 + noise


def test_the_same_at_another_error_and_with_other_looks() -> None:
    design = Design(0.05, 0.2, (16, 64, 128))
    tests = 1000
    accepted = share(many(0.05, "normal", tests, design), Decision.ACCEPTED)
    assert accepted <= 0.2 + 2 * math.sqrt(0.2 * 0.8 / tests)
    assert accepted >= 0.1  # what may be spent is spent, but for what futility takes


def test_larger_losses_are_hardly_ever_accepted_and_end_soon() -> None:
    verdicts = many(0.3, "normal", 500)
    assert share(verdicts, Decision.ACCEPTED) == 0
    assert share(verdicts, Decision.WORSE, Decision.HOPELESS) == 1
    assert np.mean([verdict.seeds for verdict in verdicts]) < 6


def test_equal_programs_are_accepted_with_fewer_seeds_than_the_most() -> None:
    verdicts = many(0.0, "normal", 500)
    assert share(verdicts, Decision.ACCEPTED) > 0.9
    # 64 of 128 seeds when this was written; better programs take fewer.
    assert 55 < np.mean([verdict.seeds for verdict in verdicts]) < 75
    better = many(-0.05, "normal", 500)
    assert share(better, Decision.ACCEPTED) > 0.98
    assert np.mean([verdict.seeds for verdict in better]) < 30


def test_the_bound_covers_the_truth() -> None:
    verdicts = many(0.0, "normal", 500)
    assert sum(verdict.upper < 0 for verdict in verdicts) / 500 <= 0.05
    assert all(verdict.lower <= verdict.loss <= verdict.upper for verdict in verdicts)


# ---------------------------------------------------------------- levels


def test_levels_spend_what_pocock_spends() -> None:
    looks, error = (4, 8, 16), 0.05
    times = np.array(looks) / looks[-1]
    bounds = stats.norm.isf(levels(looks, error))
    # The joint distribution of the three looks, computed by SciPy in another way.
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))
    for count in range(1, 4):
        joint = stats.multivariate_normal(cov=correlation[:count, :count], seed=0)
        crossed = 1 - joint.cdf(bounds[:count])
        assert crossed == pytest.approx(error * math.log(1 + (math.e - 1) * times[count - 1]), abs=1e-4)


def test_one_look_has_the_whole_error() -> None:
    assert levels((16,), 0.05) == pytest.approx((0.05,))


@pytest.mark.parametrize("error", [0.2, 0.05, 0.001, 1e-6])
def test_levels_lie_below_the_error_and_above_its_even_share(error: float) -> None:
    found = levels(doubling(4, 128), error)
    assert all(0 < level < error for level in found)
    assert sum(found) > error  # equal shares would give away that looks agree with each other
    assert found[-1] > error / len(found)


def test_looks_double() -> None:
    assert doubling(4, 64) == (4, 8, 16, 32, 64)
    assert doubling(4, 24) == (4, 8, 16, 24)
    assert doubling(8, 8) == doubling(20, 8) == (8,)


# ---------------------------------------------------------------- single verdicts


def test_a_verdict_is_a_t_test_of_the_excess() -> None:
    rng = np.random.Generator(np.random.Philox(key=1))
    original = 1 + 0.1 * rng.normal(size=8)
    variant = original + 0.02 * rng.normal(size=8)
    verdict = judge(DESIGN, variant, original)
    level = levels(DESIGN.looks, 0.05)[1]
    bound = stats.ttest_1samp(variant - 1.05 * original, 0).confidence_interval(1 - 2 * level)
    assert verdict.upper == pytest.approx(0.05 + bound.high / original.mean())
    assert verdict.lower == pytest.approx(0.05 + bound.low / original.mean())
    assert verdict.loss == pytest.approx((variant - original).mean() / original.mean())
    assert (verdict.decision, verdict.seeds) == (Decision.ACCEPTED, 8)


def test_equal_scores_are_accepted_at_once_and_much_worse_ones_refused() -> None:
    ones = np.ones(4)
    assert judge(DESIGN, ones, ones) == Verdict(
        Decision.ACCEPTED, 4, pytest.approx(0), pytest.approx(0), pytest.approx(0)
    )
    assert judge(DESIGN, 2 * ones, ones).decision is Decision.WORSE


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_single_divergence_decides(bad: float) -> None:
    verdict = judge(DESIGN, [0.1, 0.1, bad, 0.1], np.ones(4))
    assert verdict == Verdict(Decision.DIVERGED, 4, math.inf, math.inf, math.inf)


def test_what_can_not_be_settled_ends_before_the_last_look_or_there() -> None:
    theirs = np.ones(128)
    noise = np.resize([0.5, -0.5], 128)
    assert judge(DESIGN, 1.3 + noise[:8], theirs[:8]).decision is Decision.OPEN
    assert judge(DESIGN, 1.15 + noise[:64], theirs[:64]).decision is Decision.HOPELESS
    assert judge(DESIGN, 1.05 + noise, theirs).decision is Decision.UNSETTLED


def test_hope_is_the_chance_that_a_simulation_finds() -> None:
    """Means of the seeds to come, drawn for many true means that the first seeds allow."""
    rng = np.random.Generator(np.random.Philox(key=2))
    seeds, last, mean, spread = 64, 128, -0.01, 0.1
    true = mean + spread / math.sqrt(seeds) * rng.standard_t(seeds - 1, size=40_000)
    later = true + spread / math.sqrt(last - seeds) * rng.normal(size=40_000)
    final = (seeds * mean + (last - seeds) * later) / last
    needed = -stats.norm.isf(DESIGN.levels[-1]) * spread / math.sqrt(last)
    assert hope(DESIGN, seeds, mean, spread) == pytest.approx((final < needed).mean(), abs=0.01)
    assert hope(DESIGN, 128, -0.1, 0.1) == hope(DESIGN, 8, -0.1, 0.0) == 1
    assert hope(DESIGN, 64, 0.1, 0.1) < HOPE


def test_a_number_of_seeds_that_no_look_has() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        judge(DESIGN, np.ones(5), np.ones(5))


def test_tasks_are_averaged_after_scaling() -> None:
    assert scaled([[2, 4], [1, 3]], [2, 1]).tolist() == [1, 2.5]
    assert scaled([[2, math.inf], [1, 3]], [2, 1]).tolist() == [1, math.inf]


# ---------------------------------------------------------------- what is no design


@pytest.mark.parametrize("margin", [0.0, -1.0, math.inf, math.nan])
def test_a_margin_must_be_positive(margin: float) -> None:
    with pytest.raises(StudyError, match=r"expected a margin above 0, such as 0\.05 for 5 %, found"):
        Design(margin, 0.05, (4, 8))


@pytest.mark.parametrize("error", [0.0, 0.5, -0.1, math.nan])
def test_an_error_must_be_a_small_chance(error: float) -> None:
    with pytest.raises(StudyError, match=r"expected a chance of error between 0 and 0\.5, found"):
        Design(0.05, error, (4, 8))


@pytest.mark.parametrize("looks", [(), (8, 4), (4, 4), (2, 4)])
def test_looks_must_rise(looks: tuple[int, ...]) -> None:
    with pytest.raises(StudyError, match="expected looks at rising numbers of seeds, at least 3, found"):
        Design(0.05, 0.05, looks)
