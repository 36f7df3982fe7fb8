"""What the two targets in JAX share: a program's lines over trees of arrays, and their helpers."""

from __future__ import annotations

import ast

from evosearch.export.describe import Subject
from evosearch.export.expressions import JAX, Body, Line, write_body
from evosearch.export.helpers import JAX_HELPERS, needs_epsilon, with_helpers
from evosearch.export.layout import STEP, assignment_lines, call_lines
from primitives import ValueType

EPSILON_LINE = "EPS = 1e-8  # added to every divisor, as the program's division does"


def tree_body(subject: Subject) -> Body:
    """The program's lines with `jnp`."""
    body = write_body(subject.graph, subject.hyper, JAX)
    assert body is not None, "every primitive has a form in JAX"
    return body


def tree_lines(body: Body, indent: str) -> list[str]:
    """The lines as statements: expressions over arrays are mapped over trees."""
    return [text for line in body.lines for text in _statement(body, line, indent)]


def _statement(body: Body, line: Line, indent: str) -> list[str]:
    if line.node.type is ValueType.SCALAR:
        return assignment_lines(indent, line.name, line.expression)
    trees = [body.names[node] for node in line.reads if node.type is not ValueType.SCALAR]
    mapped = f"lambda {', '.join(trees)}: {ast.unparse(line.expression)}"
    return call_lines(indent, f"{line.name} = ", "jax.tree.map", [mapped, *trees])


def module_source(head: list[str], imports: list[str], body: list[str]) -> str:
    """A module: docstring, imports, the program's epsilon if it is needed, body, helpers."""
    code = with_helpers("\n".join(body), JAX_HELPERS)
    epsilon = ["", EPSILON_LINE] if needs_epsilon(code) else []
    top = [*head, "", "from __future__ import annotations", "", *imports, *epsilon]
    return "\n".join([*top, "", "", code])


def state_lines(subject: Subject, fields: list[str], summary: str) -> list[str]:
    """The state as a named tuple."""
    body = [f"{STEP}{field}" for field in fields]
    return [
        f"class {subject.class_name}State(NamedTuple):",
        f'{STEP}"""{summary}"""',
        *(["", *body] if body else []),
    ]
