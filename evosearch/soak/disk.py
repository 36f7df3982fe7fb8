"""Disks that fail: full, read-only, forbidden, damaged; and two processes that want one run."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from evosearch.errors import EvosearchError
from evosearch.evaluation import Plan, make_evaluator
from evosearch.search.config import Config, load_config
from evosearch.search.run import run_search
from evosearch.soak.histories import differences, history
from evosearch.soak.kills import SEARCH, Life, live
from evosearch.soak.report import Report, Show, silent
from evosearch.workers import InProcessPool
from evosearch.workers.pool import EvaluatesJobs

PROGRAMS = 1_500
UNSHARE = ("unshare", "--user", "--map-root-user", "--mount")


def mountable() -> bool:
    """Whether this system lets a process mount in a name space of its own."""
    try:
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def check_disk(folder: Path, count: int, seed: int, show: Show = silent, *, short: bool = False) -> Report:
    """Let the disk fail in every way.

    Args:
        folder: an empty one to work in.
        count: how many damages to files of a run are tried.
        seed: of the damages.
        show: is told of each.
        short: without the scenes that need many processes: read-only and forbidden folders, two writers.

    Returns:
        Broken is what ends otherwise than in one line and code 2, or in a resume that gives the history of
        an undisturbed search.
    """
    config = folder / "killed.yaml"
    config.write_text(SEARCH.format(seed=seed, programs=PROGRAMS, backend="in_process"), encoding="utf-8")
    whole = live(config, folder / "undisturbed", None, None)
    if whole.code != 0:
        return Report((), (f"the undisturbed search ended with {whole.code}: {whole.errors}",))
    begun = live(config, folder / "begun", ("part", 16), None)
    if not begun.died:
        return Report((), (f"the search that was to die ended with {begun.code}: {begun.errors}",))
    scenes, broken = _small_disk(config, folder, short)
    if not short:
        broken += _two_writers(config, folder, begun)
    ends, bad = _damages(config, folder, count, random.Random(seed), show)
    figures: list[tuple[str, int | float | str]] = [
        ("scenes on a small disk (full, read-only, forbidden)", scenes or "not possible here: no unshare"),
        ("damages to files of a run", count),
        *((f"damages that ended in {end}", number) for end, number in sorted(ends.items())),
    ]
    return Report(tuple(figures), (*broken, *bad))


def _small_disk(config: Path, folder: Path, short: bool) -> tuple[int, list[str]]:
    if not mountable():
        return 0, []
    kept = folder / "kept"
    scene = [sys.executable, "-m", "evosearch.soak.small_disk", str(config), str(folder / "disk"), str(kept)]
    scene += ["--short"] if short else []
    done = subprocess.run([*UNSHARE, *scene], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return 0, [f"the small disk can't be tried: {done.stderr[-500:]}"]
    *sentences, number = done.stdout.splitlines()
    found = [f"small disk: {sentence}" for sentence in sentences]
    return int(number), found + differences(kept, history(folder / "undisturbed"))


def _two_writers(config: Path, folder: Path, begun: Life) -> list[str]:
    """A second process resumes a run while a first one is at it."""
    run = folder / "two"
    shutil.copytree(folder / "begun", run)
    first = subprocess.Popen(
        [sys.executable, "-m", "evosearch.soak.driver", str(config), str(run)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    broken = []
    try:
        while not (line := first.stdout.readline()).startswith("evaluates"):
            if not line:
                return [f"two writers: the first one ended with {first.wait()}"]
        first.send_signal(19)  # SIGSTOP: it holds the run for as long as we look
        second = live(config, run, None, None)
        if second.code != 1 or f"is in use by process {first.pid} on " not in second.errors:
            broken.append(f"two writers: the second one ended with {second.code}: {second.errors[-300:]}")
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    last = live(config, run, None, None)
    if last.code != 0 or begun.durable & set(last.evaluated):
        broken.append(f"two writers: the resume after them ended with {last.code}: {last.errors[-300:]}")
    return broken + differences(run, history(folder / "undisturbed"))


def _damages(
    config_path: Path, folder: Path, count: int, rng: random.Random, show: Show
) -> tuple[Counter[str], list[str]]:
    """Bytes are flipped, files are cut or removed, one damage in each copy of a begun run."""
    config, expected = load_config(config_path), history(folder / "undisturbed")
    evaluators: list[EvaluatesJobs] = []

    def pool(_: Config, plan: Plan) -> InProcessPool:
        evaluators.extend([] if evaluators else [make_evaluator(plan)])  # compiled once
        return InProcessPool(plan, lambda _: evaluators[0])

    ends, broken = Counter[str](), list[str]()
    run = folder / "damaged"
    for number in range(count):
        shutil.copytree(folder / "begun", run)
        files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
        path = rng.choice(files)
        what = f"{damage(path, rng)} {path.relative_to(run)}"
        try:
            run_search(config, run, resume=True, workers=pool)
        except EvosearchError as error:
            ends["an error of one line"] += 1
            if "\n" in str(error) or str(run) not in str(error):
                broken.append(f"{what}: the message is not one line with the path: {error}")
        except Exception as error:  # it is what we look for
            broken.append(f"{what}: {error!r}")
        else:
            ends["the undisturbed history"] += 1
            broken += [f"{what}: {sentence}" for sentence in differences(run, expected)]
        shutil.rmtree(run)
        show("damages", number + 1, count)
    return ends, broken


def damage(path: Path, rng: random.Random) -> str:
    """Damage a file; says how."""
    content = bytearray(path.read_bytes())
    kind = rng.choice(("flipped", "cut", "removed", "zeroed"))
    if kind == "removed":
        path.unlink()
        return kind
    at = rng.randrange(len(content))
    if kind == "flipped":
        content[at] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[at:]
    else:
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    path.write_bytes(content)
    return f"{kind} at {at}"
