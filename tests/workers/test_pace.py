"""How many jobs make a message."""

import pytest

from evosearch.evaluation import Outcome, Status
from evosearch.workers.pace import LARGEST_BATCH, Pace


def took(seconds: float, count: int = 1) -> list[Outcome]:
    return [Outcome(Status.OK, seconds=seconds)] * count


def test_one_until_something_is_known() -> None:
    assert Pace().batch(1000, 2) == 1


@pytest.mark.parametrize(
    ("seconds", "batch"), [(0.0, LARGEST_BATCH), (1e-4, LARGEST_BATCH), (0.01, 25), (0.04, 6), (3.0, 1)]
)
def test_a_batch_takes_about_the_same_time_whatever_a_job_takes(seconds: float, batch: int) -> None:
    pace = Pace()
    pace.observe(took(seconds))
    assert pace.batch(1000, 2) == batch


def test_what_waits_is_shared() -> None:
    pace = Pace()
    pace.observe(took(0.01))
    assert [pace.batch(waiting, 2) for waiting in (1, 4, 5, 16, 17, 1000)] == [1, 1, 2, 4, 5, 25]


def test_it_follows_a_change() -> None:
    pace = Pace()
    pace.observe(took(0.001))
    for _ in range(100):
        pace.observe(took(0.04, 5))
    assert pace.batch(1000, 2) == 6


def test_nothing_is_queued_behind_a_long_job() -> None:
    pace = Pace()
    assert pace.ahead == 1
    pace.observe(took(0.1))
    assert pace.ahead == 2
    pace.observe(took(10.0, 100))
    assert pace.ahead == 1
    assert pace.batch(1000, 2) == 1


def test_what_makes_a_message_if_enough_waits() -> None:
    assert (Pace().wanted, Pace(together=64).wanted) == (1, 64)
    for seconds, wanted in ((1e-4, LARGEST_BATCH), (0.02, 12), (60.0, 1)):
        pace = Pace()
        pace.observe(took(seconds))
        assert pace.wanted == wanted == pace.batch(10_000, 2)
