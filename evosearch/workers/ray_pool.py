"""Workers as Ray actors: processes that live as long as the pool, on this machine or on a cluster.

How work flows: the driver keeps two batches of jobs at each actor, so that an actor never waits for the
driver, and gets one message of outcomes for each batch. How many jobs make a batch follows from the seconds
that jobs were measured to take (`pace`); it changes no result. An actor whose evaluator trains many at once
gets as many as that is, and fewer only when it is idle and no more are expected; it has a GPU to itself if
Ray has GPUs.

How faults are told apart: when an actor dies or takes too long, it is killed and replaced, and the batch that
it was working on is tried again one job at a time, each alone on an actor. There a job's guilt is certain: if
it takes too long it is `TIMED_OUT`, if it keeps taking its actor down it is `WORKER_LOST`, and the others of
its batch get the outcome they deserve.

How the cluster may change: a worker whose node left is replaced like one that died; its replacement waits
until some node has a CPU for it, and goes there by itself. With `count: auto` a pool grows with its cluster.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import socket
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import ray
import ray._private.worker as ray_worker
from ray._private import ray_constants
from ray.exceptions import RayError, RayTaskError

from evosearch.errors import ConfigError, SearchError
from evosearch.evaluation import Job, Outcome, Plan, Status, Tuned, batch_of, make_evaluator
from evosearch.evaluation.interpreters import settled
from evosearch.runtime import ENVIRONMENT
from evosearch.workers.pace import BATCH_SECONDS, Pace
from evosearch.workers.pool import MakeEvaluator, Staff, first_line
from evosearch.workers.worker import Failure, Worker, packed, unpacked

COMPILE_SECONDS = 120.0
"""What a batch may take on top of its limit if its actor may have to compile first."""

START_SECONDS = 300.0
"""How long the pool waits for its first worker."""

CONNECT_SECONDS = 10.0
"""How long a cluster may take to answer."""

FIRST_STARTS = 3
"""How many actors in a row may die at one place before they are ready if none ever was: nothing can work."""

LATER_STARTS = 10
"""The same once some worker was ready: these may be killed from outside, with their node for example."""

GROWTH_SECONDS = 5.0
"""How often a pool that grows with its cluster looks how large that is; it takes less than a millisecond."""

SILENT_SECONDS = 30.0
"""How long there may be work and no worker before a line says so, and again before each further one."""

OBJECT_STORE_BYTES = 80 * 2**20
"""Close to the least that Ray takes; programs and outcomes do not go through it."""


# ---------------------------------------------------------------- at the driver


@dataclass(eq=False)
class _Work:
    """A job, and how many actors died while they had it."""

    job: Job
    deaths: int = 0


@dataclass(eq=False)
class _Batch:
    """A message to an actor: work, or the order to start (no work).

    Attributes:
        ref: where Ray will put the answer.
        work: what was sent.
        limit: seconds that it may take.
        steady: whether it tells how long jobs take, nothing had to be compiled first.
        alone: whether the actor has this one job and nothing else.
    """

    ref: Any
    work: Sequence[_Work]
    limit: float
    steady: bool = False
    alone: bool = False


@dataclass(eq=False)
class _Member:
    """An actor as the driver sees it.

    Attributes:
        actor: Ray's handle.
        sent: batches on the way, the one it works on first.
        since: when the first of them became the first.
        failed: how many actors in a row died at this place before they were ready, up to this one.
        ready: whether its evaluator is built.
        compiled: what it has compiled already, see `_compiles`.
    """

    actor: Any
    sent: deque[_Batch]
    since: float
    failed: int = 0
    ready: bool = False
    compiled: set[object] = field(default_factory=set)

    @property
    def overdue(self) -> float:
        """When its present batch has taken too long."""
        return self.since + self.sent[0].limit if self.sent else math.inf


class RayPool:
    """Workers as Ray actors; see `Pool`.

    If Ray is initialised in this process already, that Ray is used, and left running by `close`.

    Args:
        plan: what jobs are evaluated on.
        count: how many workers; "auto" for one for each CPU, of this machine or of the cluster, or one for
            each GPU where programs are batched and Ray has GPUs. With "auto" there will be more when the
            cluster has more; where nodes leave, as many are kept in mind, and start when others join.
        address: None for Ray on this machine only; "auto" or "host:port" joins a cluster.
        timeout: seconds that one candidate may take, with the compiled way its compilation included.
        retries: how many times a job that was on a dying worker is tried again before it is `WORKER_LOST`.
        evaluator: builds the evaluator of a worker; a function that workers can import.
        compile_seconds: what a batch may take on top of its limit if its actor may have to compile first.

    Raises:
        ConfigError: no cluster at the address, a count below 1, or more workers than GPUs.
        TaskError, SearchError: as in `Pool.collect`.
    """

    def __init__(
        self,
        plan: Plan,
        count: int | Literal["auto"] = "auto",
        address: str | None = None,
        timeout: float = 600.0,
        retries: int = 2,
        evaluator: MakeEvaluator = make_evaluator,
        compile_seconds: float = COMPILE_SECONDS,
    ) -> None:
        if count != "auto" and count < 1:
            raise ConfigError(f"workers.count: expected auto, or a number from 1, found {count}")
        self._plan, self._evaluator = settled(plan), evaluator
        self._timeout, self._retries, self._compile_seconds = timeout, retries, compile_seconds
        self._waiting: deque[_Work] = deque()
        self._suspects: deque[_Work] = deque()
        self._finished: list[tuple[int, Outcome]] = []
        self._members: list[_Member] = []
        self._together = batch_of(self._plan)
        self._pace = Pace(self._together)
        self._some_was_ready = False
        self._open = True
        self._own_ray = not ray.is_initialized()
        # A Ray of this machine alone stays as it is.
        self._grows = count == "auto" and not (self._own_ray and address is None)
        atexit.register(self.close)
        try:
            if self._own_ray:
                _initialise(address, count, gpus=self._together > 1)
            self._gpus = _resources("GPU") if self._together > 1 else 0
            if count != "auto" and 0 < self._gpus < count:
                raise ConfigError(
                    f"workers.count: expected auto, or at most {self._gpus}, a GPU of Ray for each, "
                    f"found {count}"
                )
            self._count = self._room() if count == "auto" else count
            self._members = [self._recruit() for _ in range(self._count)]
            self._looked = self._told = time.monotonic()
            self._await_first()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """See `Pool.size`."""
        return self._count * self._together

    @property
    def workers(self) -> Staff:
        """See `HasWorkers.workers`."""
        return Staff(sum(member.ready for member in self._members), self._count)

    def submit(self, jobs: Sequence[Job]) -> None:
        """See `Pool.submit`."""
        self._check_open()
        self._waiting.extend(_Work(job) for job in jobs)
        self._dispatch(ahead=1, partial=False)

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        """See `Pool.collect`."""
        self._check_open()
        end = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            self._advance(partial=timeout != 0)
            left = end - time.monotonic()
            if self._finished or left <= 0 or not self._under_way():
                break
            self._tell_if_nobody_is_there()
            self._wait(left)
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """See `Pool.close`."""
        if not self._open:
            return
        self._open = False
        atexit.unregister(self.close)
        members, self._members = self._members, []
        try:
            if ray.is_initialized():
                for member in members:
                    ray.kill(member.actor)
        finally:
            if self._own_ray:
                _shut_down()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------ waiting

    def _check_open(self) -> None:
        if not self._open:
            raise RuntimeError("this pool is closed")

    def _under_way(self) -> bool:
        work = any(batch.work for member in self._members for batch in member.sent)
        return work or bool(self._waiting or self._suspects)

    def _await_first(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not any(member.ready for member in self._members):
            if time.monotonic() > end:
                raise SearchError(
                    f"no worker was ready within {START_SECONDS:.0f} s: expected {self._count} free CPUs in "
                    f"Ray, which has {_cpus()} in all; ask for fewer workers, or free some CPUs"
                )
            self._wait(end - time.monotonic())
            self._advance(partial=False)

    def _wait(self, seconds: float) -> None:
        """Until an actor answers or is overdue, or the time is up."""
        heads = [member.sent[0].ref for member in self._members if member.sent]
        overdue = min(member.overdue for member in self._members) - time.monotonic()
        # A bound, because Ray takes no infinity, and so that Ctrl-C and joining nodes never wait long.
        ray.wait(heads, num_returns=1, timeout=max(0.0, min(seconds, overdue, GROWTH_SECONDS)))

    def _tell_if_nobody_is_there(self) -> None:
        now = time.monotonic()
        if any(member.ready for member in self._members):
            self._told = now
        elif now - self._told > SILENT_SECONDS:
            self._told = now
            _LOG.warning(
                "no worker is ready: expected %d, Ray has %d CPUs in all; the work goes on when a node joins",
                self._count,
                _resources("CPU"),
            )

    def _advance(self, partial: bool) -> None:
        """Take what has come in, replace who is overdue, and hand out work; never waits."""
        self._take_answers()
        now = time.monotonic()
        for member in [member for member in self._members if member.overdue < now]:
            self._replace(member, Status.TIMED_OUT)
        if self._grows and now - self._looked > GROWTH_SECONDS:
            self._looked = now
            self._grow()
        self._dispatch(self._pace.ahead, partial)

    def _room(self) -> int:
        """How many workers Ray has room for now."""
        return (_resources("GPU") if self._gpus else 0) or _cpus()

    def _grow(self) -> None:
        """More workers if there is room for more; never fewer: who has no room waits until there is some."""
        more = self._room() - self._count
        if more > 0:
            _LOG.info("%d more workers: nodes have joined", more)
            self._count += more
            self._members += [self._recruit() for _ in range(more)]

    # ------------------------------------------------------------ to the actors

    def _recruit(self, failed: int = 0) -> _Member:
        """A new actor that builds its evaluator, at a place where so many died before they were ready."""
        environment = {"env_vars": _environment(os.environ)}
        options = _ACTOR.options(runtime_env=environment, num_gpus=1 if self._gpus else 0)
        actor: Any = options.remote()
        start = _Batch(actor.start.remote(self._plan, self._evaluator), (), math.inf)
        return _Member(actor, deque([start]), time.monotonic(), failed)

    def _dispatch(self, ahead: int, partial: bool) -> None:
        """Give each actor up to `ahead` batches, all actors evenly; suspects go to idle actors, alone.

        Unless `partial`, more jobs are expected at once, so actors get whole messages or nothing: if each
        idle one got the few jobs that are there, messages would cost a busy driver more than its breeding.
        """
        idle = sum(member.ready and not member.sent for member in self._members)
        for level in range(ahead):
            for member in self._members:
                if not member.ready or len(member.sent) != level or any(b.alone for b in member.sent):
                    continue
                alone = level == 0 and bool(self._suspects)
                if alone:
                    work = [self._suspects.popleft()]
                elif self._enough(level, partial, idle):
                    size = self._pace.batch(len(self._waiting), self._count) if partial else self._pace.wanted
                    work = [self._waiting.popleft() for _ in range(size)]
                else:
                    continue
                self._send(member, work, alone)
                idle -= level == 0

    def _enough(self, level: int, partial: bool, idle: int) -> bool:
        """Whether enough jobs wait to send an actor some behind the batches that it has."""
        if self._together > 1:
            return len(self._waiting) >= self._together or (partial and level == 0 and bool(self._waiting))
        if partial:
            return bool(self._waiting)
        # Where nobody is idle, what waits behind may as well wait here until there is some for everybody.
        actors = self._count * self._pace.ahead if level else idle
        return len(self._waiting) >= self._pace.wanted * actors

    def _send(self, member: _Member, work: Sequence[_Work], alone: bool) -> None:
        jobs = [each.job for each in work]
        # Little more than for a single job: a batch is expected to be far quicker, and if it isn't, no job
        # is judged before it had its full time alone. Jobs that are done at once may take each other's time.
        limit = self._timeout * len(jobs)
        if self._together == 1:
            limit = min(limit, self._timeout + 10 * BATCH_SECONDS)
        compiles = {_compiles(job) for job in jobs}
        steady = compiles <= member.compiled
        limit += 0.0 if steady else self._compile_seconds
        member.compiled |= compiles
        if not member.sent:
            member.since = time.monotonic()
        ref = member.actor.run.remote(packed(jobs))
        member.sent.append(_Batch(ref, work, limit, steady, alone))

    # ------------------------------------------------------------ from the actors

    def _take_answers(self) -> None:
        """Take each actor's first answer that is there; a second one is left to the next look."""
        heads = {member.sent[0].ref: member for member in self._members if member.sent}
        if heads:
            ready, _ = ray.wait(list(heads), num_returns=len(heads), timeout=0)
            for ref in ready:
                self._take(heads[ref])

    def _take(self, member: _Member) -> None:
        """Take the answer to an actor's first batch."""
        batch = member.sent[0]
        try:
            answer = ray.get(batch.ref)
            if batch.work:
                answer = unpacked(answer)
        except RayTaskError as error:  # the method was not even called
            raise SearchError(
                f"a worker could not read what it was sent: {first_line(error.cause)}; is the same evosearch "
                "installed on every machine of the cluster?"
            ) from error
        except RayError as error:
            self._replace(member, Status.WORKER_LOST, error)
            return
        member.sent.popleft()
        member.since = time.monotonic()
        if isinstance(answer, Failure):
            raise answer.error()
        if not member.ready:
            member.ready = self._some_was_ready = True
            return
        if batch.steady:
            self._pace.observe(answer)
        self._finished += [(work.job.id, outcome) for work, outcome in zip(batch.work, answer, strict=True)]

    def _replace(self, member: _Member, status: Status, error: Exception | None = None) -> None:
        """Put a new actor in the place of one that died or is to die, and judge what it was working on."""
        ray.kill(member.actor)
        _LOG.info("a worker is replaced: %s", first_line(error or status.value))
        failed = 0 if member.ready else member.failed + 1
        if failed >= (LATER_STARTS if self._some_was_ready else FIRST_STARTS):
            raise SearchError(
                f"workers die while they start, {failed} in a row: {_cause(error)}; what they print is in "
                "Ray's logs, /tmp/ray/session_latest/logs on their machine"
            ) from error
        batch, *behind = member.sent
        if status is Status.WORKER_LOST:
            # The answer to the first batch may have died with its worker, which was then at a later one.
            for work in (work for later in behind for work in later.work):
                work.deaths += 1
                self._suspects.append(work)
        else:
            self._waiting.extendleft(work for later in reversed(behind) for work in reversed(later.work))
        for work in batch.work:
            work.deaths += status is Status.WORKER_LOST
            timed_out = status is Status.TIMED_OUT and len(batch.work) == 1
            if timed_out or (batch.alone and work.deaths > self._retries):
                self._finished.append((work.job.id, Outcome(status)))
            else:
                self._suspects.append(work)
        self._members[self._members.index(member)] = self._recruit(failed)


