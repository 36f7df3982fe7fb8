r"""A program as equations: an `align*` in the field's symbols, and the values of its constants.

Weights are \theta, the learning rate is \eta, and an index tells what belongs to the step before. A value
that is used once is written where it is used, as long as the equation stays short.
"""

from __future__ import annotations

import math
import string

from evosearch.export.describe import Subject, origin_text
from evosearch.export.graph import PRODUCT, Graph, Node, build_graph, nonnegative
from evosearch.export.hyperparameters import Hyperparameters, find_hyperparameters, number_text
from evosearch.export.layout import paragraph
from evosearch.export.names import plain
from evosearch.export.spelling import LETTERS, SPELLED
from primitives import ValueType

LARGEST = 6
"""How many primitives an equation may have before a part of it gets a name."""

ATOM, SUM = 4, 1
"""How tightly a symbol binds, and a sum; see `Spelling.binds`."""

INPUTS = {
    "w": r"\theta_{t-1}",
    "g": "g_t",
    "m": "m_{t-1}",
    "v": "v_{t-1}",
    "lr": r"\eta_t",
}


def latex_source(subject: Subject) -> str:
    """The equations of a program, with a comment that tells its origin."""
    graph = build_graph(subject.statements, rescale=False)
    writer = _Writer(graph, find_hyperparameters(graph))
    comments = [f"% {plain(subject.summary)}"] if subject.summary else []
    comments += [f"% {line}" for line in paragraph(origin_text(subject), hanging="")]
    lines = [
        "% Needs amsmath. Equations hold for each array; norms without an index run over the whole tree.",
        r"\begin{align*}",
        *_rows(writer.rows()),
        r"\end{align*}",
        *writer.values(),
    ]
    return "\n".join([*comments, *lines]) + "\n"


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    return [
        rf"  {left} &= {right}{'' if row == len(rows) else chr(92) * 2}"
        for row, (left, right) in enumerate(rows, start=1)
    ]


