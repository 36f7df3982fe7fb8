"""What ablation may take out of a program: a value makes room for one of the values it is computed from.

`clip(g, lr) -> g` takes out a statement, `update + wd -> update` an argument and the whole subexpression
behind it. What only the removed statement read falls away with it. Pure logic; nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evosearch.language import analyze
from evosearch.language.abstract import live_statements
from evosearch.language.program import Argument, Constant, Statement
from evosearch.study.assignment import Assigned, Statements, fold_names, unfold
from primitives import BY_NAME

DEPTH = 2
"""A value may be replaced by an operand, or by an operand of an operand: `arcsin(clip(g, lr)) -> g`."""


@dataclass(frozen=True)
class Removal:
    """Something that may be taken out.

    Attributes:
        before: the expression that goes, as "clip(g, lr)".
        after: what takes its place, as "g".
        statements: the live statements that are left.
        saved: how many statements fewer that is; above 0.
        hash: canonical hash of what is left.
    """

    before: str
    after: str
    statements: Statements
    saved: int
    hash: str

    @property
    def name(self) -> str:
        """As "clip(g, lr) -> g"."""
        return f"{self.before} -> {self.after}"


def removals(statements: Sequence[Statement], depth: int = DEPTH) -> list[Removal]:
    """All removals of a valid program, those that save most first; no two leave equal programs.

    Removals that leave the program's canonical hash as it is are not among them: they are exact and need no
    measurement.

    Args:
        statements: a valid program.
        depth: how many statements lie at most between a value and the operand that takes its place, and 1.

    >>> from evosearch.language import builtin
    >>> [removal.name for removal in removals(builtin("momentum").statements, depth=1)][:2]
    ['decayed + g -> g', 'm * 0.9 -> m']
    """
    live = live_statements(statements)
    known = {analyze(live).hash}
    program = unfold(live)
    found = []
    for target, operand, before in _replacements(program, depth):
        left = fold_names(program.replaced(target, operand))
        if left is None or not analyze(left).valid:
            continue
        left = live_statements(left)
        digest = analyze(left).hash
        if digest not in known and len(left) < len(live):
            known.add(digest)
            found.append(Removal(before, _shown(program, operand), left, len(live) - len(left), digest))
    return sorted(found, key=lambda removal: -removal.saved)


def _replacements(program: Assigned, depth: int) -> Iterator[tuple[str, Argument, str]]:
    """Each target with each operand that may take its place, and the text of the expression."""
    lines = program.by_target
    for line in program.statements:
        for operand, expression in _operands(program, lines, line, depth):
            yield line.target, operand, expression


def _operands(
    program: Assigned, lines: dict[str, Statement], line: Statement, depth: int
) -> Iterator[tuple[Argument, str]]:
    """The operands of a statement down to a depth, each with the text of the expression it comes from."""
    shown = [_shown(program, argument) for argument in line.args]
    infix = BY_NAME[line.primitive].infix is not None
    for place, argument in enumerate(line.args):
        yield argument, _text(line, shown)
        if depth > 1 and argument in lines:
            inside = lines[str(argument)]
            brackets = infix and BY_NAME[inside.primitive].infix is not None
            for operand, inner in _operands(program, lines, inside, depth - 1):
                nested = f"({inner})" if brackets else inner
                yield operand, _text(line, [*shown[:place], nested, *shown[place + 1 :]])


def _shown(program: Assigned, argument: Argument) -> str:
    return argument.text if isinstance(argument, Constant) else program.names.get(argument, argument)


def _text(line: Statement, args: Sequence[str]) -> str:
    """The right-hand side of a statement with these texts for its arguments."""
    return Statement("", line.primitive, tuple(args)).text.removeprefix(" = ")
