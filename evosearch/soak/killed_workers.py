"""Workers that are killed, and a node that leaves, while a search uses them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from evosearch.errors import EvosearchError
from evosearch.evaluation import Job, Outcome, Plan
from evosearch.search.config import Config
from evosearch.search.progress import Progress, Silent
from evosearch.search.run import run_search
from evosearch.soak.cluster import PATIENCE, WORKERS, Nodes
from evosearch.soak.histories import differences, history
from evosearch.soak.worker_faults import Process, Tally
from evosearch.workers import InProcessPool, Staff
from evosearch.workers.pool import MakeEvaluator
from evosearch.workers.ray_pool import RayPool

MODES = ("again", "one", "all", "early")
"""Which workers are killed: all, and then their replacements while these start; one; all; or all, and then
their replacements before Ray knows of these: it waits a minute for them before it starts others."""


class _Starters(NamedTuple):
    """Workers to kill while they start: those that are not known yet."""

    early: bool
    known: set[Process]
    since: float


class Disturbed:
    """A pool whose workers are killed, and whose only node leaves and is replaced, while a search uses it.

    Args:
        pool: the pool.
        asked: how many workers were asked for.
        nodes: its cluster.
        rng: of the moments.
        events: after how many outcomes what happens: one of `MODES`, or `leave`. Events at the same
            number follow each other.
    """

    def __init__(
        self,
        pool: RayPool,
        asked: int | Literal["auto"],
        nodes: Nodes,
        rng: random.Random,
        events: Sequence[tuple[int, str]],
    ) -> None:
        self._pool, self._asked, self._nodes, self._rng = pool, asked, nodes, rng
        self._events = sorted(events, key=lambda event: event[0])
        self._kept: list[tuple[int, Outcome]] = []
        self._handed = 0
        self._starters: _Starters | None = None
        self._nobody_since: float | None = None
        self.told_that_nobody_is_there = False
        self.killed = 0
        self.broken: list[str] = []

    @property
    def size(self) -> int:
        """See `Pool.size`."""
        return self._pool.size

    @property
    def workers(self) -> Staff:
        """See `HasWorkers.workers`."""
        return self._pool.workers

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        self._pool.submit(jobs)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """See `Pool.collect`."""
        if self._nobody_since is not None:
            self._join_if_time()
        elif self._starters is not None:
            self._kill_starters(self._starters)
        elif self._events and self._handed >= self._events[0][0]:
            self._happen(timeout)
        soon = 0.05 if self._starters and timeout else timeout
        kept, self._kept = self._kept, []
        found = kept + self._pool.collect(0.0 if kept else soon)
        self._handed += len(found)
        return found

    def _happen(self, timeout: float | None) -> None:
        what = self._events[0][1]
        if what == "leave":
            # Who waits without a limit would not come back to let a node join.
            if timeout is not None:
                self._events.pop(0)
                self._nodes.leave(politely=self._rng.random() < 0.5)
                self._nobody_since, self.told_that_nobody_is_there = time.monotonic(), False
            return
        self._events.pop(0)
        self._pump(self._rng.uniform(0.0, 0.05))
        victims = sorted(self._nodes.workers())
        self._kill([self._rng.choice(victims)] if what == "one" and victims else victims)
        if what in ("again", "early"):
            self._starters = _Starters(what == "early", set(victims), time.monotonic())

    def _kill_starters(self, starters: _Starters) -> None:
        """As soon as there are any; the search goes on meanwhile, since idle workers are not missed."""
        if self._nodes.workers(starters.early) - starters.known:
            self._starters = None
            if not starters.early:
                self._pump(self._rng.uniform(0.0, 1.0))
            self._kill(sorted(self._nodes.workers(starters.early) - starters.known))
        elif time.monotonic() - starters.since > PATIENCE:
            self._starters = None
            self.broken.append(f"no worker followed on those that were killed within {PATIENCE:.0f} s")

    def _kill(self, victims: Sequence[Process]) -> None:
        for victim in victims:
            if victim.runs:
                os.kill(victim.pid, signal.SIGKILL)
                self.killed += 1

    def _join_if_time(self) -> None:
        assert self._nobody_since is not None
        late = time.monotonic() - self._nobody_since > PATIENCE
        if late:
            self.broken.append(f"no node for {PATIENCE:.0f} s, and nobody was told that no worker is ready")
        if late or self.told_that_nobody_is_there:
            self._nodes.join()
            self._nobody_since = None

    def _pump(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let the pool do what it does, for a time or until something is so; False if it never was."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            self._kept += self._pool.collect(0.01)
            time.sleep(0.02)
        return True

    def _await_workers(self) -> None:
        """Until as many are ready as were asked for, or as there are CPUs for."""
        room = self._nodes.cpus
        expected = room if self._asked == "auto" else min(self._asked, room)
        if not self._pump(PATIENCE, lambda: self.workers.ready == expected):
            self.broken.append(f"{self.workers.ready} workers ready at the end, expected {expected}")
        self.broken += [f"{what} was to happen after {at} outcomes, and did not" for at, what in self._events]

    def close(self) -> None:
        """See `Pool.close`."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if raised[0] is None:
            self._await_workers()
        self.close()


class _Watch(Silent):
    """Hears what the search says of its workers."""

    def __init__(self) -> None:
        self.pool: Disturbed | None = None

    def progress(self, progress: Progress) -> None:
        """Tell the pool if the user would now read that nobody is there."""
        if self.pool and progress.workers and not progress.workers.ready:
            self.pool.told_that_nobody_is_there = True


def disturb(
    config: Config,
    folder: Path,
    nodes: Nodes,
    rng: random.Random,
    modes: Sequence[str],
    evaluator: MakeEvaluator,
    tally: Tally,
) -> list[str]:
    """A search whose workers are killed, and whose node leaves.

    Args:
        config: the search.
        folder: gets the runs.
        nodes: the cluster.
        rng: of the moments.
        modes: one of `MODES` for each time that workers are killed.
        evaluator: for the undisturbed search in this process.
        tally: counts what was done.

    Returns:
        What was broken.
    """
    run_search(config, folder / "undisturbed", workers=lambda _, plan: InProcessPool(plan, evaluator))
    expected = history(folder / "undisturbed")
    evaluated = expected["cache_hit"].to_pylist().count(False)
    marks = [rng.randrange(int(0.9 * evaluated)) for _ in range(len(modes) + 1)]
    asked: int | Literal["auto"] = rng.choice(("auto", WORKERS))
    watch = _Watch()

    def make_pool(_: Config, plan: Plan) -> Disturbed:
        # An innocent candidate may be hit each time; by the rule it is lost only if that is above retries.
        pool = RayPool(plan, asked, nodes.address, timeout=600.0, retries=len(modes) + 1)
        watch.pool = Disturbed(pool, asked, nodes, rng, list(zip(marks, [*modes, "leave"], strict=True)))
        return watch.pool

    title = f"{folder.name}, seed {config.seed}, {'/'.join(modes)}"
    try:
        run_search(config, folder / "disturbed", workers=make_pool, view=watch)
    except EvosearchError as error:
        return [f"{title}: the search ended with {error}"]
    assert watch.pool is not None
    tally.update(
        {"searches": 1, "kills": len(modes), "nodes that left": 1, "rows compared": expected.num_rows}
    )
    tally["processes killed"] += watch.pool.killed
    found = [*watch.pool.broken, *differences(folder / "disturbed", expected)]
    return [f"{title}: {each}" for each in found]
