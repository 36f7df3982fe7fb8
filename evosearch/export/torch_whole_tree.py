"""A program that looks at the whole tree, as a PyTorch optimizer.

It runs in phases over all parameters: what each can compute by itself, then numbers of the whole tree, then
what follows from those, and so on. What a parameter computes in one phase for a later one stays with it, as
an attribute of its `leaf`.
"""

from __future__ import annotations

import ast

from evosearch.export.describe import Subject
from evosearch.export.expressions import Body, Line
from evosearch.export.graph import Node
from evosearch.export.layout import STEP, assignment_lines, call_lines
from evosearch.export.torch_parts import (
    FOUR,
    INPUTS,
    REFUSALS,
    STEP_HEAD,
    THRICE,
    TWICE,
    class_head,
    slots_method,
    tensors_of,
)


def whole_tree_source(subject: Subject, body: Body) -> str:
    """The class."""
    code = [
        *class_head(subject, "the program looks at the whole tree"),
        "",
        *_step(subject, body),
        "",
        *REFUSALS,
    ]
    if subject.graph.slots:
        code += ["", *slots_method(subject)]
    return "\n".join(code)


def _step(subject: Subject, body: Body) -> list[str]:
    last = max(line.phase for line in body.lines)
    lines = [
        *STEP_HEAD.splitlines(),
        f"{TWICE}leaves = self._leaves()",
    ]
    for phase in range(last + 1):
        lines += _totals(body, phase)
        lines += _loop(subject, body, phase, last)
    return [*lines, f"{TWICE}return loss", "", *_leaves(subject, body)]


def _totals(body: Body, phase: int) -> list[str]:
    lines = []
    for line in body.lines:
        if line.node.is_total and line.phase == phase:
            call = line.expression
            assert isinstance(call, ast.Call)
            args = [f"[leaf.{ast.unparse(arg)} for leaf in leaves]" for arg in call.args]
            lines += call_lines(TWICE, f"{line.name} = ", ast.unparse(call.func), args)
    return lines


def _loop(subject: Subject, body: Body, phase: int, last: int) -> list[str]:
    """What each parameter can compute now; in the end, it is updated."""
    now = [line for line in body.lines if line.phase == phase and not line.node.is_total]
    kept = _crossing(subject, body)
    lines = []
    for line in now:
        name = f"leaf.{line.name}" if line.node in kept else line.name
        lines += assignment_lines(THRICE, name, _on_leaf(subject, body, line, kept))
    if phase == last:
        for slot in subject.graph.slots:
            lines.append(
                f'{THRICE}leaf.state["{slot}"].copy_({_output(body, subject.graph.slots[slot], kept)})'
            )
        lines.append(f"{THRICE}leaf.param.sub_({_output(body, subject.graph.update, kept)})")
    return [f"{TWICE}for leaf in leaves:", *lines] if lines else []


def _output(body: Body, node: Node, kept: set[Node]) -> str:
    return f"leaf.{body.names[node]}" if node in kept else body.names[node]


def _crossing(subject: Subject, body: Body) -> set[Node]:
    """The values of a parameter that outlive the loop that computes them, and its inputs."""
    last = max(line.phase for line in body.lines)
    phase = {line.node: line.phase for line in body.lines}
    kept = set(subject.graph.inputs.values())
    for line in body.lines:
        for read in line.reads:
            if read in phase and not read.is_total and (line.node.is_total or phase[read] < line.phase):
                kept.add(read)
    outputs = (subject.graph.update, *subject.graph.slots.values())
    return kept | {node for node in outputs if phase.get(node, last) < last}


def _on_leaf(subject: Subject, body: Body, line: Line, kept: set[Node]) -> ast.expr:
    """An expression in which a leaf's values are its attributes."""
    names = {body.names[node] for node in line.reads if node in kept} | {h.name for h in subject.hyper.all}
    changed = _Attributes(names).visit(ast.parse(ast.unparse(line.expression), mode="eval").body)
    assert isinstance(changed, ast.expr)
    return changed


class _Attributes(ast.NodeTransformer):
    """Turns some names into attributes of `leaf`."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Attribute(ast.Name("leaf"), node.id) if node.id in self.names else node


def _leaves(subject: Subject, body: Body) -> list[str]:
    graph = subject.graph
    given = ["param=p", *(["state=state"] if graph.slots else [])]
    given += [f"{name}={INPUTS[name]}" for name in tensors_of(subject)]
    if graph.inputs.get("lr"):
        tensor = 'lr=torch.as_tensor(group["lr"], dtype=torch.float32)'
        given.append(tensor if body.lr_is_tensor else 'lr=group["lr"]')
    given += [f'{h.name}=group["{h.name}"]' for h in subject.hyper.all]
    return [
        f"{STEP}def _leaves(self) -> list[SimpleNamespace]:",
        f'{TWICE}"""Each parameter that has a gradient, its state, the hyperparameters of its group."""',
        f"{TWICE}leaves = []",
        f"{TWICE}for group in self.param_groups:",
        f"{THRICE}for p in self._with_gradient(group):",
        *([f"{FOUR}state = self._slots(p)"] if graph.slots else []),
        *call_lines(FOUR, "leaf = ", "SimpleNamespace", given),
        f"{FOUR}leaves.append(leaf)",
        f"{TWICE}return leaves",
    ]
