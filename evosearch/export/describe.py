"""What exported source says about itself: its origin, its arguments, how to choose the learning rate."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evosearch import __version__
from evosearch.errors import ExportError
from evosearch.export.graph import Graph, Node, build_graph
from evosearch.export.hyperparameters import (
    Hyperparameter,
    Hyperparameters,
    find_hyperparameters,
    number_text,
)
from evosearch.export.layout import STEP, described, paragraph
from evosearch.export.names import class_name, plain
from evosearch.language.abstract import analyze, live_statements
from evosearch.language.program import Statement
from evosearch.simplify import recognise
from primitives import BY_NAME, TABLE, Primitive


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        name: of the function.
        origin: what people call the program: a shipped name, a path or RUN:ID.
        summary: what the program is, in one sentence; may be empty.
        statements: the program.
        graph: the same as values.
        hyper: its arguments.
    """

    name: str
    origin: str
    summary: str
    statements: tuple[Statement, ...]
    graph: Graph
    hyper: Hyperparameters

    @property
    def class_name(self) -> str:
        """The class that belongs to the name."""
        return class_name(self.name)


def make_subject(statements: Sequence[Statement], name: str, origin: str, summary: str) -> Subject:
    """All that exporters need to know of a valid program. Raises ExportError if it is not valid."""
    try:
        graph = build_graph(statements)
    except ExportError as error:
        raise ExportError(f"{origin}: {error}") from error
    return Subject(name, origin, summary, tuple(statements), graph, find_hyperparameters(graph))


def origin_text(subject: Subject) -> str:
    """Where the program comes from, on one line."""
    live = len(live_statements(subject.statements))
    return (
        f"Origin: program {plain(subject.origin)}, {live} live of {len(subject.statements)} statements, "
        f"canonical hash {analyze(subject.statements).hash}, exported by evosearch {__version__}."
    )


def program_blocks(subject: Subject) -> list[list[str]]:
    """The origin and the program itself, for the docstring of a module."""
    live = live_statements(subject.statements)
    unusual = {s.primitive for s in live if s.primitive in UNUSUAL}
    words = [f"{UNUSUAL[row.name]} is {row.formula}" for row in TABLE if row.name in unusual]
    blocks = [paragraph(origin_text(subject)), [f"{STEP}{statement.text}" for statement in live]]
    if words:
        blocks.append(paragraph(f"There, {'; '.join(words)}."))
    known = recognise(subject.statements)
    if known is not None:
        blocks.append(paragraph(plain(f"{known.sentence[0].upper()}{known.sentence[1:]}.")))
    return [paragraph(plain(subject.summary)), *blocks] if subject.summary else blocks


def _written(row: Primitive) -> str:
    letters = [letter for letter in "xya" if letter in re.findall(r"[a-z]+", row.formula)]
    return f"x {row.infix} y" if row.infix else f"{row.name}({', '.join(letters)})"


UNUSUAL = {
    row.name: _written(row)
    for row in TABLE
    if row.rule.name == "blend" or "abs" in row.formula or "1e-8" in row.formula
}
"""Primitives whose meaning the name does not tell, as a program writes them."""


def rate_text(subject: Subject) -> str:
    """What the learning rate is and how to choose it."""
    rate = subject.graph.learning_rate
    found = number_text(rate.default)
    meaning = {
        "factor": f"Step size; the program's own is {found} times its schedule.",
        "schedule": (
            "The schedule's own value, 1.0 at its peak: the program uses it in more than one way, so give "
            f"it a schedule that starts at 1.0, and change the size of steps by {_scale(subject)}."
        ),
        "update": f"Step size; the program's own is {found}, whatever its schedule says.",
    }[rate.found]
    if rate.found != "schedule":
        meaning += (
            f" To choose it, try {found} and 3 and 10 times more and less in short trainings; larger models "
            "want less."
        )
    if decay := next((h for h in subject.hyper.all if h.role.name == "weight_decay"), None):
        meaning += _decay_text(subject, decay)
    return meaning


def _scale(subject: Subject) -> str:
    scale = next((h.name for h in subject.hyper.all if h.role.name == "lr_scale"), None)
    return f"`{scale}`" if scale else "a factor on the result"


def _decay_text(subject: Subject, decay: Hyperparameter) -> str:
    if not decay_is_scaled(subject.graph, subject.hyper):
        return f" It does not scale `{decay.name}`."
    return f" It scales `{decay.name}` too: keep their product when you change one."


def decay_is_scaled(graph: Graph, hyper: Hyperparameters) -> bool:
    """Whether every term of weight decay is multiplied by the learning rate."""
    rate = graph.inputs.get("lr")
    terms = [node for (node, _), h in hyper.at.items() if h.role.name == "weight_decay"]
    return rate is not None and all(_scaled(graph, node, rate) for node in terms)


def _scaled(graph: Graph, node: Node, rate: Node) -> bool:
    """Whether some product on the only way from a term to the update has the learning rate in it."""
    while True:
        if BY_NAME[node.name].infix == "*" and any(_depends(a, rate) for a in node.args if a.type == 0):
            return True
        users = graph.users(node)
        if node is graph.update or len(users) != 1:
            return False
        node = users[0][0]


def _depends(node: Node, rate: Node) -> bool:
    return node is rate or any(_depends(a, rate) for a in node.args)


def argument_lines(subject: Subject, indent: str) -> list[str]:
    """What each constant that became an argument does."""
    lines = []
    for h in subject.hyper.all:
        bounds = " From 0 to 1." if h.unit else ""
        lines += described(h.name, f"{h.doc}{bounds}", indent)
    return lines


def decays_weights(graph: Graph) -> bool:
    """Whether the weights only enter as a scalar times w, which a mask may leave out array by array."""
    w = graph.inputs.get("w")
    if w is None:
        return False
    users = graph.users(w)
    return all(BY_NAME[n.name].infix == "*" and n.args[1 - i].type == 0 for n, i in users)
