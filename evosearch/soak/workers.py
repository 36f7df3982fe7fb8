"""Workers that are killed, that their candidates take down, and whose nodes come and go; Linux only.

All of it on a Ray cluster of this machine alone. Only processes that this cluster started are killed:
children of its own raylets, whoever else has a Ray here.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import ray
from ray.cluster_utils import Cluster

from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import EvosearchError
from evosearch.evaluation import Job, Outcome, Plan, Status, make_evaluator
from evosearch.records import Row, RunReader
from evosearch.records.journal import read_journal
from evosearch.search.config import Config, make_config
from evosearch.search.progress import Progress, Silent
from evosearch.search.run import run_search
from evosearch.soak.report import Report, Show, silent
from evosearch.soak.worker_faults import KINDS, Faults, Faulty, Process, process, stat_fields
from evosearch.workers import InProcessPool, Pool, Staff
from evosearch.workers.pool import MakeEvaluator
from evosearch.workers.ray_pool import OBJECT_STORE_BYTES, RayPool, local_only

SEARCH = """\
name: workers
tasks:
  - {name: digits_mlp, steps: 20, width: 8, batch: 16, seeds: 1}
search:
  population: 20
  lag: 24
  mutation: {max_statements: 20}
  budget: {programs: 200}
report: {references: false, seeds: 2}
"""

MODES = ("again", "one", "all", "early")
"""Which workers are killed: all, and then their replacements while these start; one; all; or all, and then
their replacements before Ray knows of these: it waits a minute for them before it starts others."""

KILLS_PER_SEARCH = 5
ROUNDS_PER_KILLS = 20
"""For so many kills there is one search with faulty candidates."""

WORKERS = 2
TIMEOUT = 6.0
PATIENCE = 300.0
"""Seconds after which something that should happen is said not to."""


def check_workers(folder: Path, count: int, seed: int, show: Show = silent) -> Report:
    """Searches whose workers are killed, and searches some of whose candidates kill or hang their workers.

    Args:
        folder: gets the runs; must not hold earlier ones.
        count: how many times workers are killed.
        seed: of what is disturbed when, and of the searches.
        show: is told how far it is.

    Returns:
        What was done. Promises: the history is that of an undisturbed search in this process; a faulty
        candidate is tried as often as stated and never again, and its process is gone; as many workers end
        up ready as were asked for.

    Example:
        check_workers(Path("soak/workers"), count=1000, seed=1)
    """
    rng = random.Random(seed)
    tally, broken = Tally(), list[str]()
    config = make_config(parse_yaml(SEARCH, "workers.yaml"), "workers.yaml")
    evaluator = make_evaluator(config.plan())
    with loopback() as nodes:
        for number, first in enumerate(range(0, count, KILLS_PER_SEARCH)):
            show("worker kills", first, count)
            last = min(count, first + KILLS_PER_SEARCH)
            modes = [MODES[kill % len(MODES)] for kill in range(first, last)]
            searched = config.model_copy(update={"seed": seed + number})
            where = folder / f"kills-{number}"
            broken += _disturbed(searched, where, nodes, rng, modes, evaluator, tally)
        rounds = max(1, count // ROUNDS_PER_KILLS)
        for number in range(rounds):
            show("faulty candidates", number, rounds)
            searched = config.model_copy(update={"seed": seed + number})
            case = FaultyCase(
                folder / f"faults-{number}",
                searched,
                kinds=tuple(KINDS) if rounds > 1 else ("segfault", "memory", "hang"),
                alone=number % 2 == 0,
                retries=(1, 2, 0)[number % 3],
            )
            broken += case.check(nodes, tally)
    show("worker kills", count, count)
    return Report(tuple(tally.items()), tuple(broken))


Tally = Counter[str]
"""What was done how often."""


# ---------------------------------------------------------------- the cluster


class Nodes:
    """A Ray cluster on loopback: a head without CPUs, and one node for workers."""

    def __init__(self) -> None:
        self._cluster = Cluster()
        self._add(0)
        self.cpus = WORKERS
        self._node = self._add(self.cpus)

    def _add(self, cpus: int) -> Any:
        return self._cluster.add_node(
            num_cpus=cpus,
            node_ip_address="127.0.0.1",
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
        )

    @property
    def address(self) -> str:
        """For who joins."""
        return str(self._cluster.address)

    def leave(self, politely: bool) -> None:
        """The workers' node leaves: it says so, or is killed."""
        self._cluster.remove_node(self._node, allow_graceful=politely)

    def join(self) -> None:
        """Another node comes, with one CPU more or less than the last."""
        self.cpus = 2 * WORKERS + 1 - self.cpus
        self._node = self._add(self.cpus)

    def workers(self, early: bool = False) -> set[Process]:
        """Processes of workers of this cluster, if `early` also those that Ray does not know yet."""
        raylets = {
            raylet.process.pid
            for node in (self._cluster.head_node, *self._cluster.worker_nodes)
            for raylet in node.all_processes["raylet"]
        }
        found = (process(pid) for pid in _children(raylets) if _is_worker(pid, early))
        return {each for each in found if each is not None}

    def end(self) -> None:
        """Stop the cluster."""
        ray.shutdown()
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@contextmanager
def loopback() -> Iterator[Nodes]:
    """A cluster that no other machine can reach, and that is gone afterwards."""
    with local_only():
        nodes = Nodes()
        try:
            yield nodes
        finally:
            nodes.end()


