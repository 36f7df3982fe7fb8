"""A search in a process of its own that can be killed at a chosen moment: python -m evosearch.soak.driver.

It is the search that `evosearch search` runs, with three additions. It writes much more often, so that
there are many moments to be killed at. It tells on standard output what it does. And it can kill itself with
SIGKILL in the midst of a chosen operation on the disk; of a write, half of the bytes are written first.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evosearch.runtime import one_thread_each

if __name__ == "__main__":
    one_thread_each()  # before JAX is imported

from evosearch.evaluation import Job, Outcome, Plan
from evosearch.records import RunWriter, files, journal
from evosearch.search import run
from evosearch.search.config import Config, load_config
from evosearch.search.progress import Progress
from evosearch.workers import Pool

PLACES = ("creation", "journal", "part", "compaction", "state", "names")
"""What is written: a new run's first files, the journal's end, a part, the journal without what went into the
part, best.py and summary.json, the names in the run's folder."""

WATCHED = ("open", "write", "fsync", "replace", "unlink", "mkdir", "ftruncate")


def tell(*words: object) -> None:
    """Say something to whoever started this process."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def place_of(path: Path) -> str:
    """Which of `PLACES` a file belongs to."""
    name = path.name.removesuffix(files.TEMPORARY)
    if path.is_dir() and path.name not in ("candidates", "evaluations"):
        return "names"
    if name.startswith("part-") or path.name in ("candidates", "evaluations"):
        return "part"
    if name == "journal":
        return "compaction" if path.name != name else "journal"
    return "state" if name in ("best.py", "summary.json") else "creation"


class DeadlyOs:
    """Like `os`, but the process dies in the midst of one operation.

    Args:
        place: of `PLACES`.
        number: how many operations there are survived.
    """

    def __init__(self, place: str, number: int) -> None:
        self._place = place
        self._left = number
        self._paths: dict[int, Path] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in WATCHED:
            return real

        def operation(*args: Any, **kwargs: Any) -> Any:
            path = self._paths.get(args[0]) if isinstance(args[0], int) else Path(args[0])
            if path is not None and place_of(path) == self._place:
                if self._left == 0:
                    self._die(name, args)
                self._left -= 1
            result = real(*args, **kwargs)
            if name == "open":
                self._paths[result] = Path(args[0])
            return result

        return operation

    def _die(self, name: str, args: Any) -> None:
        if name == "write":
            os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
        tell("dies", self._place, name)
        os.kill(os.getpid(), signal.SIGKILL)


class TellingWriter(RunWriter):
    """Tells which outcomes are durable."""

    def _told(self) -> None:
        if news := self._unsaid:
            tell("durable", *news)
            self._unsaid = []

    _unsaid: list[int] = []  # noqa: RUF012 - replaced, never changed, before the first outcome

    def acknowledge(self, id: int, seeds: Sequence[Sequence[int]], outcome: Outcome) -> None:
        """See `RunWriter.acknowledge`."""
        super().acknowledge(id, seeds, outcome)
        self._unsaid = [*self._unsaid, id]

    def sync(self) -> None:
        """See `RunWriter.sync`."""
        super().sync()
        self._told()

    def flush(self) -> None:
        """See `RunWriter.flush`."""
        super().flush()
        self._told()


class TellingPool:
    """Tells which candidates are evaluated; otherwise the pool that the search asks for."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def __enter__(self) -> TellingPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.close()

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        tell("evaluates", *(job.id for job in jobs))
        self._pool.submit(jobs)


class TellingView:
    """Tells in which phase the search is."""

    def stage(self, name: str, done: int, total: int) -> None:  # noqa: ARG002
        """See `View.stage`."""
        tell("phase", name)

    def progress(self, progress: Progress) -> None:
        """See `View.progress`."""
        tell("phase", "replay" if progress.replayed else "search", json.dumps(progress.generated))


def main() -> None:
    """Run the search of a YAML file, or go on with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--die", nargs=2, metavar=("PLACE", "NUMBER"), help=f"PLACE is one of {PLACES}")
    args = parser.parse_args()
    make_pool = run.make_pool

    def telling_pool(config: Config, plan: Plan) -> Any:
        return TellingPool(make_pool(config, plan))

    run.SYNC_SECONDS, run.FLUSH_SECONDS, run.SHOW_SECONDS = 0.02, 0.3, 0.02
    run.make_pool = telling_pool
    vars(run)["RunWriter"] = TellingWriter
    if args.die:
        vars(files)["os"] = vars(journal)["os"] = DeadlyOs(args.die[0], int(args.die[1]))
    config = load_config(args.config)
    resume = (args.folder / "config.yaml").exists()
    tell("phase", "start")
    run.run_search(config, args.folder, resume=resume, view=TellingView())
    tell("phase", "finished")


if __name__ == "__main__":
    main()
