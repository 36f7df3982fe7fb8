"""kill -9 of a search at many moments: resumed, it ends with the history it would have had."""

from __future__ import annotations

import os
import queue
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evosearch.soak.driver import PLACES
from evosearch.soak.histories import differences, history
from evosearch.soak.report import Report, Show, silent

SEARCH = """\
name: killed
seed: {seed}
tasks: [{{name: digits_mlp, steps: 10, width: 8, batch: 16, seeds: 2}}]
search: {{population: 30, lag: 24, budget: {{programs: {programs}}}, mutation: {{max_statements: 20}}}}
workers: {{backend: {backend}, count: 2}}
report: {{references: false, settings: 5, seeds: 3}}
"""

SILENCE = 240.0
"""Seconds without a word after which a search hangs."""

OPERATIONS = {"creation": 12, "journal": 150, "part": 60, "compaction": 40, "state": 60, "names": 40}
"""For each place up to how many operations are survived before the deadly one."""

EVEN = 0.4
"""Which share of the kills comes from outside, at any moment; the others in the midst of an operation."""


@dataclass
class Life:
    """What one process of a search said until its end.

    Attributes:
        phase: the last one it told of.
        died: where it killed itself, as "part write"; "" if it did not.
        durable: candidates whose outcomes it called durable.
        evaluated: candidates that it evaluated.
        code: how it ended.
        errors: what it printed to standard error.
    """

    phase: str = ""
    died: str = ""
    durable: set[int] = field(default_factory=set)
    evaluated: list[int] = field(default_factory=list)
    code: int = 0
    errors: str = ""


def check_kills(
    folder: Path,
    count: int,
    seed: int,
    show: Show = silent,
    *,
    programs: int = 1_500,
    backend: str = "in_process",
) -> Report:
    """Kill searches until `count` kills struck; each search is resumed after each kill until it ends.

    Args:
        folder: an empty one to work in.
        count: how many kills.
        seed: of where and when.
        show: is told of each kill.
        programs: that each search generates.
        backend: of its workers, `in_process` or `ray`.

    Returns:
        Broken are: a history that differs in any column but `seconds`, an outcome that was durable and is
        evaluated again, an id twice, a resume that fails.
    """
    rng = random.Random(seed)
    config = folder / "killed.yaml"
    config.write_text(SEARCH.format(seed=seed, programs=programs, backend=backend), encoding="utf-8")
    whole = live(config, folder / "undisturbed", None, None)
    if whole.code != 0:
        return Report((), (f"the undisturbed search ended with {whole.code}: {whole.errors}",))
    expected = history(folder / "undisturbed")
    words = len(whole.evaluated)
    kills, phases, broken = 0, Counter[str](), list[str]()
    runs = again = 0
    while kills < count and len(broken) < 10:
        run, runs = folder / f"run-{runs}", runs + 1
        durable: set[int] = set()
        while True:
            death, word = moment(rng, words) if kills < count else (None, None)
            life = live(config, run, death, word)
            lost = sorted(durable & set(life.evaluated))
            if lost:
                broken.append(f"{run}: outcomes were durable and are evaluated again: {lost[:5]}")
            durable |= life.durable
            again += len(life.evaluated)
            if life.code != -signal.SIGKILL:
                break
            kills += 1
            phases[f"in {life.died}" if life.died else f"during {life.phase}"] += 1
            show("kills", kills, count)
        if life.code != 0:
            broken.append(f"{run}: the resumed search ended with {life.code}: {life.errors[-500:]}")
            continue
        broken += differences(run, expected)
    figures: list[tuple[str, int | float | str]] = [
        ("kills", kills),
        ("searches", runs),
        ("rows of each", expected.num_rows),
        ("evaluations of an undisturbed search", words),
        ("evaluations of a killed one, on average", round(again / max(1, runs), 1)),
        *((f"kills {where}", number) for where, number in sorted(phases.items())),
    ]
    return Report(tuple(figures), tuple(broken))


def moment(rng: random.Random, words: int) -> tuple[tuple[str, int] | None, int | None]:
    """When a process is to die: in an operation (place, number of it), or after it said so many words."""
    if rng.random() < EVEN:
        # Some of the words come before the search and after it: while it starts, and while it compares.
        return None, rng.randrange(int(words * 2.5) + 10)
    place = rng.choice(PLACES)
    return (place, rng.randrange(OPERATIONS[place])), None


def live(config: Path, run: Path, death: tuple[str, int] | None, word: int | None) -> Life:
    """Run a search in its own process until it ends, dies as ordered, or is killed after its n-th line."""
    command = [sys.executable, "-m", "evosearch.soak.driver", str(config), str(run)]
    if death is not None:
        command += ["--die", death[0], str(death[1])]
    life = Life()
    with (run.parent / "errors.txt").open("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        try:
            for number, line in enumerate(_lines(process)):
                _take(life, line)
                if number == word:
                    os.kill(process.pid, signal.SIGKILL)
        finally:
            process.kill()
            life.code = process.wait()
        errors.seek(0)
        life.errors = errors.read()
    return life


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """What a process says, until it ends; one that is silent for too long is killed."""
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    out = process.stdout

    def read() -> None:
        for line in out:
            lines.put(line)
        lines.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        try:
            line = lines.get(timeout=SILENCE)
        except queue.Empty:
            raise TimeoutError(f"a search said nothing for {SILENCE:.0f} s: {process.args!r}") from None
        if line is None:
            break
        if line.endswith("\n"):  # a kill may cut the last one
            yield line
    reader.join()
    out.close()


def _take(life: Life, line: str) -> None:
    kind, *words = line.split()
    if kind == "phase":
        life.phase = " ".join(words[:1] if words[0] in ("search", "replay") else words)
    elif kind == "durable":
        life.durable |= set(map(int, words))
    elif kind == "evaluates":
        life.evaluated += list(map(int, words))
    elif kind == "dies":
        life.died = " ".join(words)