def _compiles(job: Job) -> object:
    """What an evaluator has to compile before this job, if it has not yet."""
    tasks = tuple(index for index, seeds in enumerate(job.seeds) if seeds)
    return tasks, job.split, job.candidate.name if isinstance(job.candidate, Tuned) else None


def _cause(error: Exception | None) -> str:
    """What Ray says of an actor's death: the first line has no more than that it died. Not its guesses."""
    lines = [line.strip() for line in str(error).strip().split("\n")]
    causes = [line for line in lines if " because " in line]
    return (causes or lines)[0].partition(" Some common causes")[0].rstrip(".")


# ---------------------------------------------------------------- Ray itself

_ACTOR = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(Worker)
_PRINT = ray_worker.print_to_stdstream
_LOG = logging.getLogger(__name__)


def _cpus() -> int:
    return max(1, _resources("CPU"))


def _resources(name: str) -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(resources.get(name, 0))


def _environment(user: Mapping[str, str]) -> dict[str, str]:
    """The environment of an actor: one thread each; the user's XLA flags are kept."""
    flags, ours = user.get("XLA_FLAGS", ""), ENVIRONMENT["XLA_FLAGS"]
    return {**ENVIRONMENT, "XLA_FLAGS": flags if ours in flags else f"{flags} {ours}".strip()}


