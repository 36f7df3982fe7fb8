"""An e-graph: many spellings of the same terms at once, and why they are the same.

Nodes are primitives applied to classes of nodes that are equal. Each node keeps the arguments that it was
made with, and each union its reason, so that for two equal terms `explain` tells the rules that lead from
one to the other (the proof forest of Nieuwenhuis and Oliveras, 2005). Classes never mix types.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from evosearch.simplify.terms import CONSTANT, INPUT, Term, constant, fold_numbers, subterms
from primitives import BY_NAME, ValueType

FOLD = "fold constants"
"""The reason why a primitive on constants is a constant."""


class Node(NamedTuple):
    """A primitive, an input or a constant; `args` are numbers of nodes that stand for their classes."""

    name: str
    args: tuple[int, ...]
    leaf: str | Fraction | None = None


class Reason(NamedTuple):
    """Why two nodes are equal: a rule, or that their arguments are (None)."""

    rule: str | None
    forwards: bool = True


@dataclass(frozen=True)
class Used:
    """One use of a rule: the node before and the node after it."""

    rule: str
    before: int
    after: int


Spellings = dict[str, dict[int, list[tuple[int, ...]]]]
"""For each name, the classes that hold such nodes, with the arguments of each."""


@dataclass
class EGraph:
    """The only mutable structure of the simplifier, alive while one program is simplified."""

    nodes: list[Node] = field(default_factory=list)
    types: list[ValueType] = field(default_factory=list)
    numbers: dict[int, Fraction] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _members: dict[int, list[int]] = field(default_factory=dict)
    _uses: dict[int, list[int]] = field(default_factory=dict)
    _known: dict[Node, int] = field(default_factory=dict)
    _exact: dict[Node, int] = field(default_factory=dict)
    _proof: list[tuple[int, Reason] | None] = field(default_factory=list)
    _dirty: list[int] = field(default_factory=list)

    def find(self, node: int) -> int:
        """The number of a node's class."""
        root = node
        while self._parents[root] != root:
            root = self._parents[root]
        while self._parents[node] != root:
            self._parents[node], node = root, self._parents[node]
        return root

    def classes(self) -> list[int]:
        """Every class, oldest first."""
        return sorted(self._members)

    def members(self, node: int) -> list[Node]:
        """The different nodes of a class, their arguments being classes."""
        found = {self._canonical(self.nodes[member]): None for member in self._members[self.find(node)]}
        return [*found]

    def number(self, node: int) -> Fraction | None:
        """The constant that a class is equal to, if it is one."""
        return self.numbers.get(self.find(node))

    def type(self, node: int) -> ValueType:
        """Tensor, leafwise or scalar."""
        return self.types[node]

    def add(self, name: str, args: Sequence[int] = (), leaf: str | Fraction | None = None) -> int:
        """A node, new or known. Raises TypeError where the type rule refuses the arguments."""
        given = Node(name, tuple(args), leaf)
        if given in self._exact:
            return self._exact[given]
        canonical = self._canonical(given)
        known = self._known.get(canonical)
        number = self._append(given)
        if known is not None:
            self.union(number, known, Reason(None))
        else:
            self._known[canonical] = number
            for arg in canonical.args:
                self._uses[arg].append(number)
            self._fold(number)
        return number

    def _append(self, given: Node) -> int:
        number = len(self.nodes)
        self.types.append(self._type_of(given))
        self.nodes.append(given)
        self._parents.append(number)
        self._members[number] = [number]
        self._uses[number] = []
        self._proof.append(None)
        self._exact[given] = number
        if isinstance(given.leaf, Fraction):
            self.numbers[number] = given.leaf
        return number

    def _type_of(self, node: Node) -> ValueType:
        if node.name == CONSTANT:
            return ValueType.SCALAR
        if node.name == INPUT:
            return ValueType.SCALAR if node.leaf == "lr" else ValueType.TENSOR
        result = BY_NAME[node.name].result_type(tuple(self.types[arg] for arg in node.args))
        if isinstance(result, str):
            raise TypeError(result)
        return result

    def add_term(self, term: Term) -> int:
        """A term, with all its parts."""
        numbers: dict[Term, int] = {}
        for part in subterms([term]):
            numbers[part] = self.add(part.name, [numbers[arg] for arg in part.args], part.leaf)
        return numbers[term]

    def _fold(self, number: int) -> None:
        """A primitive on constants is equal to a constant."""
        node = self.nodes[number]
        values = [self.numbers.get(self.find(arg)) for arg in node.args]
        known = [value for value in values if value is not None]
        if node.name in (INPUT, CONSTANT) or len(known) < len(values):
            return
        folded = fold_numbers(node.name, known)
        if folded is not None:
            self.union(number, self.add(CONSTANT, (), folded), Reason(FOLD))

    def union(self, one: int, other: int, reason: Reason) -> bool:
        """Two nodes are equal; False if that was known. Raises TypeError for different types."""
        if self.types[one] is not self.types[other]:
            raise TypeError(f"a {self.types[one]} is not a {self.types[other]}")
        kept, gone = self.find(one), self.find(other)
        if kept == gone:
            return False
        if len(self._members[kept]) < len(self._members[gone]):
            kept, gone = gone, kept
        self._link(one, other, reason)
        self._parents[gone] = kept
        self._members[kept] += self._members.pop(gone)
        self._uses[kept] += self._uses.pop(gone)
        if gone in self.numbers:
            self.numbers.setdefault(kept, self.numbers.pop(gone))
        self._dirty.append(kept)
        return True

    def rebuild(self) -> None:
        """Make nodes equal whose arguments have become equal, and fold what has become constant."""
        while self._dirty:
            waiting = {self.find(number) for number in self._dirty}
            self._dirty = []
            for root in sorted(waiting):
                self._repair(self.find(root))

    def _repair(self, root: int) -> None:
        uses, self._uses[root] = self._uses[root], []
        seen: dict[Node, int] = {}
        for use in uses:
            canonical = self._canonical(self.nodes[use])
            known = seen.get(canonical, self._known.get(canonical))
            if known is not None and known != use:
                self.union(use, known, Reason(None))
            seen[canonical] = use
            self._known[canonical] = use
            if self.numbers.get(self.find(use)) is None:
                self._fold(use)
        self._uses.setdefault(self.find(root), []).extend(seen.values())

    def _canonical(self, node: Node) -> Node:
        return Node(node.name, tuple([self.find(arg) for arg in node.args]), node.leaf)

    # ------------------------------------------------------------ reasons

    def _link(self, one: int, other: int, reason: Reason) -> None:
        """An edge of the proof forest: `one` becomes the root of its tree, then a child of `other`."""
        path, node = [], one
        while (edge := self._proof[node]) is not None:
            path.append((node, edge))
            node = edge[0]
        for child, (parent, why) in reversed(path):
            self._proof[parent] = child, Reason(why.rule, not why.forwards)
        self._proof[one] = other, reason

    def explain(self, before: int, after: int) -> list[Used]:
        """The uses of rules that lead from one node to an equal one, arguments included."""
        self.rebuild()
        used: list[Used] = []
        done: set[tuple[int, int]] = set()
        waiting = [(before, after)]
        while waiting:
            pair = waiting.pop()
            if pair in done or pair[0] == pair[1]:
                continue
            done.add(pair)
            for one, other, reason in self._path(*pair):
                if reason.rule is None:
                    waiting += zip(self.nodes[one].args, self.nodes[other].args, strict=True)
                else:
                    used.append(Used(reason.rule, one, other))
        return used

    def _path(self, before: int, after: int) -> Iterator[tuple[int, int, Reason]]:
        up = self._to_root(before)
        places = {node: place for place, (node, _, _) in enumerate(up)}
        down: list[tuple[int, int, Reason]] = []
        node = after
        while node not in places and node != (up[-1][1] if up else before):
            edge = self._proof[node]
            if edge is None:
                raise ValueError("the nodes are not equal")
            down.append((edge[0], node, edge[1]))
            node = edge[0]
        yield from up[: places.get(node, len(up))]
        yield from reversed(down)

    def _to_root(self, node: int) -> list[tuple[int, int, Reason]]:
        steps = []
        while (edge := self._proof[node]) is not None:
            steps.append((node, *edge))
            node = edge[0]
        return steps

    def term(self, number: int) -> Term:
        """A node as it was made."""
        terms: dict[int, Term] = {}
        waiting = [number]
        while waiting:
            node = self.nodes[waiting[-1]]
            missing = [arg for arg in node.args if arg not in terms]
            if missing:
                waiting += missing
                continue
            at = waiting.pop()
            terms[at] = (
                constant(node.leaf)
                if isinstance(node.leaf, Fraction)
                else Term(node.name, tuple(terms[arg] for arg in node.args), node.leaf)
            )
        return terms[number]

    def by_name(self) -> Spellings:
        """A view for matching, valid until something is added."""
        found: Spellings = defaultdict(dict)
        for root in self.classes():
            for node in self.members(root):
                found[node.name].setdefault(root, []).append(node.args)
        return found
