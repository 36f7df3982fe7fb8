"""What the native interpreter's instructions are made of: operations beyond the table, kinds of operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import TypeVar

from primitives import OPCODES

V = TypeVar("V")

INDEX_BITS = 16
"""An operand is its kind, shifted by so many bits, plus an index."""


class Kind(IntEnum):
    """Where an operand lies. Everything before `SCRATCH` is in memory, a number for each weight."""

    WEIGHT = 0
    GRADIENT = 1
    SLOT_M = 2
    SLOT_V = 3
    SPILL = 4  # a value that a later pass reads
    SCRATCH = 5  # a value of one pass: a block in the cache
    NARROW = 6  # a number for each leaf
    COLUMN = 7  # a number known ahead for each step


class Operation(IntEnum):
    """Operations beyond those of the table, numbered after them."""

    COPY = len(OPCODES)  # x
    RATIO = len(OPCODES) + 1  # x / y, unprotected
    CLIP_FACTOR = len(OPCODES) + 2  # what `clip` multiplies a tree of norm x by, for the bound y
    TOTAL = len(OPCODES) + 3  # the sum over the leaves' numbers
    SUM = len(OPCODES) + 4  # the sum of x * y over each leaf
    MOVE = len(OPCODES) + 5  # weights less factor * x
    PASS = len(OPCODES) + 6  # the next so many instructions are one pass over the elements


ELEMENTWISE: Mapping[int, str] = MappingProxyType(
    {
        Operation.COPY: "x",
        Operation.RATIO: "x / y",
        Operation.CLIP_FACTOR: "x <= larger(y, 0.0f) ? 1.0f : larger(y, 0.0f) / x",
    }
)
"""Those that work element by element, as C expressions like the table's column `c`."""

Emit = Callable[..., V]
"""`emit(operation, *operands)` adds an operation and returns its result."""


def _square_sum(emit: Emit[V], x: V) -> V:
    return emit(Operation.SUM, x, x)


def _global_norm(emit: Emit[V], x: V) -> V:
    return emit(OPCODES["sqrt"], emit(Operation.TOTAL, _square_sum(emit, x)))


def _dot(emit: Emit[V], x: V, y: V) -> V:
    return emit(Operation.TOTAL, emit(Operation.SUM, x, y))


def _cosine_sim(emit: Emit[V], x: V, y: V) -> V:
    sizes = emit(OPCODES["multiply"], _global_norm(emit, x), _global_norm(emit, y))
    return emit(OPCODES["divide"], _dot(emit, x, y), sizes)


def _clip(emit: Emit[V], x: V, a: V) -> V:
    return emit(OPCODES["multiply"], x, emit(Operation.CLIP_FACTOR, _global_norm(emit, x), a))


LEAF_SIZE = "leaf size"
"""Stands for the number of elements of each leaf, as an operand."""

BUILT: Mapping[str, Callable[..., object]] = MappingProxyType(
    {
        "norm": lambda emit, x: emit(OPCODES["sqrt"], _square_sum(emit, x)),
        "rms": lambda emit, x: emit(OPCODES["sqrt"], emit(Operation.RATIO, _square_sum(emit, x), LEAF_SIZE)),
        "global_norm": _global_norm,
        "dot": _dot,
        "cosine_sim": _cosine_sim,
        "clip": _clip,
    }
)
"""How the primitives that look at whole tensors are built; all others have a C expression in the table."""
