"""Chooses from an e-graph the cheapest program for all outputs together, a shared part counted once.

Which class is computed by which of its nodes is an integer program (one 0/1 variable for each node, levels
against cycles), solved by SciPy's HiGHS. Before, a greedy choice bounds it from above. Taste decides between
programs of equal length, and is written down in `Cost`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evosearch.simplify.egraph import EGraph, Node
from evosearch.simplify.terms import CONSTANT, INPUT, Term, constant
from primitives import ValueType


@dataclass(frozen=True)
class Cost:
    """What a statement costs.

    Attributes:
        statement: each.
        tensor: more if it touches arrays.
        scalar: more if it does not.
        taste: more for an interp whose weight is outside [0.5, 1].
        hidden_decay: more for weight decay hidden in an interp of w: people read `w * 0.1` as weight decay.
            More than a statement: `interp(w, sign, 0.7)` is a statement shorter than sign plus decay.
        scaled: more for a constant factor of anything but w and lr, and for a constant divisor: `w * 0.1` and
            `lr * 0.01` are weight decay and learning rate.
        negative: more for each negative constant.
        unguarded: more for reciprocal, which is infinite at 0 where 1 / x is not.
    """

    statement: float = 1000.0
    tensor: float = 10.0
    scalar: float = 1.0
    taste: float = 3.0
    hidden_decay: float = 1100.0
    scaled: float = 2.0
    negative: float = 3.0
    unguarded: float = 5.0

    def of(self, graph: EGraph, node: Node) -> float:
        """The cost of one node; leaves are free."""
        if node.name in (INPUT, CONSTANT):
            return 0.0
        args = [graph.type(arg) for arg in node.args]
        wide = ValueType.TENSOR in args
        cost = self.statement + (self.tensor if wide else self.scalar)
        cost += self.unguarded if node.name == "reciprocal" else 0.0
        cost += self.negative * sum((graph.number(arg) or 0) < 0 for arg in node.args)
        if node.name in ("multiply", "divide") and any(graph.number(arg) is not None for arg in node.args):
            plain = node.name == "multiply"
            cost += (
                0.0 if plain and any(_is_input(graph, arg, ("w", "lr")) for arg in node.args) else self.scaled
            )
        if node.name == "interp":
            weight = graph.number(node.args[2])
            if weight is not None and not 0.5 <= weight <= 1:
                cost += self.taste
            if any(_is_input(graph, arg, ("w",)) for arg in node.args[:2]):
                cost += self.hidden_decay
        return cost


def _is_input(graph: EGraph, node: int, names: Sequence[str]) -> bool:
    return any(member.name == INPUT and member.leaf in names for member in graph.members(node))


def cost_of_terms(graph: EGraph, roots: Sequence[int], cost: Cost | None = None) -> float:
    """What nodes cost as they were made, with all below them, shared parts counted once."""
    cost, done, waiting, total = cost or Cost(), set[int](), [*roots], 0.0
    while waiting:
        node = waiting.pop()
        if node not in done:
            done.add(node)
            total += cost.of(graph, graph.nodes[node])
            waiting += graph.nodes[node].args
    return total


Choice = dict[int, Node]
"""For each class that is needed, the node that computes it."""


@dataclass(frozen=True)
class Extracted:
    """The cheapest program that was found.

    Attributes:
        terms: of the roots, in their order.
        cost: of all together.
        optimal: the integer program was solved, so nothing within its slack is cheaper.
    """

    terms: tuple[Term, ...]
    cost: float
    optimal: bool


SLACK = 2100.0
"""Two statements: a spelling of a class that costs more than this above the cheapest is left out."""
MOST_NODES = 400
"""In an integer program; the slack of larger ones is halved until they fit."""
SOLVER_NODES = 500
"""Of the branch-and-bound tree: a limit that, unlike seconds, gives the same result every time."""


def extract(
    graph: EGraph, roots: Sequence[int], allowed: frozenset[str], cost: Cost | None = None
) -> Extracted:
    """The cheapest terms for these classes.

    Args:
        graph: rebuilt.
        roots: classes that must be computed.
        allowed: names of primitives that may be used.
        cost: of statements.
    """
    cost = cost or Cost()
    spellings = {
        root: {
            node: cost.of(graph, node)
            for node in graph.members(root)
            if node.name in (INPUT, CONSTANT) or node.name in allowed
        }
        for root in graph.classes()
    }
    greedy = _greedy(spellings)
    goals = [graph.find(root) for root in roots]
    bound = _cost_of([greedy[goal] for goal in goals])
    best, optimal = _needed(greedy, goals), False
    solved = _solve(_worthwhile(spellings, greedy, goals), goals, bound)
    if solved is not None:
        best, optimal = solved
    terms = _terms(best, goals)
    return Extracted(terms, _total(best, spellings), optimal)


Spellings = Mapping[int, Mapping[Node, float]]


@dataclass(frozen=True)
class _Best:
    """A class's cheapest spelling so far: its node, and the cost of each class below it, itself included."""

    node: Node
    costs: Mapping[int, float]

    @property
    def total(self) -> float:
        return sum(self.costs.values())


def _greedy(spellings: Spellings) -> dict[int, _Best]:
    """From the leaves upwards, each class takes its cheapest node; what is shared below it counts once."""
    best: dict[int, _Best] = {}
    changed = True
    while changed:
        changed = False
        for root, nodes in spellings.items():
            for node, cost in nodes.items():
                if any(arg not in best for arg in node.args):
                    continue
                costs: dict[int, float] = {}
                for arg in node.args:
                    costs.update(best[arg].costs)
                if root in costs:
                    continue
                costs[root] = cost
                if root not in best or sum(costs.values()) < best[root].total - 1e-9:
                    best[root] = _Best(node, costs)
                    changed = True
    return best


