"""A program as a graph of values, the form that every exporter starts from.

Only live statements are in it; a repeated expression is one node; an expression without inputs is its float32
number; and the learning rate is found (`LearningRate`). Program 8's `clip`, which looks at the whole tree to
rescale each of its arrays, becomes two nodes: the norm of the tree, and an elementwise rescaling by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from evosearch.errors import ExportError
from evosearch.export.spelling import SPELLED
from evosearch.language.abstract import Value, analyze, constant_value, live_statements
from evosearch.language.program import INPUTS, Constant, Statement
from primitives import BY_NAME, ValueType

SLOTS = ("m", "v")
RESCALED = "clip"
"""The primitive that is taken apart: `clip(x, a)` becomes `clip(x, global_norm(x), a)`."""

PRODUCT = "multiply"
"""The primitive in which a factor of the learning rate, or of a weight, is recognised."""


@dataclass(frozen=True, eq=False)
class Node:
    """A value: an input, a constant, or a primitive applied to values. Equal only to itself.

    Attributes:
        name: the primitive, the input's name, or "" for a constant without a name of its own.
        args: what the primitive is applied to; empty for inputs and constants.
        type: tensor, leafwise or scalar.
        number: the float32 number of a constant, else None.
        hint: what the program calls it.
    """

    name: str
    args: tuple[Node, ...]
    type: ValueType
    number: float | None = None
    hint: str = ""

    @property
    def is_input(self) -> bool:
        """Whether it is w, g, m, v or lr."""
        return not self.args and self.number is None

    @property
    def is_constant(self) -> bool:
        """Whether it is a number."""
        return self.number is not None

    @property
    def is_total(self) -> bool:
        """Whether it looks at a whole tree to give one number."""
        return self.type is ValueType.SCALAR and any(a.type is ValueType.TENSOR for a in self.args)


class LearningRate(NamedTuple):
    """What the learning rate of the exported optimizer is.

    Attributes:
        default: its value where the program's schedule stands at 1.
        found: "factor": the program uses lr only as `lr * default`. "schedule": it uses lr itself in other
            ways, so the learning rate is lr. "update": it does not use lr, and multiplies the whole update by
            `default` in the end. "nowhere": there is none.
    """

    default: float
    found: str

    @property
    def exists(self) -> bool:
        """Whether the program has one."""
        return self.found != "nowhere"


@dataclass(frozen=True)
class Graph:
    """A program as values.

    Attributes:
        nodes: all nodes, each after its arguments.
        update: what is taken from the weights.
        slots: what the carried slots become, by their names.
        inputs: the inputs that are used, in the order w, g, m, v, lr.
        learning_rate: what stands for lr.
        uses: how many arguments and outputs each node is.
    """

    nodes: tuple[Node, ...]
    update: Node
    slots: dict[str, Node]
    inputs: dict[str, Node]
    learning_rate: LearningRate
    uses: dict[Node, int]

    @property
    def applied(self) -> tuple[Node, ...]:
        """The nodes that are primitives applied to values."""
        return tuple(node for node in self.nodes if node.args)

    @property
    def looks_at_whole_tree(self) -> bool:
        """Whether some number is computed from a whole tree."""
        return any(node.is_total for node in self.nodes)

    def users(self, node: Node) -> list[tuple[Node, int]]:
        """Each node and argument's position where `node` is used."""
        return self._users.get(node, [])

    @cached_property
    def _users(self) -> dict[Node, list[tuple[Node, int]]]:
        users: dict[Node, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, arg in enumerate(node.args):
                users.setdefault(arg, []).append((node, position))
        return users


Key = tuple[object, ...]


class _Builder:
    """Makes nodes, each different one once."""

    def __init__(self, *, rescale: bool) -> None:
        self.rescale = rescale
        self.known: dict[Key, Node] = {}

    def _once(self, key: Key, node: Node) -> Node:
        return self.known.setdefault(key, node)

    def input(self, name: str) -> Node:
        type_ = ValueType.SCALAR if name == "lr" else ValueType.TENSOR
        return self._once(("input", name), Node(name, (), type_, hint=name))

    def constant(self, value: Value, name: str = "", hint: str = "") -> Node:
        number = value.constant
        assert number is not None
        return self._once(("constant", name, value.digest), Node(name, (), ValueType.SCALAR, number, hint))

    def apply(self, name: str, args: tuple[Node, ...], hint: str) -> Node:
        if name == RESCALED and self.rescale:
            size = self.apply("global_norm", args[:1], f"{args[0].hint}_norm")
            args = (args[0], size, args[1])
            type_: ValueType | str = args[0].type
        else:
            type_ = BY_NAME[name].result_type(tuple(a.type for a in args))
        assert isinstance(type_, ValueType)
        key: Key = (name, *args)
        if BY_NAME[name].commutative:
            key = (name, *sorted(args, key=id))
        return self._once(key, Node(name, args, type_, hint=hint))


def build_graph(statements: Sequence[Statement], *, rescale: bool = True) -> Graph:
    """The graph of a program.

    Args:
        statements: a valid program.
        rescale: whether `clip` is taken apart, as source in Python wants it.

    Raises:
        ExportError: the program is invalid.

    Example:
        >>> from evosearch.language import builtin
        >>> build_graph(builtin("lion").statements).learning_rate
        LearningRate(default=9.999999747378752e-05, found='factor')
    """
    refusal = analyze(statements).refusal
    if refusal is not None:
        where = "" if refusal.statement is None else f"statement {refusal.statement + 1}: "
        raise ExportError(
            f"expected a valid program, found one that can't be run: {where}{refusal.reason}; "
            "see `evosearch inspect` of it"
        )
    live = live_statements(statements)
    analysis = analyze(live)
    build = _Builder(rescale=rescale)
    env = {name: build.input(name) for name in INPUTS}
    for statement, value in zip(live, analysis.values, strict=True):
        env[statement.target] = _statement_node(build, env, statement, value)
    slots = {name: env[name] for name in analysis.state}
    return _factored(_graph(env["update"], slots, LearningRate(1.0, "schedule")))


def _statement_node(build: _Builder, env: dict[str, Node], statement: Statement, value: Value) -> Node:
    if value.constant is not None:
        named = statement.primitive if not statement.args else ""  # get_pi, get_e, get_eps
        return build.constant(value, named, statement.target)
    args = tuple(
        build.constant(constant_value(a.value)) if isinstance(a, Constant) else env[a] for a in statement.args
    )
    return build.apply(statement.primitive, args, statement.target)


def _reachable(outputs: Iterable[Node]) -> tuple[Node, ...]:
    """All that the outputs are computed from, arguments first, in the order of the outputs."""
    found: dict[Node, None] = {}
    for output in outputs:
        waiting = [output]
        while waiting:
            missing = [a for a in waiting[-1].args if a not in found]
            if missing:
                waiting += reversed(missing)
            else:
                found.setdefault(waiting.pop())
    return tuple(found)


def _graph(update: Node, slots: dict[str, Node], rate: LearningRate) -> Graph:
    outputs = (update, *slots.values())
    nodes = _reachable(outputs)
    uses = dict.fromkeys(nodes, 0)
    for node in (*(a for n in nodes for a in n.args), *outputs):
        uses[node] += 1
    found = {node.name: node for node in nodes if node.is_input}
    inputs: dict[str, Node] = {name: found[name] for name in INPUTS if name in found}
    return Graph(nodes, update, slots, inputs, rate, uses)


# ---------------------------------------------------------------- the learning rate


def _factored(graph: Graph) -> Graph:
    """The same graph with the learning rate in the place of what plays its part."""
    lr = graph.inputs.get("lr")
    if lr is None:
        return _rate_from_update(graph)
    users = graph.users(lr)
    if len(users) == 1 and (factor := _constant_factor(*users[0])) is not None:
        return _replaced(graph, users[0][0], lr, LearningRate(factor, "factor"))
    return graph


def _constant_factor(product: Node, position: int) -> float | None:
    """The constant that argument `position` of a product is multiplied by, if that is so."""
    if product.name != PRODUCT:
        return None
    return product.args[1 - position].number


def _rate_from_update(graph: Graph) -> Graph:
    update = graph.update
    for position in (0, 1) if update.name == PRODUCT else ():
        constant, rest = update.args[position], update.args[1 - position]
        if constant.number is not None:
            lr = Node("lr", (), ValueType.SCALAR, hint="lr")
            scaled = Node(PRODUCT, (rest, lr), update.type, hint=update.hint)
            return _replaced(graph, update, scaled, LearningRate(constant.number, "update"), only_update=True)
    return _graph(update, graph.slots, LearningRate(1.0, "nowhere"))


def _replaced(graph: Graph, old: Node, new: Node, rate: LearningRate, *, only_update: bool = False) -> Graph:
    """The graph with `new` in the place of `old`, everywhere or in the update alone."""
    if only_update:
        return _graph(new, graph.slots, rate)
    changed: dict[Node, Node] = {old: new}
    for node in graph.nodes:
        if node is not old:
            args = tuple(changed[a] for a in node.args)
            same = all(a is b for a, b in zip(args, node.args, strict=True))
            changed[node] = node if same else Node(node.name, args, node.type, node.number, node.hint)
    slots = {name: changed[node] for name, node in graph.slots.items()}
    return _graph(changed[graph.update], slots, rate)


# ---------------------------------------------------------------- what is never below zero


def nonnegative(graph: Graph) -> frozenset[Node]:
    """The nodes that are never below zero, as long as the weights of interpolations stay between 0 and 1.

    A slot starts at zero. It never falls below if what it becomes is never below zero, given that it is not.
    """
    assumed = {name for name in graph.slots if name in graph.inputs}
    while True:
        found = _nonnegative(graph, assumed)
        holds = {name for name in assumed if graph.slots[name] in found}
        if holds == assumed:
            return frozenset(found)
        assumed = holds


def _nonnegative(graph: Graph, slots: set[str]) -> set[Node]:
    found: set[Node] = set()
    for node in graph.nodes:
        if node.number is not None:
            positive = node.number >= 0
        elif node.is_input:
            positive = node.name in slots
        else:
            positive = BY_NAME[node.name].nonnegative or _keeps_sign(node, [a in found for a in node.args])
        if positive:
            found.add(node)
    return found


def _keeps_sign(node: Node, known: list[bool]) -> bool:
    if node.name == PRODUCT and node.args[0] is node.args[1]:
        return True
    match SPELLED[node.name].keeps_sign:
        case "all":
            return all(known)
        case "any":
            return any(known)
        case "first":
            return known[0]
        case "blend":
            weight = node.args[2].number
            return known[0] and known[1] and weight is not None and 0 <= weight <= 1
    return False
