"""A pool that starts Ray itself leaves no process behind, however its driver ends, and keeps to itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from worker_fakes import Fake, fake_plan

from evosearch.errors import ConfigError
from evosearch.workers.ray_pool import RayPool

HERE = Path(__file__).parent


class Driver:
    """A process with a pool of its own; see `own_ray.py`."""

    def __init__(self, folder: Path, ending: str) -> None:
        self.ending = ending
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "own_ray.py"), str(folder), ending],
            env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        self.told: dict[str, Any] = json.loads(line)
        if self.ending.startswith("SIG"):
            time.sleep(0.5)  # until it waits for the job that hangs
            number = signal.Signals[self.ending]
            # Ctrl-C reaches the whole foreground group, other signals the driver alone.
            (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)
        self.out, self.err = self.process.communicate(timeout=120)

    def left(self) -> list[str]:
        """Which of its processes still run."""
        return [
            name
            for pid, name in self.told["processes"].items()
            if psutil.pid_exists(int(pid))
            # Where Ray itself is killed, its agents try for a minute or so to tell it that it was.
            and not (self.ending == "SIGKILL" and name.endswith("Agent"))
        ]


@pytest.fixture(scope="module", params=["close SIGKILL", "raise SIGINT"])
def drivers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Driver]:
    """Two drivers, run at the same time."""
    drivers = [Driver(tmp_path_factory.mktemp(ending), ending) for ending in request.param.split()]
    for driver in drivers:
        driver.end()
    return drivers


def test_it_works_and_prints_nothing(drivers: list[Driver]) -> None:
    for driver in drivers:
        closes = driver.ending == "close"
        assert driver.told["ok"] == {"one_thread": True, **({"crash": False} if closes else {})}, driver.err
        assert driver.told["size"] >= 1
        assert driver.out == ("[]\n" if closes else "")
        if closes:
            assert driver.process.returncode == 0
            assert driver.err == ""


def test_only_this_machine_can_reach_it(drivers: list[Driver]) -> None:
    for driver in drivers:
        assert driver.told["listening"]
        assert all(ip.removeprefix("::ffff:").startswith("127.") for ip in driver.told["listening"])


def test_no_process_is_left(drivers: list[Driver]) -> None:
    end = time.monotonic() + 60
    for driver in drivers:
        assert any(name.startswith("ray::Worker") for name in driver.told["processes"].values())
        while driver.left():
            assert time.monotonic() < end, (driver.ending, driver.left())
            time.sleep(0.1)


def test_a_failing_or_interrupted_driver_says_so(drivers: list[Driver]) -> None:
    expected = {"raise": "LookupError: the driver fails\n", "SIGINT": "KeyboardInterrupt\n"}
    for driver in drivers:
        if driver.ending in expected:
            assert driver.err.endswith(expected[driver.ending])
            assert driver.process.returncode != 0


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense"])
def test_an_address_without_a_cluster_is_told_at_once(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=f"or the host:port of a running Ray cluster, found '{address}'"):
        RayPool(fake_plan(tmp_path), 1, address, evaluator=Fake)
