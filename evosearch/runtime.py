"""How JAX is set up for evaluation: one thread per process, so that N workers use N cores and no more; and
which processor that is on.
"""

from __future__ import annotations

import gc
import os
import platform
import sys
from pathlib import Path

ENVIRONMENT = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",
}
"""Environment variables of a process that evaluates; they count only if set before JAX is imported."""


def rare_garbage_collection() -> None:
    """Look for reference cycles rarely in this process.

    A search makes millions of small tuples and no cycles among them; looking for cycles after every 700, as
    Python does, costs it a sixth of its time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 20, 100)


def one_thread_each() -> None:
    """Set `ENVIRONMENT` in this process; what the user set is kept (XLA flags are appended to).

    Raises:
        RuntimeError: JAX was imported before, so the settings would come too late.
    """
    if "jaxlib" in sys.modules:
        raise RuntimeError("one_thread_each() must be called before jax is imported")
    for name, value in ENVIRONMENT.items():
        present = os.environ.get(name, "")
        if name == "XLA_FLAGS":
            if value not in present:
                os.environ[name] = f"{present} {value}".strip()
        elif not present:
            os.environ[name] = value


def processor() -> str:
    """The processor's name and its widest vector instructions, which decide how floats are rounded."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    name = facts.get("model name", platform.machine())
    flags = set(facts.get("flags", facts.get("Features", "")).split())
    vectors = [flag for flag in ("avx512f", "avx2", "fma", "sve", "asimd") if flag in flags]
    return f"{name} ({' '.join(vectors)})" if vectors else name
