"""A Ray cluster of this machine alone, to kill processes of; Linux only.

Only processes that it started are ever found: children of its own raylets, whoever else has a Ray here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from evosearch.soak.worker_faults import Process, process, stat_fields
from evosearch.workers.ray_pool import OBJECT_STORE_BYTES, local_only

WORKERS = 2
PATIENCE = 300.0
"""Seconds after which something that should happen is said not to."""


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


def gone(processes: set[Process]) -> bool:
    """Whether all of them are, after a while."""
    return within(lambda: not any(each.runs for each in processes))


def within(condition: Callable[[], bool]) -> bool:
    """Whether something becomes so within `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