class _Writer:
    def __init__(self, graph: Graph, hyper: Hyperparameters) -> None:
        self.graph, self.hyper = graph, hyper
        self.nonnegative = nonnegative(graph)
        self.slots = {node: slot for slot, node in graph.slots.items()}
        self.size: dict[Node, int] = {}
        self.named = self._choose()
        self.symbols = self._symbols()
        self.uses_epsilon = False

    def rows(self) -> list[tuple[str, str]]:
        """Left and right sides, in order of computation."""
        rows = [
            (self.symbols[node], self._text(node, 0)) for node in self.graph.applied if node in self.named
        ]
        rows += [
            (f"{slot}_t", self._argument(node)) for slot, node in self.graph.slots.items() if node.is_input
        ]
        update = self.graph.update
        change = self._argument(update, 2) if update in self.named else self._parenthesised(update, 2)
        return [*rows, (r"\theta_t", rf"\theta_{{t-1}} - {change}")]

    def values(self) -> list[str]:
        """What the symbols stand for."""
        rate = self.graph.learning_rate
        found = _number(rate.default)
        facts = {
            "factor": [rf"$\eta_t = {found} \, s_t$ for the schedule $s_t$"],
            "schedule": [r"$\eta_t$ the schedule, 1 at its peak"],
            "update": [rf"$\eta_t = {found}$"],
            "nowhere": [],
        }[rate.found]
        facts += [f"${h.latex} = {_number(h.default)}$" for h in self.hyper.all]
        facts += [r"$\epsilon = 10^{-8}$"] if self.uses_epsilon else []
        facts += [f"${slot}_0 = 0$" for slot in self.graph.slots]
        return paragraph(f"with {', '.join(facts)}.") if facts else []

    # ------------------------------------------------------------ which values get a name

    def _choose(self) -> set[Node]:
        """Values that are used more than once, slots, and parts of what would be too long."""
        named: set[Node] = set()
        for node in self.graph.applied:
            inner = [a for a in node.args if a.args and a not in named]
            self.size[node] = 1 + sum(self.size[a] for a in inner)
            if self.size[node] > LARGEST and inner:
                largest = max(inner, key=lambda a: self.size[a])
                named.add(largest)
                self.size[node] -= self.size[largest]
            if self.graph.uses[node] > 1 or node in self.slots:
                named.add(node)
        return named

    def _symbols(self) -> dict[Node, str]:
        taken = set(INPUTS.values()) | {h.latex for h in self.hyper.all}
        symbols: dict[Node, str] = {}
        for node in self.graph.applied:
            if node in self.named:
                symbols[node] = symbol = next(s for s in self._candidates(node) if s not in taken)
                taken.add(symbol)
        return symbols

    def _candidates(self, node: Node) -> list[str]:
        if node in self.slots:
            return [f"{self.slots[node]}_t"]
        if node is self.graph.update:
            return ["u_t"]
        # No primes: a symbol must still take an exponent.
        word = node.hint.strip("_")
        letter = len(word) == 1 and word in string.ascii_letters
        base = word if letter else _word(word or "t")
        accents = [rf"\tilde{{{word}}}_t", rf"\hat{{{word}}}_t"] if letter else []
        numbered = (f"{base}_{{{number},t}}" for number in range(2, len(self.graph.nodes) + 3))
        plain_symbol = f"{base}_t"
        free = [] if plain_symbol in {"m_t", "v_t", "u_t"} else [plain_symbol]
        return [*free, *accents, *numbered]

    # ------------------------------------------------------------ equations

    def _text(self, node: Node, loosest: int) -> str:
        """A node in terms of its arguments, in parentheses if it binds less tightly than `loosest`."""
        row = SPELLED[node.name]
        bare = row.latex_bare if node.args[0] in self.nonnegative else ""
        self.uses_epsilon |= r"\epsilon" in row.latex
        order = (*row.inner, 0, 0, 0)
        texts = {
            letter: self._placed(node, position, order[position])
            for position, letter in enumerate(LETTERS[: len(node.args)])
        }
        if node.name == PRODUCT and _is_scalar_last(node):
            texts = {"x": texts["y"], "y": texts["x"]}
        text = (bare or row.latex).format(**texts)
        return rf"\left({text}\right)" if row.binds < loosest else text

    def _placed(self, node: Node, position: int, loosest: int) -> str:
        if (node, position) in self.hyper.at:
            return self.hyper.at[node, position].latex
        return self._parenthesised(node.args[position], loosest)

    def _parenthesised(self, node: Node, loosest: int) -> str:
        if node.args and node not in self.named:
            return self._text(node, loosest)
        return self._argument(node, loosest)

    def _argument(self, node: Node, loosest: int = 0) -> str:
        """A node that stands for itself: an input, a number or a symbol."""
        if node.number is not None:
            text = SPELLED[node.name].latex if node.name else _number(node.number)
            self.uses_epsilon |= text == r"\epsilon"
            return rf"\left({text}\right)" if node.number < 0 and loosest > 0 else text
        return INPUTS[node.name] if node.is_input else self.symbols[node]


def _is_scalar_last(node: Node) -> bool:
    first, second = (a.type for a in node.args)
    return first > ValueType.SCALAR and second is ValueType.SCALAR


def _word(name: str) -> str:
    """A name as upright text."""
    return rf"\mathrm{{{name.replace('_', chr(92) + '_')}}}"


def _number(number: float) -> str:
    r"""A float32 number as mathematics.

    >>> _number(0.00021717617346439511)
    '2.1717617 \\times 10^{-4}'
    """
    if not math.isfinite(number):
        return r"\mathrm{nan}" if math.isnan(number) else r"\infty" if number > 0 else r"-\infty"
    text = number_text(number).removesuffix(".0")
    if "e" not in text and (number == 0 or abs(number) >= 1e-3):
        return text
    mantissa, exponent = f"{float(number_text(number)):.8e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa} \times {power}"
