"""Which engine runs a search: machine code where a C compiler is, else Python; the history is the same."""

from __future__ import annotations

import functools
from collections.abc import Callable

from evosearch.c_library import NoCompilerError
from evosearch.evaluation import Outcome
from evosearch.evolution.engine import Absorbed, Engine
from evosearch.evolution.native.engine import NativeEngine
from evosearch.evolution.native.tables import library
from evosearch.evolution.rules import Rules
from evosearch.language.native import native_behaviour
from evosearch.language.program import Statements
from evosearch.records.columns import Columns

AnyEngine = Engine | NativeEngine

MakeEngine = Callable[
    [Rules, Statements, Outcome, Callable[[Absorbed], None], Callable[[Columns], None]], AnyEngine
]
"""See `make_engine`."""


@functools.cache
def without_machine_code() -> str:
    """Why the engine runs in Python on this machine; "" where it does not."""
    try:
        library()
        native_behaviour()
    except NoCompilerError as error:
        return str(error)
    return ""


def make_engine(
    rules: Rules,
    warm_start: Statements,
    baseline: Outcome,
    on_absorbed: Callable[[Absorbed], None],
    on_rows: Callable[[Columns], None],
) -> AnyEngine:
    """The fastest engine that this machine has.

    Args:
        rules: what the search is.
        warm_start: the statements of a valid program.
        baseline: outcome of training the warm start with all seeds of the pools.
        on_absorbed: what Python's engine calls with each child that takes its place.
        on_rows: what the native engine calls with many.

    Raises:
        SearchError: the warm start is invalid or does not train.
    """
    if without_machine_code():
        return python_engine(rules, warm_start, baseline, on_absorbed, on_rows)
    return NativeEngine(rules, warm_start, baseline, on_rows)


def python_engine(
    rules: Rules,
    warm_start: Statements,
    baseline: Outcome,
    on_absorbed: Callable[[Absorbed], None],
    on_rows: Callable[[Columns], None],  # noqa: ARG001
) -> Engine:
    """The engine of machines without a compiler; see `make_engine`."""
    return Engine(rules, warm_start, baseline, on_absorbed)
