"""The watch over a long search, in a short form; `scripts/soak hours --long` has the long one."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from evosearch.soak.hours import Sample, check_hours, judge

FLAT = [Sample(60.0 * i, 1000 * i, 10.0 * i, 50.0 * i, 500.0, 900.0, 40, 80, 30, 60) for i in range(41)]
EVERY_TENTH = np.arange(40_001) // 10


def test_a_search_of_seconds_is_watched(tmp_path: Path) -> None:
    report = check_hours(tmp_path, 0.1, 0, backend="in_process", every=0.25)
    assert [name for name, _ in report.figures[:3]] == ["minutes", "programs", "looks"]
    samples = json.loads((tmp_path / "samples.json").read_text())
    assert len(samples) == dict(report.figures)["looks"] > 3
    assert samples[-1]["driver"] > 50
    assert samples[-1]["threads"] > 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_flat_is_not_blamed() -> None:
    assert judge(FLAT, EVERY_TENTH, 100, 1.0).broken == ()


def test_what_grows_or_slows_down_is() -> None:
    def broken(**changes) -> str:
        samples = [replace(s, **{k: f(i) for k, f in changes.items()}) for i, s in enumerate(FLAT)]
        (sentence,) = judge(samples, EVERY_TENTH, 100, 1.0).broken
        return sentence

    assert "memory of driver grows" in broken(driver=lambda i: 500.0 + 5 * i)
    assert "memory of workers grows" in broken(workers=lambda i: 900.0 + 5 * i)
    assert "worker files grow" in broken(worker_files=lambda i: 80 + i)
    assert "threads grow" in broken(threads=lambda i: 30 + i)
    assert "driver's processor time a program, us grows" in broken(driver_time=lambda i: 0.3 * i**2)
    assert "workers' processor time an evaluation, ms grows" in broken(worker_time=lambda i: 2.0 * i**2)


def test_fsync_has_its_limit() -> None:
    (sentence,) = judge(FLAT, EVERY_TENTH, 100, 60.0).broken
    assert sentence == "fsync takes 2.5% of the search, expected under 2 %"