def _initialise(address: str | None, count: int | Literal["auto"], gpus: bool) -> None:
    """Start Ray on this machine, with its GPUs or without, or join a cluster."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Even so Ray 2.60 prints on standard output what its daemons think of each worker that dies.
    ray_worker.print_to_stdstream = lambda *_, **__: None
    with warnings.catch_warnings():
        # Ray starts its processes with a fork and an exec at once, which JAX's threads don't mind.
        warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
        if address is None:
            _start(count, gpus, quiet)
        else:
            _join(address, quiet)


@contextmanager
def local_ray(cpus: int) -> Iterator[None]:
    """Ray on this machine alone, without GPUs, for several pools at once; each uses it and leaves it running.

    Example:
        with local_ray(3), RayPool(plan, 1) as one, RayPool(plan, 2) as two: ...
    """
    _initialise(None, cpus, gpus=False)
    try:
        yield
    finally:
        _shut_down()


def _shut_down() -> None:
    ray.shutdown()
    ray_worker.print_to_stdstream = _PRINT


def _start(count: int | Literal["auto"], gpus: bool, quiet: dict[str, Any]) -> None:
    with local_only():
        ray.init(
            "local",
            num_cpus=None if count == "auto" else count,
            num_gpus=None if gpus else 0,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            **quiet,
        )


def _join(address: str, quiet: dict[str, Any]) -> None:
    try:
        if address != "auto":
            # Ray itself goes on trying for more than ten minutes where nobody listens.
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"workers.address: expected auto, or the host:port of a running Ray cluster, found {address!r} "
            f"({first_line(error)}); start one with `ray start --head` (where it asks for a token, set "
            "RAY_AUTH_MODE=token), or leave the address empty to work on this machine alone"
        ) from error


@contextmanager
def local_only() -> Iterator[None]:
    """While a local Ray starts: no usage statistics, and no socket that other machines can reach.

    Around a `ray.cluster_utils.Cluster` and whoever joins it, it makes a cluster of this machine alone.

    Ray 2.60 turns the node address 127.0.0.1 into the machine's own and then listens on every interface,
    except where it thinks that clusters are not supported, as on macOS.
    """
    clusters = ray_constants.ENABLE_RAY_CLUSTER
    statistics = os.environ.get("RAY_USAGE_STATS_ENABLED")
    ray_constants.ENABLE_RAY_CLUSTER = False
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        if statistics is None:
            del os.environ["RAY_USAGE_STATS_ENABLED"]
        else:
            os.environ["RAY_USAGE_STATS_ENABLED"] = statistics
