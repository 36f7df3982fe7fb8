"""What XLA has compiled, kept on disk: the next process that trains the same tasks starts at once.

The folder is `compilations` in the cache folder, one for each processor, since machine code is made for one.
JAX's own variable JAX_COMPILATION_CACHE_DIR names another; JAX removes what was not used for long beyond
`LIMIT` bytes.
"""

from __future__ import annotations

import hashlib
import os

import jax

from evosearch.runtime import processor
from proxy_tasks.kept import cache_folder

LIMIT = 2 * 2**30
WORTHWHILE_SECONDS = 0.1
"""What compiles faster than this is not kept."""


def keep_compilations() -> None:
    """From now on, keep what this process compiles, and take what another one has compiled.

    For processes that interpret programs: a compilation for each candidate is not worth keeping.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    machine = hashlib.sha256(processor().encode()).hexdigest()[:16]
    folder = cache_folder() / "compilations" / machine
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:  # a cache that can't be written to is no reason to fail: compile again the next time
        return
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_compilation_cache_max_size": LIMIT,
        "jax_persistent_cache_min_compile_time_secs": WORTHWHILE_SECONDS,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
