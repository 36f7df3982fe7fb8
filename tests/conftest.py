"""Tests compute like workers do, one thread for each process; this must come before JAX is imported.

What one process of a test run has compiled, the others load: a third of the time goes into compilation.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from evosearch.runtime import one_thread_each

one_thread_each()

_OURS = "JAX_COMPILATION_CACHE_DIR" not in os.environ
"""Processes that this one starts inherit the folder; this one takes it away."""
if _OURS:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="evosearch-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"


def pytest_unconfigure() -> None:
    """Workers of pytest-xdist have ended by now."""
    if _OURS:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="module")
def quick_compile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leaves out most of XLA's optimizations, for modules whose cost is compilation and not what they train.

    Pre-trained weights are then made so too, and get a cache of their own.
    """
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for processes that are started
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
