"""Learning-rate schedules."""

import math

import numpy as np
import pytest

from evosearch.evaluation.schedule import SHAPES, Schedule


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant", 0.0), [1, 1, 1, 1]),
        (Schedule("constant", 0.5), [0.5, 1, 1, 1]),
        (Schedule("linear", 0.0), [1, 0.75, 0.5, 0.25]),
        (Schedule("linear", 0.5), [0.5, 1, 1, 0.5]),
        (Schedule("cosine", 0.0), [1, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4]),
        (Schedule("cosine", 0.75), [1 / 3, 2 / 3, 1, 1]),
    ],
)
def test_known_values(schedule: Schedule, expected: list[float]) -> None:
    np.testing.assert_allclose(schedule.values(4), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("warmup", [0.0, 0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 200])
def test_every_kind_rises_to_one_and_falls_but_not_to_zero(kind: str, warmup: float, steps: int) -> None:
    values = Schedule(kind, warmup).values(steps)
    assert values.shape == (steps,)
    assert values.dtype == np.float32
    assert values.max() == 1
    assert values.min() > 0
    peak = int(values.argmax())
    assert (np.diff(values[: peak + 1]) > 0).all()
    assert (np.diff(values[peak:]) <= 0).all()


def test_the_warmup_takes_its_share_of_the_steps() -> None:
    values = Schedule("cosine", 0.1).values(200)
    np.testing.assert_allclose(values[:20], np.arange(1, 21) / 20, rtol=1e-6)
    assert values[20] == 1  # the peak is held for a step
    assert values[21] < 1


def test_a_warmup_of_less_than_a_step_is_none() -> None:
    assert Schedule("linear", 0.1).values(4).tolist() == [1, 0.75, 0.5, 0.25]
