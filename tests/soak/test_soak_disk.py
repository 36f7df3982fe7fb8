"""Disks that fail, in a short form; `scripts/soak disk --long` has the long one."""

from pathlib import Path

import pytest

from evosearch.soak.disk import check_disk, mountable


def test_a_full_disk_and_damaged_files(tmp_path: Path) -> None:
    report = check_disk(tmp_path, 25, 0, short=True)
    assert report.broken == ()
    figures = dict(report.figures)
    assert figures["damages that ended in an error of one line"] > 2
    assert figures["damages that ended in the undisturbed history"] > 2
    if not mountable():
        pytest.skip("this system lets nobody mount in a name space: the full disk was not tried")
    assert figures["scenes on a small disk (full, read-only, forbidden)"] == 2
