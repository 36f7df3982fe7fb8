"""Candidates that take their worker down, for real, and those that hang; Linux only.

Ray's workers import this module, so it must not import ray.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from evosearch.evaluation import Job, Outcome, Plan, Status, Tuned, make_evaluator
from evosearch.language import analyze, builtin

Tally = Counter[str]
"""What was done how often."""

MEMORY_BYTES = 128 * 2**20
"""How much more a process may take before its memory ends."""


class Process(NamedTuple):
    """A process; when it began, in ticks since the boot, tells it from a later one of the same number."""

    pid: int
    began: int

    @property
    def runs(self) -> bool:
        """Whether it is still there; who is dead and not buried is not."""
        return process(self.pid) == self


def process(pid: int) -> Process | None:
    """The process of that number, if one runs."""
    fields = stat_fields(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in "ZX" else None


def stat_fields(pid: int) -> list[str]:
    """What /proc says of a process from its state on (then its parent, ...); [] if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


def _segfault() -> None:
    ctypes.string_at(0)


def _run_out_of_memory() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, resource.RLIM_INFINITY))
    held = []
    try:
        while True:
            held.append(bytearray(2**24))
    except MemoryError:
        # Python can tell; C++, where most memory is taken, ends like this. Nobody needs to see the stack.
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.abort()


def _hang() -> None:
    """Hold the interpreter's lock for ever, and hear no signal that can be blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    library = ctypes.PyDLL(None)
    while True:
        library.pause()


def _freeze() -> None:
    """Stop all threads: nothing in the process can answer any more, Ray's part neither."""
    os.kill(os.getpid(), signal.SIGSTOP)


KINDS: dict[str, tuple[Callable[[], None], Status]] = {
    "segfault": (_segfault, Status.WORKER_LOST),
    "memory": (_run_out_of_memory, Status.WORKER_LOST),
    "hang": (_hang, Status.TIMED_OUT),
    "freeze": (_freeze, Status.TIMED_OUT),
}
"""What a faulty candidate does, and what is to become of it."""


@dataclass(frozen=True)
class Faults:
    """Which programs are faulty.

    Attributes:
        kinds: (hash, one of `KINDS`) of each.
        attempts: the folder that gets a file for each faulty program, with a line for each attempt at it;
            None if nothing is to break: the outcome that it should have is told.
        alone: whether evaluations say that they took long, so that each makes a message to a worker.
    """

    kinds: tuple[tuple[bytes, str], ...]
    attempts: Path | None = None
    alone: bool = True

    def processes(self, digest: bytes) -> list[Process]:
        """Where a faulty program was tried, for each time that it was."""
        assert self.attempts is not None
        file = self.attempts / digest.hex()
        lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
        return [Process(*map(int, line.split())) for line in lines]


class Faulty:
    """The real evaluator, except for faulty programs.

    Args:
        plan: what jobs are evaluated on.
        faults: the faulty programs.

    Attributes:
        asked: for which faulty programs it was asked.
    """

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self._real = make_evaluator(plan)
        self.become(faults)
        # Compiles what there is to compile, so that who hangs later has no excuse.
        self._real.evaluate(Job(-1, builtin("adamw").statements, ((0,),) * len(plan.tasks)))

    def become(self, faults: Faults) -> None:
        """From now on these are the faulty programs."""
        self._faults, self._kinds = faults, dict(faults.kinds)
        self.asked: set[bytes] = set()

    def evaluate(self, job: Job) -> Outcome:
        """The outcome, if this process lives to tell it."""
        assert not isinstance(job.candidate, Tuned)
        digest = bytes.fromhex(analyze(job.candidate).hash)
        if digest in self._kinds:
            return self._break(digest, *KINDS[self._kinds[digest]])
        outcome = self._real.evaluate(job)
        return replace(outcome, seconds=1.0) if self._faults.alone else outcome

    def _break(self, digest: bytes, misbehave: Callable[[], None], status: Status) -> Outcome:
        self.asked.add(digest)
        if self._faults.attempts is None:
            return Outcome(status)
        here = process(os.getpid())
        assert here is not None
        with (self._faults.attempts / digest.hex()).open("a", encoding="ascii") as file:
            file.write(f"{here.pid} {here.began}\n")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        misbehave()
        raise RuntimeError("a faulty program came through")
