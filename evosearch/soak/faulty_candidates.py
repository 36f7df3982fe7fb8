"""Candidates that take their worker down, or hang, in a search whose driver is killed and resumed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import EvosearchError
from evosearch.evaluation import Outcome, Plan, Status
from evosearch.records import Row, RunReader
from evosearch.records.journal import read_journal
from evosearch.search.config import Config, make_config
from evosearch.search.run import run_search
from evosearch.soak.cluster import PATIENCE, WORKERS, Nodes, gone, within
from evosearch.soak.histories import differences, history
from evosearch.soak.worker_faults import KINDS, Faults, Faulty, Process, Tally
from evosearch.workers import InProcessPool, Pool
from evosearch.workers.ray_pool import RayPool, local_only

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

TIMEOUT = 6.0


def small_search() -> Config:
    """The search that is disturbed, with any seed."""
    return make_config(parse_yaml(SEARCH, "workers.yaml"), "workers.yaml")


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
        kinds, sound = self._choose()
        expected = _rows(sound)
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
        broken += differences(self.folder / "run", history(sound))
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

    def _choose(self) -> tuple[tuple[tuple[bytes, str], ...], Path]:
        """Programs that are bred again although they fail, and a run without workers in which they do."""
        told = Faulty(self.config.plan(), Faults(()))
        rows = self._here(told, self.folder / "sound")
        # Of those under way at once at the beginning, so that workers break down together.
        early = {row.hash for row in rows[: self.config.search.lag] if not row.cache_hit}
        hits = Counter(row.hash for row in rows if row.cache_hit and row.hash in early)
        ranked = [digest for digest, _ in hits.most_common()]
        chosen = ranked[: len(self.kinds)]
        for number in range(len(ranked) - len(self.kinds)):
            kinds = tuple(zip(chosen, self.kinds, strict=True))
            told.become(Faults(kinds))
            run = self.folder / f"expected-{number}"
            rows = self._here(told, run)
            failed = {row.hash: row.outcome for row in rows if not row.cache_hit}
            again = {row.hash for row in rows if row.cache_hit}
            once = [
                digest
                for digest, kind in kinds
                if digest not in again or failed.get(digest) != KINDS[kind][1].name
            ]
            if not once:
                return kinds, run
            # One at a time, since each changes the history for the others.
            chosen[chosen.index(once[0])] = ranked[len(self.kinds) + number]
        raise RuntimeError(
            f"no {len(self.kinds)} programs of seed {self.config.seed} are bred again if they fail"
        )

    def _here(self, evaluator: Faulty, run: Path) -> list[Row]:
        """The history of the search in this process, where faulty candidates only fail."""
        run_search(self.config, run, workers=lambda _, plan: InProcessPool(plan, lambda _: evaluator))
        return _rows(run)

    def _until_killed(self, nodes: Nodes, faults: Faults, expected: Sequence[Row]) -> list[str]:
        """Run the search in a process of its own, and kill that when all faulty candidates are recorded."""
        chosen = dict(faults.kinds)
        ids = {row.id for row in expected if row.hash in chosen and not row.cache_hit}
        code = "import sys; from evosearch.soak.faulty_candidates import drive; drive(sys.argv[1:])"
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
            recorded_in_time = within(recorded)
            workers = nodes.workers()
        finally:
            driver.kill()
            ended = driver.wait()
        broken = [] if recorded_in_time else [f"not all faulty candidates are recorded in {PATIENCE:.0f} s"]
        if ended != -signal.SIGKILL:
            broken.append(f"the driver ended by itself, with {ended}")
        if not gone(workers):
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
        if not gone(set(processes)):
            broken.append(f"the process of {kind} still runs")
        return broken


def _rows(run: Path) -> list[Row]:
    reader = RunReader(run)
    return [reader.row(number) for number in range(reader.rows)]


def drive(arguments: Sequence[str]) -> None:
    """A driver to be killed: it searches until all faulty candidates are in the journal, and waits.

    Args:
        arguments: folder, address, whether messages hold one job, retries, seed, ids of faulty candidates,
            and HASH=KIND for each of them.
    """
    folder, address, alone, retries, seed, ids, *told = arguments
    kinds = tuple((bytes.fromhex(each.split("=")[0]), each.split("=")[1]) for each in told)
    config = small_search().model_copy(update={"seed": int(seed)})
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
