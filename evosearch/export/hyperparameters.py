"""Which constants of a program become arguments of the exported optimizer, and what they are called.

Every constant that stands beside a variable has a role; `ROLES` is the table of them, and the first that fits
is taken. Equal constants of one role are one argument. Constants that are structure rather than tuning stay
in the source as they are: 0, 1, -1 and 2 where no other role fits, pi, e and the program's epsilon.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evosearch.export.graph import PRODUCT, SLOTS, Graph, Node
from primitives import ValueType

STRUCTURE = (-1.0, 0.0, 1.0, 2.0)
SMALL = 1e-4
"""An added constant up to this size is there to keep a divisor from zero."""


class Place(NamedTuple):
    """Where a constant stands: a node, and which of its arguments it is."""

    graph: Graph
    node: Node
    position: int

    @property
    def other(self) -> Node | None:
        """The other argument of a primitive that takes two."""
        return self.node.args[1 - self.position] if len(self.node.args) == 2 else None


@dataclass(frozen=True)
class Role:
    """What a constant does.

    Attributes:
        name: the argument's name; the second of a role is called name2.
        fits: whether a constant plays this role at a place.
        says: the argument's documentation; {x} and {y} are the node's other arguments, {to} is the node.
        latex: the symbol.
        numbered: whether the first is called name1.
        unit: only from 0 to 1 is it what it says.
    """

    name: str
    fits: Callable[[Place], bool]
    says: str
    latex: str
    numbered: bool = False
    unit: bool = False


def _is_last_of(primitive: str) -> Callable[[Place], bool]:
    return lambda at: at.node.name == primitive and at.position == len(at.node.args) - 1


def _is_guard(at: Place) -> bool:
    return at.node.name == "add" and 0 < abs(at.node.args[at.position].number or 0.0) <= SMALL


def _is_decay(at: Place) -> bool:
    """A factor of w, at once or through further products by scalars."""
    return any(factor.is_input and factor.name == "w" for factor in _product(at.graph, at.node))


def _is_rate_factor(at: Place) -> bool:
    return at.node.name == PRODUCT and at.other is not None and at.other is at.graph.inputs.get("lr")


def _is_momentum(at: Place) -> bool:
    """A factor of a slot, as it comes in or goes out."""
    if at.node.name != PRODUCT or at.other is None:
        return False
    return (at.other.is_input and at.other.name in SLOTS) or at.other in at.graph.slots.values()


def _product(graph: Graph, node: Node) -> list[Node]:
    """What a constant in this node is multiplied by: the whole product that the node is a part of."""
    factors: list[Node] = []
    while node.name == PRODUCT:
        factors += node.args
        if node.type is not ValueType.SCALAR or graph.uses[node] != 1:
            break
        node = graph.users(node)[0][0]
    return factors


_INTERP = "Weight of {y} in the interpolation of {x} and {y} that gives {to}."
_CLIP = "Largest global norm that {x} keeps; above it, it is scaled down."
_RATE = "What the learning rate is multiplied by before it scales the update."

ROLES: tuple[Role, ...] = (
    Role("b", _is_last_of("interp"), _INTERP, r"\beta", numbered=True, unit=True),
    Role("max_norm", _is_last_of("clip"), _CLIP, r"\tau"),
    Role("exponent", _is_last_of("power"), "Exponent of {x}.", "p"),
    Role("eps", _is_guard, "Small number added to {x}.", r"\varepsilon"),
    Role("weight_decay", _is_decay, "Strength of the weight decay: what w is multiplied by.", r"\lambda"),
    Role("lr_scale", _is_rate_factor, _RATE, r"\alpha"),
    Role("momentum", _is_momentum, "How much of {x} is kept.", r"\mu"),
    Role("c", lambda _: True, "Constant of the program, found with {x}.", "c", numbered=True),
)
OTHER = ROLES[-1]


@dataclass(frozen=True)
class Hyperparameter:
    """One argument.

    Attributes:
        name: what it is called.
        default: the program's float32 number.
        role: what it does.
        doc: one or two sentences.
        latex: its symbol.
        unit: whether it must lie between 0 and 1.
    """

    name: str
    default: float
    role: Role
    doc: str
    latex: str
    unit: bool


@dataclass(frozen=True)
class Hyperparameters:
    """All arguments in reading order, and the argument that stands at each place of a constant."""

    all: tuple[Hyperparameter, ...]
    at: dict[tuple[Node, int], Hyperparameter]


def find_hyperparameters(graph: Graph) -> Hyperparameters:
    """The arguments that a program's constants become.

    Args:
        graph: the program.

    Returns:
        The arguments, the learning rate not among them.

    Example:
        >>> from evosearch.export.graph import build_graph
        >>> from evosearch.language import builtin
        >>> found = find_hyperparameters(build_graph(builtin("adamw").statements))
        >>> [(h.name, number_text(h.default)) for h in found.all]
        [('b1', '0.9'), ('b2', '0.999'), ('weight_decay', '0.01')]
    """
    known: dict[tuple[str, str], Hyperparameter] = {}
    at: dict[tuple[Node, int], Hyperparameter] = {}
    for node in graph.applied:
        for position, argument in enumerate(node.args):
            if argument.number is None or argument.name:
                continue
            role = next(role for role in ROLES if role.fits(Place(graph, node, position)))
            if role is OTHER and argument.number in STRUCTURE:
                continue
            key = (role.name, number_text(argument.number))
            if key not in known:
                known[key] = _named(role, sum(name == role.name for name, _ in known) + 1, node, position)
            at[node, position] = known[key]
    order = {role.name: place for place, role in enumerate(ROLES)}
    return Hyperparameters(tuple(sorted(known.values(), key=lambda h: order[h.role.name])), at)


def _named(role: Role, number: int, node: Node, position: int) -> Hyperparameter:
    default = node.args[position].number
    assert default is not None
    others = [short(arg) for i, arg in enumerate(node.args) if i != position]
    doc = role.says.format(x=others[0] if others else "", y=others[-1] if others else "", to=node.hint)
    suffix = str(number) if role.numbered or number > 1 else ""
    symbol = f"{role.latex}_{{{suffix}}}" if suffix else role.latex
    unit = role.unit and 0 <= default <= 1
    return Hyperparameter(role.name + suffix, default, role, doc, symbol, unit)


def short(node: Node) -> str:
    """A value in few words, for documentation.

    >>> short(Node("g", (), ValueType.TENSOR, hint="g"))
    'g'
    """
    if node.number is not None:
        return number_text(node.number)
    if node.args and not any(a.args for a in node.args):
        return f"{node.name}({', '.join(short(a) for a in node.args)})"
    return node.hint or node.name


def number_text(number: float, module: str = "math") -> str:
    """A float32 number with the fewest digits that read back to it, as a Python expression.

    >>> number_text(0.8999999761581421)
    '0.9'
    """
    if math.isnan(number):
        return f"{module}.nan"
    if math.isinf(number):
        return f"{module}.inf" if number > 0 else f"-{module}.inf"
    return repr(float(str(np.float32(number))))
