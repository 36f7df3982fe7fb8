"""What a running study shows."""

from __future__ import annotations

import itertools

import pytest

from evosearch.cli import study_view
from evosearch.study.trials import Progress


def progress(done: int, total: int, trained: int) -> Progress:
    return Progress("tuning", done, total, trained, 0, 1)


def test_the_time_that_is_left_counts_anew_with_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    now = itertools.count(0, 10)  # each look at the clock is ten seconds after the one before
    monkeypatch.setattr(study_view.time, "monotonic", lambda: float(next(now)))
    left = study_view._Left()  # 0 s
    assert left.text(progress(0, 100, 0)) == "?"
    assert left.text(progress(50, 100, 10)) == "50 s"  # at 10 s: a training a second, and 50 of them
    assert left.text(progress(0, 20, 0)) == "?"  # another stage, which begins at 20 s
    assert left.text(progress(1, 20, 1)) == "3 min 10 s"  # at 30 s: ten seconds a training, and 19 of them