def _children(parents: set[int]) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (fields := stat_fields(pid)) and int(fields[1]) in parents]


def _is_worker(pid: int, early: bool) -> bool:
    """Whether a raylet's child is a worker, and not one of its agents; see `Nodes.workers`."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    known = command.startswith((b"ray::Worker", b"ray::IDLE"))
    return known or (early and b"default_worker.py" in command)


def _gone(processes: set[Process]) -> bool:
    """Whether all of them are, after a while."""
    return _within(lambda: not any(each.runs for each in processes))


def _within(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# ---------------------------------------------------------------- killed from outside


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


def _disturbed(
    config: Config,
    folder: Path,
    nodes: Nodes,
    rng: random.Random,
    modes: Sequence[str],
    evaluator: Any,
    tally: Tally,
) -> list[str]:
    """A search whose workers are killed so many times, and whose node leaves; what was broken."""
    here = _in_process(config, folder / "undisturbed", lambda _: evaluator)
    evaluated = sum(not row.cache_hit for row in here)
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
    tally.update({"searches": 1, "kills": len(modes), "nodes that left": 1, "rows compared": len(here)})
    tally["processes killed"] += watch.pool.killed
    different = difference(here, rows_of(folder / "disturbed"))
    found = [*watch.pool.broken, *([f"another history: {different}"] if different else [])]
    return [f"{title}: {each}" for each in found]


def _in_process(config: Config, folder: Path, evaluator: MakeEvaluator) -> list[Row]:
    """The history of a search that nothing disturbs."""
    run_search(config, folder, workers=lambda _, plan: InProcessPool(plan, evaluator))
    return rows_of(folder)


def rows_of(folder: Path) -> list[Row]:
    """The history in a run, without what clocks measured."""
    reader = RunReader(folder)
    return [reader.row(number)._replace(seconds=0.0) for number in range(reader.rows)]


def difference(expected: Sequence[Row], found: Sequence[Row]) -> str:
    """In words, what sets two histories apart first; "" if nothing does."""
    for wanted, got in zip(expected, found, strict=False):
        for name in Row._fields:
            if getattr(wanted, name) != getattr(got, name):
                return f"program {wanted.id}: {name} {getattr(wanted, name)!r} is {getattr(got, name)!r}"
    return "" if len(expected) == len(found) else f"{len(expected)} programs are {len(found)}"


# ---------------------------------------------------------------- taken down by their candidates


@dataclass(frozen=True)
class FaultyCase:
    """A search with faulty candidates; its driver is killed, and the run resumed.

    Attributes:
        folder: gets the runs.
        config: the search.
        kinds: what candidates do, one each; some of `KINDS`.
        alone: whether each evaluation makes a message of its own; else several do, and who was in a message
            with a faulty one is tried again too.
        retries: of a candidate whose worker died.
    """

    folder: Path
    config: Config
    kinds: Sequence[str]
    alone: bool
    retries: int

    def check(self, nodes: Nodes, tally: Tally) -> list[str]:
        """Run it; what was broken."""
        kinds, expected = self._choose()
        attempts = self.folder / "attempts"
        attempts.mkdir()
        faults = Faults(kinds, attempts, self.alone)
        broken = self._until_killed(nodes, faults, expected)
        before = {digest: faults.processes(digest) for digest, _ in kinds}
        for digest, kind in kinds:
            broken += self._tried(kind, before[digest])
        told = Faulty(self.config.plan(), Faults(kinds))

        def rest(_: Config, plan: Plan) -> Pool:
            """Every other time workers go on; else this process does, in which nothing breaks."""
            return InProcessPool(plan, lambda _: told) if self.alone else self.pool(faults, nodes.address)

        try:
            run_search(self.config, self.folder / "run", resume=True, workers=rest)
        except EvosearchError as error:
            broken.append(f"the resumed search ended with {error}")
        again = [
            k for digest, k in kinds if digest in told.asked or faults.processes(digest) != before[digest]
        ]
        if again:
            broken.append(f"tried again after the resume: {', '.join(again)}")
        different = difference(expected, rows_of(self.folder / "run"))
        if different:
            broken.append(f"another history: {different}")
        chosen = {digest for digest, _ in kinds}
        hits = sum(row.hash in chosen and row.cache_hit for row in expected)
        tally.update({"faulty candidates": len(kinds), "of these bred again": hits, "drivers killed": 1})
        tally.update({"attempts at them": sum(map(len, before.values())), "rows compared": len(expected)})
        return [f"{self.folder.name}, seed {self.config.seed}: {each}" for each in broken]

    def pool(self, faults: Faults, address: str) -> RayPool:
        """Workers for which some candidates are faulty."""
        return RayPool(
            self.config.plan(),
            WORKERS,
            address,
            timeout=TIMEOUT,
            retries=self.retries,
            evaluator=partial(Faulty, faults=faults),
            compile_seconds=0.0,  # it has compiled before it is ready
        )

    def _choose(self) -> tuple[tuple[tuple[bytes, str], ...], list[Row]]:
        """Programs that are bred again although they fail, and the history in which they do."""
        told = Faulty(self.config.plan(), Faults(()))
        rows = _in_process(self.config, self.folder / "sound", lambda _: told)
        # Of those under way at once at the beginning, so that workers break down together.
        early = {row.hash for row in rows[: self.config.search.lag] if not row.cache_hit}
        hits = Counter(row.hash for row in rows if row.cache_hit and row.hash in early)
        ranked = [digest for digest, _ in hits.most_common()]
        chosen = ranked[: len(self.kinds)]
        for number in range(len(ranked) - len(self.kinds)):
            kinds = tuple(zip(chosen, self.kinds, strict=True))
            told.become(Faults(kinds))
            rows = _in_process(self.config, self.folder / f"expected-{number}", lambda _: told)
            failed = {row.hash: row.outcome for row in rows if not row.cache_hit}
            again = {row.hash for row in rows if row.cache_hit}
            once = [
                digest
                for digest, kind in kinds
                if digest not in again or failed.get(digest) != KINDS[kind][1].name
            ]
            if not once:
                return kinds, rows
            # One at a time, since each changes the history for the others.
            chosen[chosen.index(once[0])] = ranked[len(self.kinds) + number]
        raise RuntimeError(
            f"no {len(self.kinds)} programs of seed {self.config.seed} are bred again if they fail"
        )

    def _until_killed(self, nodes: Nodes, faults: Faults, expected: Sequence[Row]) -> list[str]:
        """Run the search in a process of its own, and kill that when all faulty candidates are recorded."""
        chosen = dict(faults.kinds)
        ids = {row.id for row in expected if row.hash in chosen and not row.cache_hit}
        code = "import sys; from evosearch.soak.workers import drive; drive(sys.argv[1:])"
        told = [*(f"{digest.hex()}={kind}" for digest, kind in faults.kinds)]
        flags = [str(int(self.alone)), str(self.retries), str(self.config.seed), ",".join(map(str, ids))]
        command = [sys.executable, "-c", code, str(self.folder), nodes.address, *flags, *told]
        run = self.folder / "run"

        def recorded() -> bool:
            if (run / "config.yaml").exists():  # a run has it from the moment on at which it is one
                # What the journal no longer has is in the parts.
                left = ids - {line.id for line in read_journal(run / "journal")[0]}
                rows = RunReader(run).rows
                return all(number < rows for number in left)
            return driver.poll() is not None

        driver = subprocess.Popen(command)
        try:
            recorded_in_time = _within(recorded)
            workers = nodes.workers()
        finally:
            driver.kill()
            ended = driver.wait()
        broken = [] if recorded_in_time else [f"not all faulty candidates are recorded in {PATIENCE:.0f} s"]
        if ended != -signal.SIGKILL:
            broken.append(f"the driver ended by itself, with {ended}")
        if not _gone(workers):
            broken.append("workers of a driver that was killed still run")
        return broken

    def _tried(self, kind: str, processes: Sequence[Process]) -> list[str]:
        """What is wrong with the attempts at a faulty candidate."""
        lost = KINDS[kind][1] is Status.WORKER_LOST
        most = self.retries + 1 if lost else 1
        # In a message with others, an attempt may be spent without its beginning, or on finding who it was.
        allowed = range(most, most + 1) if self.alone else range(max(1, most - 1), max(2, most) + 1)
        broken = []
        if len(processes) not in allowed:
            expected = " or ".join(map(str, allowed))
            broken.append(f"{kind} was tried {len(processes)} times, expected {expected}")
        if len(set(processes)) < len(processes):
            broken.append(f"{kind} was tried twice in one process")
        if not _gone(set(processes)):
            broken.append(f"the process of {kind} still runs")
        return broken


def drive(arguments: Sequence[str]) -> None:
    """A driver to be killed: it searches until all faulty candidates are in the journal, and waits.

    Args:
        arguments: folder, address, whether messages hold one job, retries, seed, ids of faulty candidates,
            and HASH=KIND for each of them.
    """
    folder, address, alone, retries, seed, ids, *told = arguments
    kinds = tuple((bytes.fromhex(each.split("=")[0]), each.split("=")[1]) for each in told)
    config = make_config(parse_yaml(SEARCH, "workers.yaml"), "workers.yaml")
    config = config.model_copy(update={"seed": int(seed)})
    case = FaultyCase(Path(folder), config, [kind for _, kind in kinds], alone == "1", int(retries))
    faults = Faults(kinds, case.folder / "attempts", case.alone)
    awaited = set(map(int, ids.split(",")))
    with local_only(), case.pool(faults, address) as pool:
        collect = pool.collect

        def until_all_came(timeout: float | None = None) -> list[tuple[int, Outcome]]:
            if not awaited:
                time.sleep(timeout or 0.0)  # the search goes on to write what it has
                return []
            found = collect(timeout)
            awaited.difference_update(number for number, _ in found)
            return found

        pool.collect = until_all_came  # type: ignore[method-assign]
        run_search(case.config, case.folder / "run", workers=lambda *_: pool)
