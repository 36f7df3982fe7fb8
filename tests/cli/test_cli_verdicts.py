"""What the comparison at the end says in words must be what its numbers say."""

from __future__ import annotations

from dataclasses import replace

from evosearch.cli.search import settings_line, verdicts
from evosearch.search.report import Standing

BEST = Standing("best program", 9, {}, (1.0,), 2.0, 2.1, 0.01, None, None, 0)
OTHER = Standing("adamw, tuned", 9, {}, (1.0,), 2.2, 2.2, 0.01, -0.1, (-0.12, -0.08), 0)


def test_better_on_both() -> None:
    assert verdicts([BEST, OTHER]) == [
        "Against adamw, tuned: better on the search's own seeds; on fresh seeds better."
    ]


def test_an_interval_over_zero_is_no_difference() -> None:
    (line,) = verdicts([BEST, replace(OTHER, difference=0.0, interval=(-0.1, 0.1))])
    assert line.endswith("on fresh seeds no different within the interval.")


def test_worse_is_said() -> None:
    (line,) = verdicts([BEST, replace(OTHER, own=1.9, difference=0.1, interval=(0.05, 0.15))])
    assert line == "Against adamw, tuned: not better on the search's own seeds; on fresh seeds worse."


def test_failures_are_not_hidden() -> None:
    first, second = verdicts([replace(BEST, failed=2), OTHER])
    assert first == "The best program failed on 2 of the fresh seeds: it is not robust."
    assert second.endswith("on those fresh seeds on which both train better.")


def test_too_few_seeds_for_an_interval() -> None:
    (line,) = verdicts([BEST, replace(OTHER, difference=None, interval=None)])
    assert line == "Against adamw, tuned: better on the search's own seeds."


def test_settings_are_told_as_people_write_them() -> None:
    tuned = replace(OTHER, hyperparameters={"lr": 0.05, "decay": 0.01, "one_minus_b1": 0.1})
    assert settings_line(tuned) == "adamw, tuned: lr 0.05, decay 0.01, b1 0.9"
