"""Settings of a program, written into its text: weight decay and a learning-rate factor.

So a tuned program is a program again, which runs, exports and reads like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evosearch.language.program import INPUTS, OUTPUTS, Statement

EXTRA_STATEMENTS = 4
"""The most statements that settings add."""

Statements = tuple[Statement, ...]


def with_settings(statements: Sequence[Statement], factor: float = 1.0, decay: float = 0.0) -> Statements:
    """A program whose update is `factor * (update + lr * decay * w)`.

    `lr` and `w` are what the program is given, whatever it makes of those names. Nothing is inserted for
    factor 1 and decay 0.

    Args:
        statements: a program.
        factor: multiplies every update.
        decay: of the weights, decoupled, scheduled like the learning rate.

    >>> from evosearch.language import builtin, program_text
    >>> print(program_text(with_settings(builtin("sgd").statements, 2.0, 0.5)), end="")
    def train(w, g, m, v, lr):
        decayed = w * 0.5
        decayed = decayed * lr
        lr = lr * 0.1
        update = g * lr
        update = update + decayed
        update = update * 2.0
        return update, m, v
    """
    result = tuple(statements)
    if decay != 0:
        name = _fresh("decayed", result)
        begin = (_times(name, "w", decay), Statement(name, "multiply", (name, "lr")))
        result = (*begin, *result, Statement("update", "add", ("update", name)))
    if factor != 1:
        result = (*result, _times("update", "update", factor))
    return result


def _times(target: str, variable: str, number: float) -> Statement:
    return Statement(target, "multiply", (variable, number))


def _fresh(name: str, statements: Iterable[Statement]) -> str:
    """A name that no statement knows."""
    taken = {*INPUTS, *OUTPUTS}
    for statement in statements:
        taken |= {statement.target, *statement.variables}
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}{number}"
    return found
