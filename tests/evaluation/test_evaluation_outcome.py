"""What became of a candidate."""

from math import inf, nan

import pytest

from evosearch.evaluation import Outcome, Status, best_factor


@pytest.mark.parametrize(
    ("metrics", "best"),
    [
        (((3.0,),), 0),
        (((3.0, 2.0, 2.5),), 1),
        (((3.0, 2.0), (1.0, 2.5)), 0),  # means, not the best single seed
        (((2.0, 1.0), (2.0, inf)), 0),
        (((inf, 5.0, inf),), 1),
        (((nan, 5.0), (1.0, 5.0)), 1),
        (((5.0, nan),), 0),
        (((2.0, 2.0),), 0),  # the first of equals
        (((inf, inf),), 0),
        (((nan, nan),), 0),
        (((nan, inf),), 0),
    ],
)
def test_the_best_factor_has_the_best_mean(metrics: tuple[tuple[float, ...], ...], best: int) -> None:
    assert best_factor(metrics) == best


def test_rows_of_unequal_length_are_a_bug() -> None:
    with pytest.raises(ValueError, match="shorter"):
        best_factor(((1.0, 2.0), (1.0,)))


def test_only_ok_is_ok() -> None:
    assert [status for status in Status if Outcome(status).ok] == [Status.OK]


def test_every_status_is_a_sentence_of_its_own() -> None:
    assert len({status.value for status in Status}) == len(Status)
    assert all(" " in status.value for status in Status)
