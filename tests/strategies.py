"""Random programs for tests: hypothesis strategies, and the plain functions of a `random.Random` behind them.

Programs come about in two ways: as descendants of a shipped program by a chain of mutations, and from
scratch. A strategy draws a start, a seed and a length, so a failing example shrinks to few mutations.
"""

import keyword
import math
import random
import struct

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from evosearch.language import Constant, Program, Statement, analyze, builtin, builtin_names
from evosearch.language.mutation import MutationRules, Statements, mutate, random_program
from evosearch.language.program import SMALLEST_NORMAL
from evosearch.language.vocabulary import vocabulary
from primitives import BY_NAME, TABLE, Primitive

EVEN = (("insert", 1.0), ("modify", 1.0), ("delete", 1.0))

RULES = MutationRules(EVEN, vocabulary("all"), max_statements=30)
"""Every primitive, each kind of mutation with equal chance."""

# ---------------------------------------------------------------- from a seed


def descendant(
    rng: random.Random,
    statements: Statements,
    steps: int,
    rules: MutationRules = RULES,
    *,
    valid: bool = True,
) -> Statements:
    """The last of a chain of `steps` mutations; if `valid`, children that are not valid are thrown away."""
    for _ in range(steps):
        mutated = mutate(rng, statements, rules)
        if mutated is not None and (not valid or analyze(mutated[0]).valid):
            statements = mutated[0]
    return statements


def mended(statements: Statements) -> Statements:
    """A valid program close to this one: refused statements are left out, outputs are made tensors."""
    tensor = Statement("t0", "cube", ("g",))
    while (refusal := analyze(statements).refusal) is not None:
        if refusal.statement is not None:
            statements = statements[: refusal.statement] + statements[refusal.statement + 1 :]
        elif refusal.reason == "update is never defined":
            statements = (Statement("update", "sign", ("g",)), *statements)
        else:  # an output is too narrow; even g may be a scalar by now
            output = refusal.reason.split()[0]
            statements = (
                tensor,
                *statements,
                Statement(output, "add", (output, "t0")),
            )
    return statements


def small_program(rng: random.Random) -> Statements:
    """A short valid program of few primitives, variables and constants.

    Among some thousands of them many are written differently and mean the same: operands swapped, slots
    swapped, statements in another order, constants computed.
    """
    statements: Statements = ()
    for position in range(rng.randint(2, 6)):
        primitive = rng.choice(("add", "multiply", "maximum", "subtract", "interp", "square", "sqrt", "dot"))
        known = ("g", "m", "v", "lr", *[s.target for s in statements])
        args = [
            Constant(rng.choice((-1.0, 0.0, 0.5, 0.5**0.5))) if rng.random() < 0.3 else rng.choice(known)
            for _ in range(BY_NAME[primitive].arity)
        ]
        target = "update" if position == 1 else rng.choice(("update", "m", "v", "t1", "t2"))
        statements = (*statements, Statement(target, primitive, tuple(args)))
    return mended(statements)


# ---------------------------------------------------------------- strategies


def trying(examples: int) -> settings:
    """How a law is tried: so often, with no clock and no complaint that a fitting program is rare."""
    patient = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=examples, deadline=None, suppress_health_check=patient)


seeds = st.integers(0, 2**32 - 1)


@st.composite
def programs(
    draw: st.DrawFn, rules: MutationRules = RULES, *, valid: bool = True, steps: int = 30
) -> Program:
    """Random programs: half of them descend from shipped ones, half are made from scratch.

    Args:
        draw: given by hypothesis.
        rules: vocabulary and limits; shipped starts may bring other primitives and more statements.
        valid: whether every program must be valid; if not, most are not.
        steps: the longest chain of mutations.
    """
    rng = random.Random(draw(seeds))
    start = draw(st.one_of(st.just(""), st.sampled_from(builtin_names())))
    statements = builtin(start).statements if start else random_program(rng, rules)
    if valid and not start:
        statements = mended(statements)
    return Program(descendant(rng, statements, draw(st.integers(0, steps)), rules, valid=valid))


def _float32(bits: int) -> float:
    number: float = struct.unpack("<f", struct.pack("<I", bits))[0]
    return number


numbers = st.one_of(
    st.sampled_from(
        [0.0, -0.0, 1e-8, -1e-8, 1.0, -1.0, 0.1, 3.0, 1e30, SMALLEST_NORMAL, 3.4028234663852886e38]
    ),
    st.integers(0, 2**32 - 1).map(_float32).filter(math.isfinite),
)
"""Finite float32 numbers from the whole range, subnormal ones included."""

names = st.one_of(
    st.sampled_from(["w", "g", "m", "v", "lr", "update", "t1", "sqrt", "_"]),
    st.from_regex(r"[A-Za-z_][A-Za-z_0-9]{0,63}", fullmatch=True).filter(lambda n: not keyword.iskeyword(n)),
)
"""Names that a program may give to a variable."""


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Any statement that can be written, with no regard for types or for what is defined."""
    row: Primitive = draw(st.sampled_from(TABLE))
    argument = st.one_of(names, numbers.map(Constant))
    return Statement(draw(names), row.name, tuple(draw(argument) for _ in range(row.arity)))


written_programs = st.lists(statements(), max_size=12).map(lambda s: Program(tuple(s)))
"""Any program that can be written; almost none is valid."""
