"""Which interpreter runs programs: machine code made for this machine, XLA alone, or many at once by XLA."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, NamedTuple

import jax

from evosearch.c_library import NoCompilerError
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.interpreter import Interpreter
from evosearch.evaluation.native.interpreter import NativeInterpreter
from evosearch.evaluation.native.library import load
from evosearch.evaluation.plan import Plan

INTERPRETERS = ("auto", "native", "xla", "batched")
"""What may be asked for; `auto` is batched on an accelerator, and on a CPU native where that is possible."""


class Choice(NamedTuple):
    """An interpreter (native, xla or batched), and why it is not native ("" if it was asked for)."""

    name: str
    reason: str


@functools.cache
def choose(wanted: str) -> Choice:
    """The interpreter for what was asked for, on this machine.

    Raises:
        NoCompilerError: native was asked for and can't be built here.
    """
    if wanted != "auto":
        if wanted == "native":
            load()
        return Choice(wanted, "")
    if jax.default_backend() != "cpu":
        return Choice("batched", f"JAX computes on {jax.default_backend()}")
    try:
        load()
    except NoCompilerError as error:
        return Choice("xla", str(error))
    return Choice("native", "")


def settled(plan: Plan) -> Plan:
    """A plan that names its interpreter, so that all processes that get it use the same."""
    return replace(plan, interpreter=choose(plan.interpreter).name)


def batch_of(plan: Plan) -> int:
    """How many trainings an evaluator of this plan does at once; 1 unless programs are batched."""
    batched = plan.way == "interpreter" and choose(plan.interpreter).name == "batched"
    return plan.batch if batched else 1


def make_interpreter(name: str, params: Any, capacity: Capacity) -> Interpreter | NativeInterpreter:
    """The interpreter for one training at a time, for parameters like these: native, otherwise XLA's."""
    return (NativeInterpreter if name == "native" else Interpreter)(params, capacity)
