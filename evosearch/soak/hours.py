"""A long search, watched from outside: memory, open files, threads and rate over time; Linux only."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import psutil
from numpy.typing import NDArray

from evosearch.config.yaml_file import dump_yaml
from evosearch.records import RunReader
from evosearch.soak.report import Report, Show, silent

EVERY = 5.0
"""Seconds between looks."""

WARM_UP = 0.25
"""The share of the time after which nothing may grow."""

MEGABYTES, SHARE = 60.0, 0.05
"""What memory may grow by after that: the larger of this and that share of it. A cache of 40,000 programs
takes about as much, and in a quarter of an hour it is not full yet."""

HANDLES = 4
"""How many more files or threads there may be: pools of threads in libraries fill as they are needed."""

DEARER = 0.3
"""By what share a program or an evaluation may cost more processor time in the last third than in the first
one after the warm-up; programs grow, and other work on the machine takes its toll of caches."""


WHEN = "after the warm-up and at the end"


@dataclass(frozen=True)
class Sample:
    """One look at a search.

    Attributes:
        seconds: since its start.
        programs: in its record.
        driver_time: seconds of processor time of the driver.
        worker_time: of all workers, together.
        driver: memory of the driver alone, in MB.
        workers: of the workers, in MB, all together; pages that they share count in part.
        files: open in the driver.
        worker_files: open in all workers.
        threads: of the driver.
        worker_threads: of all workers.
    """

    seconds: float
    programs: int
    driver_time: float
    worker_time: float
    driver: float
    workers: float
    files: int
    worker_files: int
    threads: int
    worker_threads: int


def search_of(minutes: float, seed: int, backend: str) -> dict[str, Any]:
    """The search that runs for so long: a cheap task, everything else as by default."""
    return {
        "name": "long",
        "seed": seed,
        "tasks": [{"name": "char_mlp", "steps": 60, "seeds": 2}],
        "search": {"population": 200, "lag": 128, "budget": {"minutes": minutes}},
        "workers": {"backend": backend, "count": 2},
        "report": {"references": False, "settings": 5, "seeds": 4},
    }


def check_hours(
    folder: Path,
    minutes: float,
    seed: int,
    show: Show = silent,
    *,
    backend: str = "ray",
    every: float = EVERY,
) -> Report:
    """Run a search for so long, and look at its processes all the while.

    Leaves `samples.json` and `curves.png` in the folder.

    Args:
        folder: an empty one to work in.
        minutes: how long.
        seed: of the search.
        show: is told of the minutes.
        backend: of its workers.
        every: seconds between looks.

    Returns:
        Broken is what grows after the warm-up: memory, files, threads, and processor time of a program or an
        evaluation (seconds depend on what else the machine does).
    """
    config, run = folder / "long.yaml", folder / "run"
    config.write_text(dump_yaml(search_of(minutes, seed, backend)), encoding="utf-8")
    spent = folder / "fsync.json"
    command = [sys.executable, "-m", "evosearch.soak.timed_search", str(config), str(run), str(spent)]
    samples: list[Sample] = []
    with (folder / "errors.txt").open("w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as process:
            try:
                for sample in watch(process.pid, run, every):
                    samples.append(sample)
                    (folder / "samples.json").write_text(json.dumps([asdict(s) for s in samples]))
                    show("minutes", int(sample.seconds // 60), int(minutes))
            finally:
                process.terminate()
        errors.seek(0)
        said = errors.read()
    if process.returncode != 0:
        return Report((), (f"the search ended with {process.returncode}: {said[-500:]}",))
    if any(sample.workers for sample in samples):
        samples = [sample for sample in samples if sample.workers]  # not while they start or end
    plot(samples, folder / "curves.png")
    syncs, seconds = json.loads(spent.read_text(encoding="utf-8")).values()
    hits = RunReader(run).candidates(["cache_hit"])["cache_hit"].to_numpy()
    evaluations = np.concatenate([[0], np.cumsum(~hits)])
    return judge(samples, evaluations, syncs, seconds)


def watch(pid: int, run: Path, every: float) -> Iterator[Sample]:
    """Look at a search until it compares its best program, or ends."""
    begin = time.monotonic()
    driver = psutil.Process(pid)
    while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
        if (run / "candidates").is_dir():
            try:
                yield look(driver, run, time.monotonic() - begin)
            except psutil.NoSuchProcess:
                continue  # it ended while we looked
        time.sleep(every)


def look(driver: psutil.Process, run: Path, seconds: float) -> Sample:
    """One look. Raises NoSuchProcess if a process ends meanwhile."""
    workers = [child for child in driver.children(recursive=True) if child.name().startswith("ray::Worker")]
    programs = RunReader(run).rows if (run / "config.yaml").exists() else 0
    return Sample(
        round(seconds, 1),
        programs,
        _processor_time(driver),
        sum(map(_processor_time, workers)),
        _megabytes(driver),
        sum(map(_megabytes, workers)),
        driver.num_fds(),
        sum(worker.num_fds() for worker in workers),
        driver.num_threads(),
        sum(worker.num_threads() for worker in workers),
    )


def _processor_time(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(round(times.user + times.system, 2))


def _megabytes(process: psutil.Process) -> float:
    return float(round(process.memory_full_info().pss / 2**20, 1))


def judge(samples: list[Sample], evaluations: NDArray[np.int64], syncs: int, sync_seconds: float) -> Report:
    """What the samples say; see `check_hours`.

    Args:
        samples: in the order of time.
        evaluations: (programs + 1,) how many there were among the first so many programs.
        syncs: calls of fsync.
        sync_seconds: spent in them.
    """
    end = samples[-1].seconds
    late = [s for s in samples if s.seconds >= WARM_UP * end]
    warm, last = late[: max(1, len(late) // 10)], late[-max(1, len(late) // 10) :]
    figures: list[tuple[str, int | float | str]] = [
        ("minutes", round(end / 60, 1)),
        ("programs", samples[-1].programs),
        ("looks", len(samples)),
    ]
    broken = []
    for name in ("driver", "workers"):
        before, after = (float(np.mean([getattr(s, name) for s in part])) for part in (warm, last))
        figures.append((f"memory of {name}, MB, {WHEN}", f"{before:.0f}, {after:.0f}"))
        if after - before > max(MEGABYTES, SHARE * before):
            broken.append(
                f"memory of {name} grows: {before:.0f} MB after the warm-up, {after:.0f} at the end"
            )
    for name in ("files", "worker_files", "threads", "worker_threads"):
        before, after = (max(getattr(s, name) for s in part) for part in (warm, last))
        figures.append((f"{name.replace('_', ' ')}, {WHEN}", f"{before}, {after}"))
        if after > before + HANDLES:
            broken.append(f"{name.replace('_', ' ')} grow: {before} after the warm-up, {after} at the end")
    thirds = (late[: len(late) // 3 + 1], late[-(len(late) // 3) - 1 :])
    rates = [_spent(third, "seconds", "programs", evaluations) for third in thirds]
    figures.append((f"programs a second, {WHEN}", f"{1 / rates[0]:.0f}, {1 / rates[1]:.0f}"))
    costs = {
        "driver's processor time a program, us": ("driver_time", "programs", 1e6),
        "workers' processor time an evaluation, ms": ("worker_time", "evaluations", 1e3),
    }
    for name, (spent, on, unit) in costs.items():
        before, after = (unit * _spent(third, spent, on, evaluations) for third in thirds)
        figures.append((f"{name}, {WHEN}", f"{before:.3g}, {after:.3g}"))
        if after > (1 + DEARER) * before:
            broken.append(f"{name} grows: {before:.3g} after the warm-up, {after:.3g} at the end")
    figures += [
        ("calls of fsync", syncs),
        ("time in fsync, % of the search", round(100 * sync_seconds / end, 2)),
    ]
    if sync_seconds > 0.02 * end:
        broken.append(f"fsync takes {sync_seconds / end:.1%} of the search, expected under 2 %")
    return Report(tuple(figures), tuple(broken))


def _spent(samples: list[Sample], what: str, on: str, evaluations: NDArray[np.int64]) -> float:
    """How much of something was spent on each program or evaluation between the first and the last sample."""
    first, last = samples[0], samples[-1]
    done = last.programs - first.programs
    if on == "evaluations":
        done = int(evaluations[last.programs] - evaluations[first.programs])
    return float(getattr(last, what) - getattr(first, what)) / max(1, done)


def plot(samples: list[Sample], path: Path) -> None:
    """Draw memory, files and threads, and programs over time."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    minutes = [s.seconds / 60 for s in samples]
    figure, (memory, handles, programs) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    memory.plot(minutes, [s.driver for s in samples], label="driver")
    memory.plot(minutes, [s.workers for s in samples], label="workers, together")
    memory.set(title="memory (PSS, MB)", ylim=(0, None))
    for name in ("files", "worker_files", "threads", "worker_threads"):
        handles.plot(minutes, [getattr(s, name) for s in samples], label=name.replace("_", " "))
    handles.set(title="open files and threads", ylim=(0, None))
    programs.plot(minutes, [s.programs / 1000 for s in samples], label="in the record")
    programs.set(title="thousand programs", ylim=(0, None))
    for axes in (memory, handles, programs):
        axes.set_xlabel("minutes")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)
    plt.close(figure)
