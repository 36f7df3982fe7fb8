"""What must hold for a single program, apart from running it fast: text, abstract execution, simplifier.

Each check returns a sentence for each promise that did not hold.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from evosearch.language import AbstractExecution, Analysis, Judged, analyze, parse, program_text
from evosearch.language.abstract import Edit, live_statements
from evosearch.language.fingerprint import fingerprint, run_statements
from evosearch.language.mutation import mutate
from evosearch.language.program import Statements
from evosearch.simplify import Exactness, simplify
from evosearch.simplify.algebra import weakest
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.soak.fuzz_programs import RULES
from primitives import ValueType

SCALES = (1e-4, 1.0, 1e3)
"""Of the gradients."""

STEPS = 3
SHAPES = ((3,), (2, 2), ())

Tree = tuple[Any, ...]


class Behaviour(NamedTuple):
    """What a valid program does, on fixed random inputs.

    Attributes:
        digest: of every bit of every update; all NaN count as one.
        telling: whether any update has a finite number other than zero.
    """

    digest: bytes
    telling: bool


def check_text(statements: Statements) -> Iterator[str]:
    """The text reads back to the same statements, and to the same text."""
    text = program_text(statements)
    found = parse(text)
    if found.statements != statements:
        yield f"its text reads back as other statements: {found.statements}"
    if str(found) != text:
        yield "its text, read and written, is another text"


def check_abstract(
    statements: Statements, analysis: Analysis, execution: AbstractExecution, rng: random.Random
) -> Iterator[str]:
    """The fast abstract execution says what the full one says, for the program and for a mutant of it."""
    judged = execution.judge(statements)
    yield from _agrees(judged, analysis)
    if analysis.refusal is not None:
        if not analysis.refusal.reason:
            yield "it is refused without a reason"
        return
    assert isinstance(judged, Judged)
    live = live_statements(statements)
    again = analyze(live)
    if again.hash != analysis.hash or not all(again.live):
        yield "its live statements by themselves have another hash, or dead ones among them"
    mutated = mutate(rng, statements, RULES)
    if mutated is not None:
        child, mutation = mutated
        edit = Edit(statements, judged, mutation.statement, mutation.new, mutation.gone)
        for complaint in _agrees(execution.judge(child, edit), analyze(child)):
            yield f"after {mutation.kind} at {mutation.statement} ({mutation.after!r}), {complaint}"


def _agrees(judged: object, analysis: Analysis) -> Iterator[str]:
    if isinstance(judged, Judged):
        if (judged.hash.hex(), judged.live) != (analysis.hash, sum(analysis.live)):
            yield f"judge says {judged.hash.hex()}, {judged.live} live; analyze says {analysis.hash}"
    elif judged != analysis.refusal:
        yield f"judge says {judged}, analyze says {analysis.refusal or 'valid'}"


def check_types(statements: Statements, analysis: Analysis) -> Iterator[str]:
    """As far as it is well typed, a program runs, and each value has the shape of its type."""
    weights, gradients, _ = _probe(1.0)
    zeros = tuple(np.zeros(shape) for shape in SHAPES)
    env: dict[str, Any] = {"w": weights, "g": gradients[0], "m": zeros, "v": zeros, "lr": np.float64(0.5)}
    expected = {ValueType.TENSOR: SHAPES, ValueType.LEAFWISE: ((),) * len(SHAPES), ValueType.SCALAR: ()}
    for statement, value in zip(statements, analysis.values, strict=False):
        env = run_statements((statement,), env)
        result = env[statement.target]
        shape = tuple(map(np.shape, result)) if isinstance(result, tuple) else np.shape(result)
        if shape != expected[value.type]:
            yield f"`{statement.text}` gives {shape}, but it is a {value.type}"


@cache
def _probe(scale: float) -> tuple[Tree, list[Tree], Tree]:
    """Weights, and a gradient for each step; and noise of size 1."""
    rng = np.random.default_rng(7)

    def draw(size: float) -> Tree:
        return tuple(rng.normal(size=shape) * size for shape in SHAPES)

    return draw(1.0), [draw(scale) for _ in range(STEPS)], draw(1.0)


def behaviour(statements: Statements, analysis: Analysis) -> Behaviour:
    """What a valid program does, in NumPy through the references; equal hashes promise equal bits.

    All statements are run, dead ones too, and both slots are carried, so nothing here rests on what abstract
    execution says of liveness. Constant expressions have the float32 value that the hash gives them.

    Args:
        statements: a valid program.
        analysis: what abstract execution says of it.
    """
    constants = [value.constant for value in analysis.values]
    digest = blake2b(digest_size=16)
    telling = False
    for scale in SCALES:
        weights, gradients, _ = _probe(scale)
        m = v = tuple(np.zeros(shape) for shape in SHAPES)
        for step, gradient in enumerate(gradients):
            env: dict[str, Any] = {
                "w": weights,
                "g": gradient,
                "m": m,
                "v": v,
                "lr": np.float64(1 - step / STEPS),
            }
            for statement, constant in zip(statements, constants, strict=True):
                if constant is None:
                    env = run_statements((statement,), env)
                else:
                    env[statement.target] = np.float64(constant)
            m, v, update = env["m"], env["v"], env["update"]
            for leaf in update:
                digest.update(np.where(np.isnan(leaf), np.nan, leaf).tobytes())
                telling = telling or bool((np.isfinite(leaf) & (leaf != 0)).any())
            with np.errstate(all="ignore"):
                weights = tuple(w - u for w, u in zip(weights, update, strict=True))
    return Behaviour(digest.digest(), telling)


def check_live(statements: Statements, does: Behaviour, fingerprinted: bytes) -> Iterator[str]:
    """The live statements by themselves do what the program does, and have its fingerprint.

    Args:
        statements: a valid program.
        does: what it does, dead statements and all.
        fingerprinted: its fingerprint.
    """
    live = live_statements(statements)
    if behaviour(live, analyze(live)) != does:
        yield "its live statements by themselves do something else"
    if fingerprint(live) != fingerprinted:
        yield "its live statements by themselves have another fingerprint"


def check_simplifier(statements: Statements) -> Iterator[str]:
    """The simplified program is valid, no longer, and does the same in the sense of the steps taken."""
    stages = simplify(statements)
    before, simple = stages[0].after, stages[-1].after
    refusal = analyze(simple).refusal
    if refusal is not None:
        yield f"simplified it is invalid ({refusal.reason}): {_line(simple)}"
        return
    if len(simple) > len(live_statements(statements)):
        yield f"simplified it is longer: {_line(simple)}"
    used = [step.exactness for stage in stages for step in stage.steps]
    found = compare_behaviour(before, simple, weakest([*used, Exactness.ROUNDING]))
    if not found.same:
        yield f"simplified it does something else ({found.reason}): {_line(simple)}"


def _line(statements: Sequence[Any]) -> str:
    return "; ".join(s.text for s in statements)
