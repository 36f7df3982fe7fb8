"""Tests compute like workers do, one thread for each process; this must come before JAX is imported."""

from collections.abc import Iterator

import pytest

from evosearch.runtime import one_thread_each

one_thread_each()


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
