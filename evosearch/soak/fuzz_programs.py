"""Random programs of many kinds: long and short, near and far from each other, with extreme constants.

A program is a function of (seed, index), so a sentence that names both is enough to have it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from types import MappingProxyType

from evosearch.language import Constant, Statement, analyze, builtin, builtin_names
from evosearch.language.abstract import INITIAL, Env, apply_primitive
from evosearch.language.mutation import ConstantRules, MutationRules, mutate, random_program
from evosearch.language.program import OUTPUTS, SMALLEST_NORMAL, Statements
from evosearch.language.vocabulary import vocabulary
from primitives import BY_NAME, TABLE, ValueType

LONGEST = 60
"""Statements of the longest programs, before an output is mended."""

WALK = 50
"""So many programs in a row are steps of one random walk, as far as they are taken from a walk."""

EXTREMES = (
    *(0.0, -0.0, 1e-45, -1e-40, 1e-38, SMALLEST_NORMAL, -SMALLEST_NORMAL, 1e-30, 1e-8, -1e-8, 0.5, 1.0, -1.0),
    *(88.7, -88.7, 1e19, 1e30, -1e30, 1e38, -1e38, 3.4028234663852886e38, -3.4028234663852886e38),
)
"""Zeros, numbers too small for float32 (they become zero), its limits, and where exponentials overflow."""

RULES = MutationRules(
    (("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("all"), max_statements=LONGEST
)
"""Every primitive, each kind of mutation with equal chance."""


@dataclass(frozen=True)
class Fuzzed:
    """A random program; it may be invalid.

    Attributes:
        seed: of the run.
        index: of the program in the run.
        source: how it was made; a name of `SOURCES`.
        statements: the program.
    """

    seed: int
    index: int
    source: str
    statements: Statements

    @property
    def text(self) -> str:
        """Its statements on one line, for sentences."""
        return "; ".join(s.text for s in self.statements)


def program_at(seed: int, index: int) -> Fuzzed:
    """The program of a run at an index.

    Args:
        seed: of the run.
        index: from 0.

    Example:
        program_at(0, 17).text
    """
    rng = random.Random(f"{seed} program {index}")
    (source,) = rng.choices([*SOURCES], [share for share, _ in SOURCES.values()])
    return Fuzzed(seed, index, source, SOURCES[source][1](rng, seed, index))


def mended(statements: Statements) -> Statements:
    """A valid program close to this one: refused statements are left out, outputs are made tensors."""
    env, kept = Env(INITIAL), []
    for statement in statements:
        if all(name in env for name in statement.variables):
            value = apply_primitive(statement.primitive, tuple(env[a] for a in statement.args))
            if not isinstance(value, str):
                env[statement.target] = value
                kept.append(statement)
    narrow = [name for name in OUTPUTS if name not in env or env[name].type is not ValueType.TENSOR]
    # Even g may be a scalar by now, so a tensor is put aside first, under a name that nobody uses.
    taken = {name for s in kept for name in (s.target, *s.variables)}
    aside = next(name for name in (f"tensor{number}" for number in count()) if name not in taken)
    if narrow:
        kept.insert(0, Statement(aside, "cube", ("g",)))
    for name in narrow:
        kept.append(Statement(name, "add", (name if name in env else aside, aside)))
    return tuple(kept)


# ---------------------------------------------------------------- sources


def _scratch(rng: random.Random, seed: int, index: int) -> Statements:  # noqa: ARG001
    """Random statements under random rules."""
    everything = vocabulary("all")
    some = tuple(rng.sample(everything, rng.randint(3, 10)))
    rules = MutationRules(
        RULES.weights,
        rng.choice([everything, vocabulary("paper"), some]),
        rng.choice([1, 3, 10, 30, LONGEST]),
        ConstantRules(share=rng.choice([0.0, 0.3, 0.9]), std=rng.choice([1e-3, 1.0, 1e3])),
    )
    statements = random_program(rng, rules)
    return mended(statements) if rng.random() < 0.7 else statements


def _walk(rng: random.Random, seed: int, index: int) -> Statements:
    """A step of a random walk; its neighbours in the run are neighbours on the walk."""
    path = random.Random(f"{seed} walk {index // WALK}")
    start = builtin(path.choice(builtin_names())).statements
    statements = start if path.random() < 0.7 else mended(random_program(path, RULES))
    for _ in range(1 + index % WALK):
        mutated = mutate(path, statements, RULES)
        if mutated is not None and analyze(mutated[0]).valid:
            statements = mutated[0]
    last = mutate(rng, statements, RULES) if rng.random() < 0.3 else None  # one step off; it may be invalid
    return statements if last is None else last[0]


def _crossing(rng: random.Random, seed: int, index: int) -> Statements:  # noqa: ARG001
    """The beginning of one shipped program, then the end of another."""
    first, second = (builtin(rng.choice(builtin_names())).statements for _ in range(2))
    crossed = first[: rng.randint(0, len(first))] + second[rng.randint(0, len(second)) :]
    return mended(crossed) if rng.random() < 0.7 else crossed


def _extreme(rng: random.Random, seed: int, index: int) -> Statements:
    """A program of another kind, most of its constants and some of its variables made extreme."""
    make = rng.choice([_scratch, _walk, _crossing, _small])

    def changed(argument: str | Constant) -> str | Constant:
        chance = 0.7 if isinstance(argument, Constant) else 0.15
        return Constant(rng.choice(EXTREMES)) if rng.random() < chance else argument

    return mended(
        tuple(Statement(s.target, s.primitive, [changed(a) for a in s.args]) for s in make(rng, seed, index))
    )


def _small(rng: random.Random, seed: int, index: int) -> Statements:  # noqa: ARG001
    """Few statements of few primitives: many are written differently and mean the same."""
    statements: list[Statement] = []
    names = ("add", "multiply", "maximum", "minimum", "subtract", "interp", "square", "sqrt", "dot", "sign")
    for position in range(rng.randint(2, 6)):
        primitive = rng.choice(names)
        known = ("g", "m", "v", "lr", *[s.target for s in statements])
        args = [
            Constant(rng.choice((-1.0, 0.0, 0.5, 0.5**0.5))) if rng.random() < 0.3 else rng.choice(known)
            for _ in range(BY_NAME[primitive].arity)
        ]
        target = "update" if position == 1 else rng.choice(("update", "m", "v", "t1", "t2"))
        statements.append(Statement(target, primitive, args))
    return mended(tuple(statements))


def _tiny(rng: random.Random, seed: int, index: int) -> Statements:  # noqa: ARG001
    """One statement for each output, few enough that most come again, slots swapped or not."""

    def statement(target: str) -> Statement:
        primitive = rng.choice(("add", "subtract", "multiply"))
        args = [rng.choice(("g", "m", "v")) for _ in range(2)]
        return Statement(target, primitive, args)

    return tuple(statement(target) for target in rng.sample(OUTPUTS, len(OUTPUTS)))


def _unlikely(rng: random.Random, seed: int, index: int) -> Statements:  # noqa: ARG001
    """Statements with no regard for types or for what is defined; nearly all are refused."""
    names = ("w", "g", "m", "v", "lr", "update", "t1", "t2", "_", "x" * 64)
    statements = []
    for _ in range(rng.randint(0, 6)):
        row = rng.choice(TABLE)
        args = [
            Constant(rng.choice(EXTREMES)) if rng.random() < 0.3 else rng.choice(names)
            for _ in range(row.arity)
        ]
        statements.append(Statement(rng.choice(names), row.name, args))
    return tuple(statements)


Source = Callable[[random.Random, int, int], Statements]

SOURCES: Mapping[str, tuple[float, Source]] = MappingProxyType(
    {
        "from scratch": (0.2, _scratch),
        "random walk": (0.25, _walk),
        "crossing": (0.1, _crossing),
        "extreme constants": (0.15, _extreme),
        "small": (0.15, _small),
        "tiny": (0.1, _tiny),
        "unlikely": (0.05, _unlikely),
    }
)
"""How programs are made, and how large a share of them so."""
