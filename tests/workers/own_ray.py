"""A driver with a Ray of its own, run as a process by `test_ray_pool_processes.py`: own_ray.py FOLDER END.

It prints one line of JSON about its processes, and then ends as told: "close" after a worker has crashed,
"raise" without closing, or else wait for a signal.
"""

import contextlib
import json
import signal
import sys
from pathlib import Path

import jax
import psutil
from worker_fakes import Fake, fake_plan, job

from evosearch.workers.ray_pool import RayPool

# Whoever was started in the background of a shell has been told to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def started() -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process().children(recursive=True)
    return found


def tell(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def described() -> tuple[dict[int, str], list[str]]:
    """The programs of the processes that were started, and the addresses on which they listen."""
    programs, addresses = {}, []
    for process in started():
        with contextlib.suppress(psutil.Error):
            programs[process.pid] = process.cmdline()[0] if process.cmdline() else ""
            connections = process.net_connections()
            addresses += [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    return programs, addresses


folder, end = Path(sys.argv[1]), sys.argv[2]
jax.numpy.zeros(3).block_until_ready()  # from now on JAX has threads, and warns of forks
pool = RayPool(
    fake_plan(folder), "auto" if end == "close" else 1, retries=0, evaluator=Fake, compile_seconds=0.0
)
outcomes: dict[str, bool] = {}
for what in ["crash", "one_thread"] if end == "close" else ["one_thread"]:
    pool.submit([job(len(outcomes), what)])
    outcomes[what] = all(outcome.ok for _, outcome in pool.collect())
processes, addresses = described()
tell({"processes": processes, "listening": addresses, "size": pool.size, "ok": outcomes})
if end == "close":
    pool.close()
    pool.close()
    tell([p.name() for p in started()])
elif end == "raise":
    raise LookupError("the driver fails")
else:
    with pool:
        pool.submit([job(3, "hang")])
        pool.collect()
