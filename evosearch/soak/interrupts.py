"""Ctrl-C once and twice at any moment of `evosearch search`: it stops, says how to go on, nothing is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from evosearch.soak.histories import differences, history
from evosearch.soak.kills import SEARCH
from evosearch.soak.report import Report, Show, silent

PROGRAMS = 4_000
ONCE, TWICE = "To go on: evosearch search", "stopped at once"


@dataclass(frozen=True)
class Stopped:
    """How `evosearch search` ended: its code, and all that it printed."""

    code: int
    out: str
    errors: str

    @property
    def how(self) -> str:
        """In a word; "" if it is none of the ways in which it may end."""
        if self.code == 0 and not self.errors:
            return "stopped cleanly" if ONCE in self.out else "finished before"
        # Python itself may end by the signal though the exception was caught, if a module in C saw it.
        if self.code in (1, -signal.SIGINT) and self.errors.count("\n") == 1 and TWICE in self.errors:
            return "stopped at once"
        if self.code == -signal.SIGINT and not self.errors:
            return "stopped before it had started"
        return ""


def check_interrupts(
    folder: Path, count: int, seed: int, show: Show = silent, *, backend: str = "in_process"
) -> Report:
    """Interrupt the command `count` times, every other time twice, and resume it until it ends.

    Args:
        folder: an empty one to work in.
        count: how many processes are interrupted.
        seed: of when.
        show: is told of each.
        backend: of the workers.

    Returns:
        Broken are other ends than the stated ones, and a history that differs from an undisturbed one.
    """
    rng = random.Random(seed)
    config = folder / "killed.yaml"
    config.write_text(SEARCH.format(seed=seed, programs=PROGRAMS, backend=backend), encoding="utf-8")
    begin = time.monotonic()
    whole = interrupted(config, folder / "undisturbed", ())
    if whole.code != 0:
        return Report((), (f"the undisturbed search ended with {whole.code}: {whole.errors}",))
    seconds, expected = time.monotonic() - begin, history(folder / "undisturbed")
    ends, broken = Counter[str](), list[str]()
    run, runs = folder / "run-0", 1
    for number in range(count):
        delays = (rng.random() * seconds, rng.random() * 0.3)[: 1 + number % 2]
        stopped = interrupted(config, run, delays)
        ends[f"{('once', 'twice')[number % 2]}: {stopped.how}"] += 1
        if not stopped.how:
            said = f"{stopped.out[-200:]} {stopped.errors[-500:]}"
            broken.append(f"{run}: interrupted after {delays} s it ended with {stopped.code}: {said}")
        if stopped.how == "finished before":
            broken += differences(run, expected)
            run, runs = folder / f"run-{runs}", runs + 1
        show("interrupts", number + 1, count)
    last = interrupted(config, run, ())
    if last.code != 0:
        broken.append(f"{run}: the resumed search ended with {last.code}: {last.errors[-500:]}")
    broken += differences(run, expected)
    figures = (("interrupted processes", count), ("searches", runs), *sorted(ends.items()))
    return Report(figures, tuple(broken))


def interrupted(config: Path, run: Path, delays: tuple[float, ...]) -> Stopped:
    """Start a search or go on with it, and press Ctrl-C after each delay in seconds."""
    command = [sys.executable, "-m", "evosearch", "search", str(config), "--out", str(run)]
    command += ["--resume"] if (run / "config.yaml").exists() else []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for delay in delays:
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
    out, errors = process.communicate()
    return Stopped(process.returncode, out, errors)
