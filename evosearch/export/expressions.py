"""A graph as assignments of readable expressions.

A value that is used once is written where it is used, as long as the line stays short; the others get a name,
the program's own where that is free. Expressions are syntax trees (`ast`), so precedence is never wrong.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count

from evosearch.export.graph import PRODUCT, Graph, Node, nonnegative
from evosearch.export.hyperparameters import STRUCTURE, Hyperparameters, number_text
from evosearch.export.names import variable_name
from evosearch.export.spelling import LETTERS, SPELLED, Forms, Spelling, form_for
from primitives import ValueType

LIMIT = 64
"""How many characters an expression may have before a part of it gets a name."""


@dataclass(frozen=True)
class Dialect:
    """A way to write primitives in Python.

    Attributes:
        module: where its numbers come from.
        forms: the forms of a row.
        bare: the simpler form for an argument that is never below zero, or "".
        numbers: whether Python numbers need forms of their own.
    """

    module: str
    forms: Callable[[Spelling], Forms]
    bare: Callable[[Spelling], str]
    numbers: bool


JAX = Dialect("jnp", lambda row: row.jax, lambda row: row.jax_bare, numbers=False)
TORCH = Dialect("torch", lambda row: row.torch, lambda row: row.torch_bare, numbers=True)
FOREACH = Dialect("torch", lambda row: row.foreach, lambda row: row.foreach_bare, numbers=True)


@dataclass(frozen=True)
class Line:
    """`name = expression`.

    Attributes:
        name: what the value is called.
        node: the value.
        expression: how it is computed, in terms of names.
        reads: the values in it that have a name, in order of appearance.
        phase: after how many rounds of looking at whole trees it can be computed.
    """

    name: str
    node: Node
    expression: ast.expr
    reads: tuple[Node, ...]
    phase: int


@dataclass(frozen=True)
class Body:
    """A whole program as lines.

    Attributes:
        lines: in order of execution.
        names: what inputs and lines are called.
        update: the name of the update.
        slots: for each carried slot, the name of what it becomes.
        lr_is_tensor: whether `lr` must be a tensor, because a function of it is taken.
    """

    lines: tuple[Line, ...]
    names: dict[Node, str]
    update: str
    slots: dict[str, str]
    lr_is_tensor: bool

    @property
    def text(self) -> str:
        """The lines as Python, to see which helpers they use."""
        return "\n".join(ast.unparse(line.expression) for line in self.lines)


def write_body(graph: Graph, hyper: Hyperparameters, dialect: Dialect) -> Body | None:
    """The lines of a program in a dialect, or None if it can't be written in it.

    Args:
        graph: the program.
        hyper: the arguments that its constants become.
        dialect: how primitives are written.

    Example:
        >>> from evosearch.export.graph import build_graph
        >>> from evosearch.export.hyperparameters import find_hyperparameters
        >>> from evosearch.language import builtin
        >>> graph = build_graph(builtin("sgd").statements)
        >>> body = write_body(graph, find_hyperparameters(graph), JAX)
        >>> [f"{line.name} = {ast.unparse(line.expression)}" for line in body.lines]
        ['update = lr * g']
    """
    return _Writer(graph, hyper, dialect).body()


class _UnwritableError(Exception):
    """The dialect lacks a form; `write_body` answers None."""


class _Writer:
    def __init__(self, graph: Graph, hyper: Hyperparameters, dialect: Dialect) -> None:
        self.graph, self.hyper, self.dialect = graph, hyper, dialect
        self.nonnegative = nonnegative(graph)
        self.outputs = (graph.update, *graph.slots.values())
        self.arguments = frozenset(h.name for h in hyper.all)
        self.hints = {node: variable_name(node.hint, self.arguments) for node in graph.nodes}
        self.lr_is_tensor = dialect.numbers and any(self._needs_tensor(node) for node in graph.applied)
        self.kept = {node for node in graph.applied if self._must_be_kept(node)}

    def body(self) -> Body | None:
        try:
            self._keep_lines_short()
        except _UnwritableError:
            return None
        reads = {node: self._reads(node) for node in self.graph.nodes if node in self.kept}
        phases = self._phases(reads)
        order = sorted(reads, key=lambda node: (phases[node], not node.is_total))
        names = self._names(order, reads)
        lines = [
            Line(names[node], node, self._spelled(node, names), reads[node], phases[node]) for node in order
        ]
        slots = {slot: names[node] for slot, node in self.graph.slots.items()}
        return Body(tuple(lines), names, names[self.graph.update], slots, self.lr_is_tensor)

    def _phases(self, reads: dict[Node, tuple[Node, ...]]) -> dict[Node, int]:
        """When each line is computed: numbers of whole trees as early as can be, all else as late."""
        phases = dict.fromkeys(self.graph.inputs.values(), 0)
        for node, read in reads.items():
            phases[node] = max((phases[r] for r in read), default=0) + node.is_total
        latest = dict.fromkeys(reads, max(phases.values(), default=0))
        for node, read in reversed(reads.items()):
            if not node.is_total:
                phases[node] = latest[node]
            for r in read:
                if r in latest:
                    latest[r] = min(latest[r], phases[node] - node.is_total)
        return phases

    # ------------------------------------------------------------ kinds

    def _kind(self, node: Node, *, lr: str | None = None) -> str:
        """Whether it is a tensor or a list of them ("t"), or a Python number ("n")."""
        if node.is_constant:
            return "n"
        if node.name == "lr" and node.is_input:
            return lr or ("t" if self.lr_is_tensor else "n")
        if node.type is not ValueType.SCALAR or node.is_total:
            return "t"
        return max(self._kind(a, lr=lr) for a in node.args)

    def _needs_tensor(self, node: Node) -> bool:
        """Whether a function is taken of numbers that has no form for them."""
        numbers = node.args and all(self._kind(a, lr="n") == "n" for a in node.args)
        return bool(numbers) and not SPELLED[node.name].plain

    # ------------------------------------------------------------ which values get a name

    def _must_be_kept(self, node: Node) -> bool:
        if node in self.outputs or node.is_total or self.graph.uses[node] > 1:
            return True
        return any(user.is_total for user, _ in self.graph.users(node))

    def _keep_lines_short(self) -> None:
        """Arguments first, so that no expression ever grows long, and none is nested deep."""
        for node in self.graph.applied:
            while (part := self._part_to_name(node)) is not None:
                self.kept.add(part)

    def _part_to_name(self, node: Node) -> Node | None:
        """A value inside a line that needs a name of its own, or None if the line is fine."""
        for inner in self._inside(node):
            for letter, arg in zip(LETTERS, inner.args, strict=False):
                repeated = sum(n == letter for n in _letters(self._form(inner))) > 1
                if repeated and arg.args and arg not in self.kept:
                    return arg
        if self._length(node) + len(", ".join(self.hints[n] for n in self._reads(node))) <= LIMIT:
            return None
        parts = [n for n in self._inside(node) if n is not node]
        return min(parts, key=lambda n: abs(self._length(n) - LIMIT / 2), default=None)  # half a line is best

    def _length(self, node: Node) -> int:
        return len(ast.unparse(self._spelled(node, self.hints)))

    def _inside(self, node: Node) -> Iterator[Node]:
        """The nodes that one line computes, itself first."""
        yield node
        for arg in node.args:
            if arg.args and arg not in self.kept:
                yield from self._inside(arg)

    def _reads(self, node: Node) -> tuple[Node, ...]:
        found: dict[Node, None] = {}
        for inner in self._inside(node):
            for arg in inner.args:
                if arg.is_input or arg in self.kept:
                    found.setdefault(arg)
        return tuple(found)

    # ------------------------------------------------------------ names

    def _names(self, order: list[Node], reads: dict[Node, tuple[Node, ...]]) -> dict[Node, str]:
        """The name of each input and line; a name is used again once nobody needs its old value."""
        last = dict.fromkeys((*self.graph.inputs.values(), *order), -1)
        for position, node in enumerate(order):
            for read in reads[node]:
                last[read] = position
        for output in self.outputs:
            last[output] = len(order)
        names = {node: node.name for node in self.graph.inputs.values()}
        holder = {name: node for node, name in names.items()}
        for position, node in enumerate(order):
            free = (n for n in self._candidates(node) if n not in holder or last[holder[n]] <= position)
            names[node] = name = next(free)
            holder[name] = node
        return names

    def _candidates(self, node: Node) -> Iterator[str]:
        slot = next((slot for slot, output in self.graph.slots.items() if output is node), "")
        hint = "update" if node is self.graph.update else slot or node.hint
        name = variable_name(hint, self.arguments)
        yield name
        if slot:
            yield f"new_{slot}"
        for number in count(2):
            numbered = f"{name}{number}"
            if numbered not in self.arguments:
                yield numbered

    # ------------------------------------------------------------ expressions

    def _form(self, node: Node) -> str:
        row = SPELLED[node.name]
        bare = self.dialect.bare(row)
        if bare and node.args[0] in self.nonnegative:
            return bare
        kinds = "".join(self._kind(a) for a in node.args) if self.dialect.numbers else ""
        if self.dialect is FOREACH and "t" not in kinds:
            return form_for(row.torch, kinds)  # numbers alone, as everywhere
        form = form_for(self.dialect.forms(row), kinds)
        if not form:
            raise _UnwritableError
        return form

    def _spelled(self, node: Node, names: dict[Node, str]) -> ast.expr:
        """A node as an expression."""
        args = {}
        for position, (letter, arg) in enumerate(zip(LETTERS, node.args, strict=False)):
            args[letter] = self._argument(node, position, arg, names)
        tree = _Substitution(args).visit(_parsed(self._form(node)))
        return _scalar_first(tree, node) if self.dialect is not FOREACH else tree

    def _argument(self, node: Node, position: int, arg: Node, names: dict[Node, str]) -> ast.expr:
        if (node, position) in self.hyper.at:
            return ast.Name(self.hyper.at[node, position].name)
        if arg.number is not None:
            return self._number(arg)
        if arg.is_input or arg in self.kept:
            return ast.Name(names[arg])
        return self._spelled(arg, names)

    def _number(self, node: Node) -> ast.expr:
        if node.name:
            return _parsed(form_for(self.dialect.forms(SPELLED[node.name]), ""))
        assert node.number is not None
        whole = node.number in STRUCTURE and number_text(node.number) != "-0.0"
        return _parsed(str(int(node.number)) if whole else number_text(node.number, self.dialect.module))


def _scalar_first(tree: ast.expr, node: Node) -> ast.expr:
    """`lr * update` rather than `update * lr`; a product is the same bit for bit either way."""
    if node.name != PRODUCT or not isinstance(tree, ast.BinOp):
        return tree
    if node.args[0].type > ValueType.SCALAR and node.args[1].type is ValueType.SCALAR:
        return ast.BinOp(tree.right, tree.op, tree.left)
    return tree


@cache
def _source(form: str) -> ast.expr:
    return ast.parse(form, mode="eval").body


def _parsed(form: str) -> ast.expr:
    """A form as a syntax tree of its own."""
    return ast.parse(form, mode="eval").body


def _letters(form: str) -> list[str]:
    return [n.id for n in ast.walk(_source(form)) if isinstance(n, ast.Name)]


class _Substitution(ast.NodeTransformer):
    """Puts arguments in the place of their letters."""

    def __init__(self, args: dict[str, ast.expr]) -> None:
        self.args = args

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.args.get(node.id, node)
