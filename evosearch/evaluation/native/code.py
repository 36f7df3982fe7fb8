"""A program as code for the native interpreter: what is computed in which pass, and where it lies.

A pass goes over all elements once, block by block. A sum over elements is known only when its pass has ended,
so each sum that another one depends on costs a pass. Everything else is put into the latest pass that still
serves its readers: a value that is read in its own pass only is a block in the cache, the others are spilled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evosearch.evaluation.flow import FIRST_COMPUTED, Capacity, Flow, M, V, flow_of
from evosearch.evaluation.native.operations import BUILT, INDEX_BITS, Kind, Operation
from evosearch.language.program import Statement
from primitives import OPCODES, ValueType

FIELDS = 5
_LONGEST = 12
"""Instructions of a statement at most, passes included (`cosine_sim` takes 10)."""


class Code(NamedTuple):
    """A program as arrays of fixed shape.

    Attributes:
        instructions: int32 (instructions, 5): operation, result, operands x, y, a; see `operations`.
        counts: int32 (4,), instructions, blocks of scratch, spilled values, narrow values.
        scalars: float32 (steps, capacity.scalars).
    """

    instructions: NDArray[np.int32]
    counts: NDArray[np.int32]
    scalars: NDArray[np.float32]


def code_of(statements: Sequence[Statement], schedule: NDArray[np.float32], capacity: Capacity) -> Code:
    """The code of a valid program for trainings with this schedule.

    Args:
        statements: a valid program; dead statements are left out.
        schedule: float32 (steps,), the value of `lr` at each step.
        capacity: what the interpreter was compiled for.

    Raises:
        ValueError: the program is invalid, or larger than the capacity.
    """
    flow = flow_of(statements, schedule, capacity)
    graph = _Graph(flow)
    passes = _in_passes(graph)
    places = _Places(graph, passes)
    lines: list[tuple[int, ...]] = []
    for narrow, wide in passes:
        lines += [places.line(node) for node in narrow]
        if wide:
            lines += [(Operation.PASS, len(wide)), *(places.line(node) for node in wide)]
    table = np.zeros((_LONGEST * capacity.statements + _LONGEST, FIELDS), np.int32)
    for index, line in enumerate(lines):
        table[index, : len(line)] = line
    counts = np.array([len(lines), places.scratches, places.spills, places.narrows], np.int32)
    return Code(table, counts, flow.scalars(len(schedule), capacity))


# ---------------------------------------------------------------- what is computed


@dataclass(frozen=True)
class _Column:
    """An operand that is known ahead."""

    number: int


@dataclass(eq=False)
class _Node:
    """An operation and its result; the first four have no operation, they are what a step begins with.

    Attributes:
        operation: of the table or of `Operation`; None for a value that is there.
        operands: what it reads.
        wide: whether the result is a number for each weight; a sum's is not.
        earliest: the first pass in which the result can be read.
        at: the pass in which it is computed.
    """

    operation: int | None
    operands: tuple[_Node | _Column, ...]
    wide: bool
    earliest: int
    at: int = 0

    @property
    def over_elements(self) -> bool:
        """Whether computing it means going over elements."""
        return self.wide or self.operation == Operation.SUM

    def reads(self) -> Iterable[_Node]:
        return (operand for operand in self.operands if isinstance(operand, _Node))


class _Graph:
    """All operations of a flow, in an order in which they can be computed; equal ones once."""

    def __init__(self, flow: Flow) -> None:
        self._known: dict[tuple[int, tuple[_Node | _Column, ...]], _Node] = {}
        self.nodes: list[_Node] = []
        self.inputs = [_Node(None, (), True, 0) for _ in range(FIRST_COMPUTED)]
        self.leaf_size = _Node(None, (), False, 0)
        values: dict[int, _Node] = dict(enumerate(self.inputs))
        for instruction in flow.instructions:
            operands = tuple(
                _Column(number) if is_column else values[number] for is_column, number in instruction.operands
            )
            wide = instruction.type is ValueType.TENSOR
            if instruction.primitive in BUILT:
                values[instruction.result] = BUILT[instruction.primitive](self._emit, *operands)  # type: ignore[assignment]
            else:
                values[instruction.result] = self._add(OPCODES[instruction.primitive], operands, wide)
        self.update = values[flow.update]
        self.carried = [(slot, values[number]) for slot, number in flow.carried]

    def _emit(self, operation: int, *operands: _Node | _Column | str) -> _Node:
        given = tuple(self.leaf_size if isinstance(o, str) else o for o in operands)
        wide = operation != Operation.SUM and any(isinstance(o, _Node) and o.wide for o in given)
        return self._add(operation, given, wide)

    def _add(self, operation: int, operands: tuple[_Node | _Column, ...], wide: bool) -> _Node:
        key = operation, operands
        if key not in self._known:
            earliest = max((o.earliest for o in operands if isinstance(o, _Node)), default=0)
            node = _Node(operation, operands, wide, earliest + (operation == Operation.SUM))
            self._known[key] = node
            self.nodes.append(node)
        return self._known[key]


# ---------------------------------------------------------------- when


def _in_passes(graph: _Graph) -> list[tuple[list[_Node], list[_Node]]]:
    """For each pass, the operations on numbers before it and those over elements in it.

    What the last pass ends with is not among them: `_Places` decides which slots have to be copied.
    """
    last = max((node.earliest for node in graph.nodes), default=0)
    latest = dict.fromkeys(graph.nodes, last)
    for node in reversed(graph.nodes):
        if node.operation == Operation.SUM:
            node.at = node.earliest - 1
        elif node.wide:
            node.at = latest[node]
        else:
            node.at = node.earliest
        for operand in node.reads():
            if operand.operation is not None:
                latest[operand] = min(latest[operand], node.at)
    passes: list[tuple[list[_Node], list[_Node]]] = [([], []) for _ in range(last + 1)]
    for node in graph.nodes:
        passes[node.at][1 if node.over_elements else 0].append(node)
    return passes


# ---------------------------------------------------------------- where


class _Places:
    """Where each value lies. A slot's new value lies there at once, unless the old one is still read."""

    def __init__(self, graph: _Graph, passes: Sequence[tuple[list[_Node], list[_Node]]]) -> None:
        kinds = (Kind.WEIGHT, Kind.GRADIENT, Kind.SLOT_M, Kind.SLOT_V)
        self._of = {node: _operand(kind, 0) for node, kind in zip(graph.inputs, kinds, strict=True)}
        self._of[graph.leaf_size] = _operand(Kind.NARROW, 0)
        self.narrows = 1
        for node in graph.nodes:
            if not node.wide:
                self._of[node] = _operand(Kind.NARROW, self.narrows)
                self.narrows += 1
        order = [node for _, wide in passes for node in wide]
        end, last = len(order), len(passes) - 1
        last_read: dict[_Node, tuple[int, int]] = {}  # position and pass
        for position, node in enumerate(order):
            last_read.update(dict.fromkeys(node.reads(), (position, node.at)))
        last_read.update(dict.fromkeys((graph.update, *(node for _, node in graph.carried)), (end, last)))
        homes = {node: slot for slot, node in reversed(graph.carried) if node not in graph.inputs}
        self._pools = {Kind.SCRATCH: _Pool(), Kind.SPILL: _Pool()}
        for position, node in enumerate(order):
            for pool in self._pools.values():
                pool.release(position)
            home = homes.get(node)
            if not node.wide:
                continue
            if home is not None and last_read.get(graph.inputs[home], (-1, 0))[0] <= position:
                self._of[node] = _operand(kinds[home], 0)
                continue
            until, at = last_read[node]
            kind = Kind.SCRATCH if at == node.at else Kind.SPILL
            self._of[node] = _operand(kind, self._pools[kind].take(until))
        passes[-1][1].extend(self._ending(graph, end))

    @property
    def scratches(self) -> int:
        """How many blocks of scratch there are."""
        return self._pools[Kind.SCRATCH].size

    @property
    def spills(self) -> int:
        """How many rows of spilled values there are."""
        return self._pools[Kind.SPILL].size

    def line(self, node: _Node) -> tuple[int, ...]:
        """A node as an instruction. Operands that an operation does not have repeat the first."""
        assert node.operation is not None
        operands = [
            self._of[o] if isinstance(o, _Node) else _operand(Kind.COLUMN, o.number) for o in node.operands
        ]
        return node.operation, self._of[node], *operands, *[operands[0]] * (FIELDS - 2 - len(operands))

    def _ending(self, graph: _Graph, end: int) -> list[_Node]:
        """The slots' new values brought home, then the weights moved.

        A slot whose new value is another slot's old one is read before either is written.
        """
        slots = graph.inputs[M], graph.inputs[V]
        reads: list[_Node] = []
        writes: list[_Node] = []
        for slot, value in graph.carried:
            home = self._of[graph.inputs[slot]]
            source = value
            if value in slots and value is not graph.inputs[slot]:
                source = _Node(Operation.COPY, (value,), True, 0)
                self._of[source] = _operand(Kind.SCRATCH, self._pools[Kind.SCRATCH].take(end + 1))
                reads.append(source)
            if self._of[source] != home:
                writes.append(_Node(Operation.COPY, (source,), True, 0))
                self._of[writes[-1]] = home
        move = _Node(Operation.MOVE, (graph.update,), True, 0)
        self._of[move] = _operand(Kind.WEIGHT, 0)
        return [*reads, *writes, move]


@dataclass
class _Pool:
    """Numbered places that are given out again when nobody reads them any more."""

    size: int = 0
    _free: list[int] = field(default_factory=list)
    _until: dict[int, list[int]] = field(default_factory=dict)

    def take(self, until: int) -> int:
        """A place for a value that is read for the last time at this position."""
        if self._free:
            place = self._free.pop()
        else:
            place, self.size = self.size, self.size + 1
        self._until.setdefault(until, []).append(place)
        return place

    def release(self, position: int) -> None:
        """What is read for the last time here can take the result: reading comes before writing."""
        self._free += self._until.pop(position, [])


def _operand(kind: Kind, index: int) -> int:
    return (kind << INDEX_BITS) | index
