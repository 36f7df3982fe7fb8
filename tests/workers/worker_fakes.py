"""An evaluator that misbehaves on demand: jobs for it are tuned references whose name is what to do."""

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from evosearch.c_library import NoCompilerError
from evosearch.evaluation import Job, Outcome, Plan, Status, TaskPlan, Tuned
from evosearch.runtime import ENVIRONMENT
from proxy_tasks import TaskError


def fake_plan(folder: Path, start: str = "well") -> Plan:
    """A plan for `Fake`: `folder` gets a file for each job, with a line for each time it ran."""
    return Plan((TaskPlan("fake", (("folder", str(folder)), ("start", start))),))


def job(id_: int, what: str = "well", *values: float) -> Job:
    return Job(id_, Tuned(what, values), ((0,),))


def runs(folder: Path, id_: int) -> int:
    """How many times a job was begun."""
    return len(processes(folder, id_))


def processes(folder: Path, id_: int) -> list[int]:
    """The process that ran the job, for each time it was begun."""
    file = folder / str(id_)
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


class Fake:
    """Evaluates by doing what the job says; the metric is the job's id."""

    def __init__(self, plan: Plan) -> None:
        knobs = dict(plan.tasks[0].knobs)
        self.folder = Path(str(knobs["folder"]))
        self.do(str(knobs["start"]), ())

    def do(self, what: str, values: Sequence[float]) -> None:
        getattr(self, what)(*values)

    def evaluate(self, job: Job) -> Outcome:
        assert isinstance(job.candidate, Tuned)
        begin = time.perf_counter()
        with (self.folder / str(job.id)).open("a") as file:
            file.write(f"{os.getpid()}\n")
        self.do(job.candidate.name, job.candidate.values)
        return Outcome(Status.OK, (((float(job.id),),),), seconds=time.perf_counter() - begin)

    def well(self) -> None: ...

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def until_told(self) -> None:
        while not (self.folder / "told").exists():
            time.sleep(0.01)

    def exit(self) -> None:
        os._exit(1)

    def exit_in_storm(self) -> None:
        if (self.folder / "storm").exists():
            self.exit()

    def crash(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(self) -> None:
        """Never returns, and holds the interpreter lock: no Python code can stop it."""
        ctypes.PyDLL(None).sleep(1000)

    def fail(self) -> None:
        raise ZeroDivisionError("oh dear")

    def no_data(self) -> None:
        raise TaskError("task 'fake': expected a text file, found none at 'nowhere'")

    def no_compiler(self) -> None:
        raise NoCompilerError("the native interpreter needs a C compiler, found none")

    def one_thread(self) -> None:
        """Checks that the environment is what a worker should have."""
        for name, value in ENVIRONMENT.items():
            assert value in os.environ[name], name
