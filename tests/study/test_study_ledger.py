"""The ledger: what is in it stays in it, whatever happens to the process or the file."""

from __future__ import annotations

import os
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest

from evosearch.errors import RunError, StudyError
from evosearch.evaluation import Status
from evosearch.study.ledger import Ledger, Measured

GOOD = Measured(Status.OK, 2.125, 200, 0.015625, (3.5, 2.125))
BAD = Measured(Status.DIVERGED, inf, 7, 0.5, (3.5, inf))


def filled(folder: Path) -> Path:
    with Ledger(folder) as ledger:
        ledger.add("good", GOOD)
        ledger.add("bad", BAD)
        return ledger.path


def test_what_is_added_is_found_again(tmp_path: Path) -> None:
    filled(tmp_path / "a" / "b")
    with Ledger(tmp_path / "a" / "b") as ledger:
        assert len(ledger) == 2
        assert (ledger.get("good"), ledger.get("bad"), ledger.get("new")) == (GOOD, BAD, None)
        ledger.add("new", GOOD)
        assert ledger.get("new") == GOOD
    with Ledger(tmp_path / "a" / "b") as ledger:
        assert len(ledger) == 3


@pytest.mark.parametrize("left", [1, 10, 50])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, left: int) -> None:
    path = filled(tmp_path)
    whole = path.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    path.write_bytes(whole[: last + left])
    with Ledger(tmp_path) as ledger:
        assert (len(ledger), ledger.get("good"), ledger.get("bad")) == (1, GOOD, None)
        ledger.add("bad", BAD)
    assert path.read_bytes() == whole


def test_a_file_with_one_torn_line_alone(tmp_path: Path) -> None:
    filled(tmp_path).write_bytes(b'{"key": "go')
    with Ledger(tmp_path) as ledger:
        assert len(ledger) == 0


LINE = '{"key":"k","status":"OK","metric":1.0,"steps":2,"seconds":0.5,"curve":[]}'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is not JSON"),
        ("", "it is not JSON"),
        ("[]", "expected an object with key, status, metric, steps, seconds, curve"),
        (LINE.replace('"steps":2,', ""), "expected an object with"),
        (LINE.replace('"OK"', '"FINE"'), "a value is wrong"),
        (LINE.replace('"OK"', '"TIMED_OUT"'), "status TIMED_OUT"),
        (LINE.replace('"OK"', '"DIVERGED"'), "status DIVERGED with metric 1.0"),
        (LINE.replace("1.0", "null"), "status OK with metric None"),
        (LINE.replace("1.0", '"1"'), "expected a number or null, found '1'"),
        (LINE.replace(":2,", ":2.5,"), "expected a whole number, found 2.5"),
        (LINE.replace('"k"', "3"), "key 3"),
        (LINE.replace("[]", "[true]"), "expected a number or null, found True"),
    ],
)
def test_any_other_damage_is_told_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    path = filled(tmp_path)
    first, second, _ = path.read_text().split("\n")
    path.write_text(f"{first}\n{line}\n{second}\n")
    for _ in range(2):  # a second time too: the lock was let go of, and nothing was changed
        with pytest.raises(StudyError, match=rf"ledger\.jsonl:2 is damaged: .*{why}"):
            Ledger(tmp_path)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    imports = "from pathlib import Path\nfrom evosearch.study.ledger import Ledger\n"
    script = f"{imports}Ledger(Path({str(tmp_path)!r}))"
    with Ledger(tmp_path):
        with pytest.raises(RunError, match=rf"in use by process {os.getpid()} on"):
            Ledger(tmp_path)
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "in use by process" in other.stderr
    with Ledger(tmp_path):
        pass


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="it is not a folder"):
        Ledger(tmp_path / "file")
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(StudyError, match="can't read"):
        Ledger(tmp_path)
