"""Mutation: insert, delete or modify one statement.

A mutation is a pure function of (random numbers, program). It may give an invalid program; whoever breeds
checks the child by abstract execution and, if it is invalid, mutates the *parent* again.

Where the paper is silent this module decides: a random argument is a constant with chance
`constants.share`, else one of the variables defined before the statement, each equally likely; a new
statement writes to a new variable or to an existing one with equal chance.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from evosearch.language.program import INPUTS, Argument, Constant, Statement, Statements
from primitives import BY_NAME

MAX_MAGNITUDE = 1e30
"""Constants stay below this, so that no chain of mutations overflows float32."""


@dataclass(frozen=True)
class ConstantRules:
    """How random constants are drawn.

    Attributes:
        share: chance that a random argument is a constant and not a variable.
        std: a new constant is normal with mean 0 and this standard deviation.
        scale_share: chance that a change to an existing constant multiplies it by 2**a
            instead of replacing it.
        scale_std: standard deviation of a, which is normal with mean 0.
    """

    share: float = 0.3
    std: float = 1.0
    scale_share: float = 0.5
    scale_std: float = 1.0


@dataclass(frozen=True)
class MutationRules:
    """What mutation may do.

    Attributes:
        weights: relative chance of each row of `MUTATIONS`, by name.
        primitives: canonical names of the primitives that new statements may use.
        max_statements: no statement is inserted into a program of this length.
        constants: how random constants are drawn.
        constants_only: modify only the constants (the control `method: constants`).
    """

    weights: tuple[tuple[str, float], ...]
    primitives: tuple[str, ...]
    max_statements: int = 40
    constants: ConstantRules = ConstantRules()
    constants_only: bool = False


class Mutation(NamedTuple):
    """What was done to the parent.

    Attributes:
        kind: one of `MUTATIONS`, or "random".
        statement: index of the statement that changed.
        before: its text in the parent, "" if the parent has none there.
        after: its text in the child, "" if the child has none there.
    """

    kind: str
    statement: int
    before: str
    after: str

    @property
    def new(self) -> int:
        """How many statements the child has that the parent has not, at index `statement`."""
        return 1 if self.after else 0

    @property
    def gone(self) -> int:
        """How many statements of the parent the child has not, at index `statement`."""
        return 1 if self.before else 0


Child = tuple[Statements, Mutation]
"""A mutated program and what was done to its parent."""


def pick(rng: random.Random, count: int) -> int:
    """A number in [0, count), each equally likely; the same on every Python version."""
    return int(rng.random() * count)


def pick_name(rng: random.Random, names: Sequence[str], other_than: Argument = "") -> str:
    """One of the names, each equally likely however often it occurs among them."""
    while True:
        place = pick(rng, len(names))
        name = names[place]
        if name != other_than and names.index(name) == place:
            return name


def variables_before(statements: Statements, position: int) -> list[str]:
    """The names that a statement at `position` may read: inputs and the targets of earlier statements."""
    return [*INPUTS, *[s.target for s in statements[:position]]]


def new_constant(rng: random.Random, rules: ConstantRules) -> Constant:
    """A normal random constant."""
    return Constant(rng.gauss(0.0, rules.std))


def scaled_constant(rng: random.Random, constant: Constant, rules: ConstantRules) -> Constant:
    """The constant times 2**a, a normal; it stays below `MAX_MAGNITUDE`."""
    scaled = constant.value * 2.0 ** max(-60.0, min(60.0, rng.gauss(0.0, rules.scale_std)))
    return Constant(max(-MAX_MAGNITUDE, min(MAX_MAGNITUDE, scaled)))


def random_argument(
    rng: random.Random, names: Sequence[str], rules: ConstantRules, other_than: Argument = ""
) -> Argument:
    """A constant, or one of the names."""
    if rng.random() < rules.share:
        return new_constant(rng, rules)
    return pick_name(rng, names, other_than)


def new_name(taken: Sequence[str]) -> str:
    """The first of t1, t2, ... that is not taken; no input or output is called so."""
    return next(name for name in _new_names(1 + len(taken)) if name not in taken)


@cache
def _new_names(count: int) -> tuple[str, ...]:
    return tuple(f"t{number}" for number in range(1, 1 + count))


def random_statement(
    rng: random.Random, statements: Statements, position: int, rules: MutationRules
) -> Statement:
    """A random statement that could stand at `position`."""
    names = variables_before(statements, position)
    primitive = rules.primitives[pick(rng, len(rules.primitives))]
    args = [random_argument(rng, names, rules.constants) for _ in range(BY_NAME[primitive].arity)]
    names += [s.target for s in statements[position:]]
    target = new_name(names) if rng.random() < 0.5 else pick_name(rng, [*names, "update"])
    return Statement(target, primitive, args)


def insert(rng: random.Random, statements: Statements, rules: MutationRules) -> Child | None:
    """Insert a random statement at a random place."""
    if len(statements) >= rules.max_statements:
        return None
    position = pick(rng, len(statements) + 1)
    statement = random_statement(rng, statements, position, rules)
    child = (*statements[:position], statement, *statements[position:])
    return child, Mutation("insert", position, "", statement.text)


def delete(rng: random.Random, statements: Statements, rules: MutationRules) -> Child | None:  # noqa: ARG001
    """Delete a random statement."""
    if not statements:
        return None
    position = pick(rng, len(statements))
    child = statements[:position] + statements[position + 1 :]
    return child, Mutation("delete", position, statements[position].text, "")


def modify(rng: random.Random, statements: Statements, rules: MutationRules) -> Child | None:
    """Change an argument of a random statement: another variable, a new constant, a constant times 2**a."""
    place = _constant_place(rng, statements) if rules.constants_only else _argument_place(rng, statements)
    if place is None:
        return None
    position, which = place
    old = statements[position]
    argument = old.args[which]
    changed: Argument
    if isinstance(argument, Constant) and (
        rules.constants_only or rng.random() < rules.constants.scale_share
    ):
        changed = scaled_constant(rng, argument, rules.constants)
    else:
        names = variables_before(statements, position)
        changed = random_argument(rng, names, rules.constants, other_than=argument)
    new = Statement(old.target, old.primitive, (*old.args[:which], changed, *old.args[which + 1 :]))
    child = (*statements[:position], new, *statements[position + 1 :])
    return child, Mutation("modify", position, old.text, new.text)


def _argument_place(rng: random.Random, statements: Statements) -> tuple[int, int] | None:
    if not statements:
        return None
    position = pick(rng, len(statements))
    arity = len(statements[position].args)
    return (position, pick(rng, arity)) if arity else None


def _constant_place(rng: random.Random, statements: Statements) -> tuple[int, int] | None:
    places = [
        (i, j) for i, s in enumerate(statements) for j, a in enumerate(s.args) if isinstance(a, Constant)
    ]
    return places[pick(rng, len(places))] if places else None


Operator = Callable[[random.Random, Statements, MutationRules], Child | None]

MUTATIONS: Mapping[str, Operator] = MappingProxyType({"insert": insert, "modify": modify, "delete": delete})
"""The kinds of mutation. Each gives a child and its description, or None where it can't apply."""


def mutate(rng: random.Random, statements: Statements, rules: MutationRules) -> Child | None:
    """One random mutation of a program.

    Args:
        rng: where all randomness comes from.
        statements: the parent.
        rules: weights and limits.

    Returns:
        The child, which may be invalid, and what was done; or None if the kind drawn can't apply here.
    """
    draw = rng.random() * sum([weight for _, weight in rules.weights])
    for name, weight in rules.weights:
        draw -= weight
        if draw < 0:
            return MUTATIONS[name](rng, statements, rules)
    return None


def random_program(rng: random.Random, rules: MutationRules) -> Statements:
    """A program made of random statements only (the control `method: random`); it may be invalid.

    Its length is uniform between 1 and `max_statements`.
    """
    statements: Statements = ()
    for position in range(1 + pick(rng, rules.max_statements)):
        statements = (*statements, random_statement(rng, statements, position, rules))
    return statements
