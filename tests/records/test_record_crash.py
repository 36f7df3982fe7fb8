"""Whatever happens: resume has every synced outcome, and the run ends as if nothing had happened."""

import contextlib
import errno
import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from record_faults import CountingOs, Crash, CrashingOs, FailingOs, PowerLossOs
from record_script import ROWS_PER_PART, Search, content, finished

from evosearch.errors import RunError
from evosearch.records import RunReader, RunWriter

COUNT = 16


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    finished(path, COUNT)
    return content(path)


def start(path: Path, search: Search) -> None:
    """Create the run or go on with it, as the command line does with --resume."""
    begin = RunWriter.resume if (path / "config.yaml").exists() else create
    with begin(path, rows_per_part=ROWS_PER_PART) as writer:
        search(writer, COUNT)


def create(path: Path, rows_per_part: int) -> RunWriter:
    return RunWriter.create(path, "name: script\n", rows_per_part=rows_per_part)


def number_of_operations(tmp_path: Path) -> int:
    counting = CountingOs()
    with pytest.MonkeyPatch.context() as patch:
        counting.install(patch)
        start(tmp_path / "counted", Search())
    assert set(counting.names) == CountingOs.WATCHED - {"unlink"}
    return counting.count


def crash(path: Path, search: Search, shim: CrashingOs) -> None:
    with pytest.MonkeyPatch.context() as patch:
        shim.install(patch)
        with pytest.raises(Crash):
            start(path, search)


def check_resumed(path: Path, before: Search, expected: object) -> None:
    again = Search()
    start(path, again)
    assert content(path) == expected
    assert not before.synced & set(again.evaluated), "a synced outcome was lost"
    assert not list(path.rglob("*.tmp"))


def test_a_crash_at_any_operation(tmp_path, expected):
    for at in range(number_of_operations(tmp_path)):
        path, search = tmp_path / f"{at}", Search()
        crash(path, search, CrashingOs(at))
        check_resumed(path, search, expected)


def test_a_power_loss_at_any_operation(tmp_path, expected):
    for at in range(number_of_operations(tmp_path)):
        path, search = tmp_path / f"{at}", Search()
        shim = PowerLossOs(at, path, random.Random(at))
        crash(path, search, shim)
        shim.strike()
        check_resumed(path, search, expected)


def test_a_full_disk_at_any_operation(tmp_path, expected):
    for at in range(number_of_operations(tmp_path)):
        path, search = tmp_path / f"{at}", Search()
        with pytest.MonkeyPatch.context() as patch:
            FailingOs(at).install(patch)
            with pytest.raises(
                RunError, match=r"can't write .*disk is full.*Nothing .* synced before is lost"
            ):
                start(path, search)
        check_resumed(path, search, expected)


@pytest.mark.parametrize("seed", range(12))
def test_crashes_one_after_the_other_also_while_mending(tmp_path, expected, seed):
    rng, path = random.Random(seed), tmp_path / "run"
    synced: set[int] = set()
    for _ in range(12):
        search = Search()
        shim = PowerLossOs(rng.randrange(50), path, rng)
        with pytest.MonkeyPatch.context() as patch:
            shim.install(patch)
            with contextlib.suppress(Crash):
                start(path, search)
                break
        shim.strike()
        assert not synced & set(search.evaluated)
        synced |= search.synced
    last = Search()
    last.synced = synced
    check_resumed(path, last, expected)


def test_outcomes_are_those_that_were_synced_and_not_those_of_another_attempt(tmp_path):
    path, search = tmp_path / "run", Search(attempt=0)
    crash(path, search, CrashingOs(40))
    again = Search(attempt=1)
    start(path, again)
    first = {id_ for id_, outcome in content(path)[3].items() if outcome is not None and outcome.seconds < 1}
    assert search.synced <= first
    assert set(again.evaluated) == {id_ for id_, o in content(path)[3].items() if o is not None} - first
    assert again.evaluated


def test_resume_removes_evaluations_whose_rows_were_not_written(tmp_path):
    path = tmp_path / "run"
    finished(path, 20)
    (path / "candidates/part-000000010.parquet").unlink()
    for leftover in ("candidates/part-000000010.parquet.tmp", "best.py.tmp"):
        (path / leftover).write_text("half")
    with RunWriter.resume(path) as writer:
        assert writer.durable_rows == 10
        assert writer.outcomes().take(12) is None
    assert [file.name for file in (path / "evaluations").iterdir()] == ["part-000000000.parquet"]
    assert not list(path.rglob("*.tmp"))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_permission_denied(tmp_path, code):
    """Root may write everywhere, so the refusal comes from the stand-in."""
    with pytest.MonkeyPatch.context() as patch:
        FailingOs(0, code).install(patch)
        with pytest.raises(RunError, match=r"can't write .*run: permission is refused .*allow this user"):
            start(tmp_path / "run", Search())


def test_a_size_limit_of_the_system(tmp_path, expected):
    """A real failing write: the kernel refuses to let the journal grow."""
    path, search = tmp_path / "run", Search()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with RunWriter.create(path, "name: script\n", rows_per_part=1000) as writer:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
        try:
            with pytest.raises(RunError, match=r"can't write .*journal: the disk is full \(or a size limit"):
                search(writer, COUNT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(RunError, match="the disk is full"):
            writer.sync()
        with pytest.raises(RunError, match="the disk is full"):
            writer.flush()
    assert search.synced
    check_resumed(path, search, expected)


CHILD = """
import sys, pathlib, time
sys.path.insert(0, {here!r})
from record_script import *
def told(line):
    print(line, flush=True)
    time.sleep(0.002)
path = pathlib.Path(sys.argv[1])
with (RunWriter.resume if path.exists() else lambda *a, **k: RunWriter.create(path, "name: script\\n", **k))(
    path, rows_per_part=ROWS_PER_PART
) as writer:
    Search(told=told)(writer, 2000)
"""


def test_kill_9(tmp_path):
    path, rng = tmp_path / "run", random.Random(1)
    script = CHILD.format(here=str(Path(__file__).parent))
    newest = -2
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        assert child.stdout is not None
        for _ in range(rng.randint(20, 90)):
            if line := child.stdout.readline():
                newest = max(newest, int(line.split()[1]))
        child.send_signal(signal.SIGKILL)
        newest = max([newest, *(int(line.split()[1]) for line in child.stdout if line.endswith("\n"))])
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
    before, again = Search(), Search()
    before.synced = set(range(-1, newest + 1))
    with RunWriter.resume(path, rows_per_part=500) as writer:
        assert 0 < writer.durable_rows < 2000
        again(writer, 2000)
    assert not before.synced & set(again.evaluated)
    finished(tmp_path / "undisturbed", 2000, rows_per_part=500)
    assert content(path) == content(tmp_path / "undisturbed")
    assert RunReader.open(path).rows == 2000
