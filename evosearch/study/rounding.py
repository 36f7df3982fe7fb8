"""Rounds a program's constants to the fewest digits that do no harm, as trainings on a few tasks show.

A constant near 1 may be rounded as 1 - c: 0.99822 becomes 0.998 and not 1.0. Every rounding is compared with
the original program and with the program before any rounding; what is promised, and how it is confirmed, is
as in `ablation`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evosearch.errors import StudyError
from evosearch.evaluation.settings import Statements
from evosearch.language import analyze
from evosearch.language.abstract import live_statements
from evosearch.language.program import SMALLEST_NORMAL, Constant, Statement, float32
from evosearch.study.ablation import PARTS, Ablated, Change, Tried, begun, confirmed
from evosearch.study.no_worse import (
    ROUNDING_CONFIRMATION,
    SCREENING,
    Ablation,
    Book,
    Variant,
    settings_for,
)
from evosearch.study.sequential import Decision
from evosearch.study.side_by_side import first_accepted, try_variants
from evosearch.study.trials import Steps, Work

MOST_DIGITS = 9
"""Any float32 number is told by so many digits."""

LARGEST = float(np.finfo(np.float32).max)

NEAR_ONE = (0.5, 1.5)
"""Between these a constant c may be rounded as 1 - c."""


def rounding_work(
    original: Statements, statements: Statements, ablation: Ablation, fewest: int = 1
) -> Work[Ablated]:
    """The rounding of one program, for `Trials.run` with `ablation.plan(original)`; see `round_constants`."""
    return Work("rounding", ablation.about, round_constants(original, statements, ablation, fewest))


def round_constants(
    original: Statements, statements: Statements, ablation: Ablation, fewest: int = 1
) -> Steps[Ablated]:
    """Round constants, one after the other.

    Args:
        original: a valid program that everything is compared with.
        statements: a valid program: the original, or what became of it.
        ablation: on which tasks, and what may be lost.
        fewest: significant digits that each constant keeps at least (or that 1 - c keeps).

    Returns:
        What is left: as many live statements as there were.

    Raises:
        StudyError: the original diverges on a task, the budget ends before its settings are found, or
            `fewest` is no number of digits.
    """
    if not 1 <= fewest <= MOST_DIGITS:
        raise StudyError(f"expected to keep 1 to {MOST_DIGITS} digits, found {fewest}")
    reference, book = yield from begun(original, ablation)
    start = Variant(live_statements(statements), reference.setting)
    left = start.statements
    changes: list[Change] = []
    tried: list[Tried] = []
    for number, (line, place) in enumerate(constant_places(left), start=1):
        found = yield from _shortest(book, reference, start, left, (line, place), number, fewest)
        tried += found[1]
        if found[0] is not None:
            changes.append(found[0])
            left = found[0].left.statements
        if book.spent:
            break
    return (
        yield from confirmed(
            book, reference, changes, tried, ROUNDING_CONFIRMATION, start.statements, PARTS[1]
        )
    )


Place = tuple[int, int]
"""Of a constant: which statement, which of its arguments."""


def constant_places(statements: Statements) -> list[Place]:
    """Where a program's constants stand."""
    return [
        (line, place)
        for line, statement in enumerate(statements)
        for place, argument in enumerate(statement.args)
        if isinstance(argument, Constant)
    ]


def roundings(number: float, fewest: int = 1) -> list[float]:
    """Shorter numbers near a float32 number, the shortest first.

    Args:
        number: finite.
        fewest: significant digits to keep at least.

    >>> roundings(0.99822, 1)
    [1.0, 0.998, 0.9982]
    >>> roundings(0.46019784)
    [0.5, 0.46, 0.4602, 0.460198, 0.4601978]
    """
    exact = float32(number)
    found: list[float] = []
    for digits in range(fewest, MOST_DIGITS + 1):
        near = [float(f"{exact:.{digits}g}")]
        if NEAR_ONE[0] < exact < NEAR_ONE[1] and exact != 1:
            near.append(float(f"{1 - float(f'{1 - exact:.{digits}g}'):.{MOST_DIGITS}g}"))
        for candidate in filter(_fits, near):
            if float32(candidate) == exact:
                return found
            if candidate not in found:
                found.append(candidate)
    return found


def _fits(number: float) -> bool:
    """Whether it is 0 or a normal float32 number; rounding may go too far at either end of the range."""
    return number == 0 or SMALLEST_NORMAL <= abs(number) <= LARGEST


def with_constant(statements: Sequence[Statement], place: Place, number: float) -> Statements:
    """A program with another number at the place of a constant."""
    line, argument = place
    old = statements[line]
    args = (*old.args[:argument], Constant(number), *old.args[argument + 1 :])
    return (*statements[:line], Statement(old.target, old.primitive, args), *statements[line + 1 :])


def _shortest(
    book: Book,
    original: Variant,
    start: Variant,
    left: Statements,
    place: Place,
    number: int,
    fewest: int,
) -> Steps[tuple[Change | None, list[Tried]]]:
    """The shortest spelling of one constant that is accepted, and all that were tested."""
    old = left[place[0]].args[place[1]]
    assert isinstance(old, Constant)
    spellings = [
        (shorter, program)
        for shorter in roundings(old.value, fewest)
        for program in (with_constant(left, place, shorter),)
        if analyze(program).valid and len(live_statements(program)) == len(left)
    ]
    tried: list[Tried] = []
    for begin in range(0, len(spellings), book.ablation.together):
        some = spellings[begin : begin + book.ablation.together]
        variants = yield from settings_for(book, original, [program for _, program in some])
        if variants is None:
            break
        error = 1 - book.ablation.confidence
        verdicts = yield from try_variants(book, original, variants, SCREENING, error, first_accepted, start)
        for (shorter, _), variant, verdict in zip(some, variants, verdicts, strict=True):
            change = Change("measured rounding", old.text, Constant(shorter).text, variant, verdict)
            tried.append(Tried(change.name, number, 0, verdict))
            if verdict.decision is Decision.ACCEPTED:
                return change, tried
        if book.spent:
            break
    return None, tried
