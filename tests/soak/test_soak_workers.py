"""Workers that die, hang and lose their nodes, for real: the short form of `scripts/soak`'s part."""

import sys
from pathlib import Path

import pytest

from evosearch.soak.cluster import WORKERS
from evosearch.soak.workers import check_workers


@pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in /proc")
def test_no_search_notices_what_happens_to_its_workers(tmp_path: Path) -> None:
    report = check_workers(tmp_path, count=1, seed=1)
    figures = dict(report.figures)
    assert report.broken == ()
    assert (figures["kills"], figures["nodes that left"], figures["drivers killed"]) == (1, 1, 1)
    assert int(figures["processes killed"]) > WORKERS  # also of those that started
    assert figures["faulty candidates"] == 3
    assert figures["attempts at them"] == 2 + 2 + 1  # one retry, and none of the one that hangs
    assert int(figures["of these bred again"]) >= 3
    assert figures["rows compared"] == 2 * 200