def _needed(best: Mapping[int, _Best], goals: Sequence[int]) -> Choice:
    choice: Choice = {}
    waiting = [*goals]
    while waiting:
        root = waiting.pop()
        if root not in choice:
            choice[root] = best[root].node
            waiting += best[root].node.args
    return choice


def _cost_of(goals: Iterable[_Best]) -> float:
    costs: dict[int, float] = {}
    for best in goals:
        costs.update(best.costs)
    return sum(costs.values())


def _total(choice: Choice, spellings: Spellings) -> float:
    return sum(spellings[root][node] for root, node in choice.items())


def _worthwhile(spellings: Spellings, greedy: Mapping[int, _Best], goals: Sequence[int]) -> Spellings:
    """The spellings that may pay: those not dearer than their class's cheapest by more than `SLACK`.

    A dearer one can only win by sharing more than that with the rest.
    """
    totals = {
        root: {
            node: cost + _below(node, greedy)
            for node, cost in nodes.items()
            if all(arg in greedy for arg in node.args) and root not in node.args
        }
        for root, nodes in spellings.items()
        if root in greedy
    }
    slack, kept = SLACK, _reachable(totals, goals, SLACK)
    while sum(map(len, kept.values())) > MOST_NODES and slack > 1:
        slack /= 2
        kept = _reachable(totals, goals, slack)
    return {root: {node: spellings[root][node] for node in nodes} for root, nodes in kept.items()}


def _below(node: Node, greedy: Mapping[int, _Best]) -> float:
    costs: dict[int, float] = {}
    for arg in node.args:
        costs.update(greedy[arg].costs)
    return sum(costs.values())


def _reachable(totals: Spellings, goals: Sequence[int], slack: float) -> dict[int, list[Node]]:
    kept: dict[int, list[Node]] = {}
    waiting = [*goals]
    while waiting:
        root = waiting.pop()
        if root not in kept:
            least = min(totals[root].values())
            kept[root] = [node for node, total in totals[root].items() if total <= least + slack]
            waiting += [arg for node in kept[root] for arg in node.args]
    return kept


def _solve(spellings: Spellings, goals: Sequence[int], bound: float) -> tuple[Choice, bool] | None:
    """The integer program; None where it finds nothing."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # takes most of a second to import

    classes = {root: place for place, root in enumerate(sorted(spellings))}
    nodes = [(root, node, cost) for root in classes for node, cost in spellings[root].items()]
    levels = len(nodes)
    size = len(nodes) + len(classes)
    depth = len(classes)
    rows: list[tuple[list[int], list[float], float, float]] = []
    by_class: dict[int, list[int]] = {root: [] for root in classes}
    for column, (root, _, _) in enumerate(nodes):
        by_class[root].append(column)
    for goal in set(goals):
        rows.append((by_class[goal], [1.0] * len(by_class[goal]), 1.0, np.inf))
    for column, (root, node, _) in enumerate(nodes):
        for arg in set(node.args):
            # A chosen node needs a node for each argument, at a lower level.
            rows.append(([*by_class[arg], column], [1.0] * len(by_class[arg]) + [-1.0], 0.0, np.inf))
            if nodes_may_cycle(spellings, arg):
                here, there = levels + classes[root], levels + classes[arg]
                rows.append(([here, there, column], [1.0, -1.0, -float(depth)], 1.0 - depth, np.inf))
    matrix = _matrix(rows, size)
    objective = np.array([cost for _, _, cost in nodes] + [0.0] * len(classes))
    solution = milp(
        objective,
        constraints=LinearConstraint(matrix, [row[2] for row in rows], [row[3] for row in rows]),
        bounds=Bounds(np.zeros(size), np.array([1.0] * len(nodes) + [float(depth)] * len(classes))),
        integrality=np.array([1] * len(nodes) + [0] * len(classes)),
        options={"node_limit": SOLVER_NODES, "mip_rel_gap": 0.0},
    )
    if solution.x is None or solution.fun > bound + 1e-6:
        return None
    chosen: Choice = {}
    for column, (root, node, _) in enumerate(nodes):
        if solution.x[column] > 0.5:
            chosen.setdefault(root, node)
    return _prune(chosen, goals), solution.status == 0


def nodes_may_cycle(spellings: Spellings, root: int) -> bool:
    """Whether a class is more than leaves: only then can a cycle pass through it."""
    return any(node.args for node in spellings[root])


def _matrix(rows: Sequence[tuple[list[int], list[float], float, float]], width: int) -> object:
    from scipy.sparse import coo_matrix

    data = [value for _, values, _, _ in rows for value in values]
    columns = [column for columns, _, _, _ in rows for column in columns]
    lines = [line for line, (columns, _, _, _) in enumerate(rows) for _ in columns]
    return coo_matrix((data, (lines, columns)), shape=(len(rows), width)).tocsr()


def _prune(choice: Choice, goals: Sequence[int]) -> Choice:
    kept: Choice = {}
    waiting = [*goals]
    while waiting:
        root = waiting.pop()
        if root not in kept:
            kept[root] = choice[root]
            waiting += choice[root].args
    return kept


def _terms(choice: Choice, goals: Sequence[int]) -> tuple[Term, ...]:
    terms: dict[int, Term] = {}
    waiting = [*goals]
    while waiting:
        root = waiting[-1]
        node = choice[root]
        missing = [arg for arg in node.args if arg not in terms]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        leaf = node.leaf
        terms[root] = (
            constant(leaf)
            if leaf is not None and not isinstance(leaf, str)
            else Term(node.name, tuple(terms[arg] for arg in node.args), leaf)
        )
    return tuple(terms[goal] for goal in goals)
