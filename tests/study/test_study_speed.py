"""Steps to a target, with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evosearch.study.speed import speed, steps_to

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = [10, 20, 30, 40]


@pytest.mark.parametrize(
    ("curve", "target", "steps"),
    [
        ([4, 3, 2, 1], 2.0, 30),
        ([4, 3, 2, 1], 2.5, 25),
        ([4, 3, 2, 1], 4.0, 10),
        ([4, 3, 2, 1], 9.0, 10),
        ([4, 3, 2, 1], 0.9, math.inf),
        ([4, 1, 3, 1], 2.0, 10 + 10 * 2 / 3),  # the first time, though it is lost again
        ([math.inf, math.inf, 2, 1], 2.0, 30),
        ([math.inf] * 4, 2.0, math.inf),
    ],
)
def test_steps_to_a_target(curve: list[float], target: float, steps: float) -> None:
    assert steps_to(curve, STEPS, target) == pytest.approx(steps)


def seeds_of(curve: list[float], noise: float = 0.0, count: int = 6) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(key=1))
    return np.array(curve) + noise * rng.normal(size=(count, 1))


def test_twice_as_fast_is_a_speed_up_of_two() -> None:
    found = speed(seeds_of([2, 1, 0.5, 0.2]), seeds_of([4, 3, 2, 1]), STEPS)
    assert found is not None
    assert (found.target, found.steps, found.speed_up, found.interval, found.pairs) == (1, 20, 2, (2, 2), 6)


def test_against_oneself_there_is_no_speed_up() -> None:
    curves = seeds_of([4, 3, 2, 1], noise=0.1)
    found = speed(curves, curves, STEPS)
    assert found is not None
    assert (found.steps, found.speed_up, found.interval) == (40, 1, (1, 1))


def test_who_never_gets_there() -> None:
    found = speed(seeds_of([4, 3, 2, 1.5]), seeds_of([4, 3, 2, 1]), STEPS)
    assert found is not None
    assert (found.steps, found.speed_up, found.interval) == (None, 0, (0, 0))


def test_who_gets_there_only_with_luck_has_an_interval_down_to_zero() -> None:
    ours = np.array([[4, 3, 2, end] for end in (0.2, 0.2, 0.2, 1.2, 1.2, 1.2)])
    found = speed(ours, seeds_of([4, 3, 2, 0.8]), STEPS)
    assert found is not None
    assert found.interval is not None
    assert found.interval[0] == 0 < found.speed_up < found.interval[1] + 0.1


def test_failed_seeds_are_left_out_on_both_sides() -> None:
    ours, base = seeds_of([2, 1, 0.5, 0.2]), seeds_of([4, 3, 2, 1])
    ours[0, 2:] = math.inf
    base[1] = math.nan
    found = speed(ours, base, STEPS)
    assert found is not None
    assert (found.pairs, found.speed_up) == (4, 2)
    assert speed(ours[:2], base[:2], STEPS) is None
