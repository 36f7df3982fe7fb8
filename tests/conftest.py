"""Tests compute like workers do, one thread for each process; this must come before JAX is imported.

What one process of a test run has compiled, the others load: a third of the time goes into compilation.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from evosearch.runtime import one_thread_each, rare_garbage_collection

_QUICK = "--xla_cpu_use_fusion_emitters=false"
"""Where optimizations are off XLA compiles 2.5 times as fast so; what it computes is the same to the bit."""
if _QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_QUICK}".strip()

one_thread_each()
rare_garbage_collection()

_FOLDER = "EVOSEARCH_TESTS_FOLDER"
_OURS = _FOLDER not in os.environ
"""Processes that this one starts inherit the folder; this one takes it away."""
if _OURS:
    os.environ[_FOLDER] = tempfile.mkdtemp(prefix="evosearch-tests-")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(os.environ[_FOLDER], "jax")))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"

LONG = ("test_task_contract", "test_soak", "test_ray", "test_search_run", "test_cli_bench")
"""How the names of files begin that take longest; most of them wait for processes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread long files over the first half: none is left for the end, and while one waits others compute."""
    files = [*dict.fromkeys(item.path for item in items)]
    long = [file for file in files if file.name.startswith(LONG)]
    others = [file for file in files if file not in long]
    place = {file: float(k) for k, file in enumerate(others)}
    place |= {file: k * len(others) / (2 * len(long)) - 0.5 for k, file in enumerate(long)}
    items.sort(key=lambda item: place[item.path])


def pytest_unconfigure() -> None:
    """Workers of pytest-xdist have ended by now."""
    if _OURS:
        shutil.rmtree(os.environ[_FOLDER], ignore_errors=True)


@pytest.fixture(scope="module")
def quick_compile() -> Iterator[None]:
    """Leaves out most of XLA's optimizations, for modules whose cost is compilation and not what they train.

    Pre-trained weights are then made so too, and get a cache of their own.
    """
    import jax

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOSEARCH_CACHE", str(Path(os.environ[_FOLDER], "quick")))
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # for processes that are started
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", False)
