"""Tests compute like workers do, one thread for each process; this must come before JAX is imported."""

from evosearch.runtime import one_thread_each

one_thread_each()
