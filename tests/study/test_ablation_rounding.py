"""Which numbers are tried, and which are taken, on pretended trainings."""

from __future__ import annotations

import math

import pytest
from ablation_fakes import ABLATION, drive, noise, own
from hypothesis import given
from strategies import numbers, trying

from evosearch.errors import StudyError
from evosearch.evaluation.settings import Statements
from evosearch.language import Constant, parse
from evosearch.language.program import float32
from evosearch.simplify.step import Exactness
from evosearch.study.no_worse import ROUNDING_CONFIRMATION
from evosearch.study.rounding import MOST_DIGITS, constant_places, round_constants, roundings, with_constant
from evosearch.study.sequential import Decision
from evosearch.study.trials import Training
from proxy_tasks import Split

ORIGINAL = parse(
    """def train(w, g, m, v, lr):
    t = interp(g, v, 0.9)
    v = interp(g, v, 0.99822134)
    wd = w * 0.46019784
    t = sign(t)
    t = t + wd
    t = t * 0.00021717617
    update = t * lr
    return update, m, v
"""
).statements


def constants(statements: Statements) -> list[float]:
    return [float(a.text) for s in statements for a in s.args if isinstance(a, Constant)]


def memory_counts(training: Training) -> float:
    """The second weight must be 0.998 to a third digit; of the others the first digit will do."""
    first, second, decay, rate = constants(own(training))
    wrong = abs(first - 0.9) > 0.05 or abs(second - 0.99822) > 0.0005 or not 0.4 < decay < 0.55 or rate > 3e-4
    return (1.3 if wrong else 1) * noise(training, 0.1)


def test_constants_keep_the_digits_that_they_need() -> None:
    rounded, asked = drive(round_constants(ORIGINAL, ORIGINAL, ABLATION), memory_counts)
    assert constants(rounded.statements) == [0.9, 0.998, 0.5, 0.0002]
    assert [(step.before, step.after) for step in rounded.steps] == [
        ("0.99822134", "0.998"),
        ("0.46019784", "0.5"),
        ("0.00021717617", "0.0002"),
    ]
    assert {(s.part, s.rule, s.exactness) for s in rounded.steps} == {
        ("constants", "measured rounding", Exactness.MEASURED)
    }
    assert rounded.before == ORIGINAL
    assert rounded.confirmed is not None
    assert rounded.confirmed.decision is Decision.ACCEPTED
    confirmation = {training.seed for training in asked if training.split is Split.SELECTION}
    assert min(confirmation) == ROUNDING_CONFIRMATION.first
    refused = [tried.name for tried in rounded.tried if tried.verdict.decision is not Decision.ACCEPTED]
    assert refused == ["0.99822134 -> 1.0"]


def test_no_fewer_digits_than_wanted() -> None:
    rounded, _ = drive(round_constants(ORIGINAL, ORIGINAL, ABLATION, fewest=3), memory_counts)
    assert constants(rounded.statements) == [0.9, 0.998, 0.46, 0.000217]


def test_a_program_is_compared_with_the_original_and_not_with_itself() -> None:
    """What came before may have lost all that may be lost."""

    def decay_matters(training: Training) -> float:
        decay = constants(own(training))[2]
        return (1 + abs(decay - 0.46019784)) * noise(training, 0.001)

    lost = with_constant(ORIGINAL, constant_places(ORIGINAL)[2], 0.418)
    rounded, _ = drive(round_constants(ORIGINAL, lost, ABLATION), decay_matters)
    assert constants(rounded.statements)[2] == pytest.approx(0.42)  # 0.4 would lose 6 %
    assert rounded.before == lost


def test_what_fresh_seeds_do_not_confirm_is_taken_back() -> None:
    def over_fitted(training: Training) -> float:
        rough = training.split is Split.SELECTION and constants(own(training))[3] == 0.0002
        return 1.5 if rough else memory_counts(training)

    rounded, _ = drive(round_constants(ORIGINAL, ORIGINAL, ABLATION), over_fitted)
    assert constants(rounded.statements) == [0.9, 0.998, 0.5, float(Constant(0.00021717617).text)]
    assert rounded.withdrawn == ("0.00021717617 -> 0.0002",)


def test_known_roundings() -> None:
    assert roundings(0.99822)[:2] == [1.0, 0.998]
    assert roundings(1.109133)[:4] == [1.0, 1.1, 1.11, 1.109]
    assert roundings(-3.14159, 3) == [-3.14, -3.142, -3.1416]
    assert roundings(0.46019784)[:3] == [0.5, 0.46, 0.4602]
    for short in (0.9, 1.0, 0.0, 1e-8, 100.0, 0.5):
        assert roundings(short) == []


@given(numbers)
@trying(300)
def test_roundings_are_shorter_and_close(number: float) -> None:
    found = roundings(number)
    assert len(found) == len(set(found)) <= 2 * MOST_DIGITS
    for rounded in found:
        assert float32(rounded) != float32(number)
        assert math.isclose(rounded, number, rel_tol=0.5, abs_tol=0) or 0.5 < number < 1.5
        assert Constant(rounded).value != 0


def test_a_constant_at_a_place() -> None:
    places = constant_places(ORIGINAL)
    assert len(places) == 4
    changed = with_constant(ORIGINAL, places[1], 0.5)
    assert constants(changed) == [0.9, 0.5, *constants(ORIGINAL)[2:]]
    assert [a for a, b in zip(ORIGINAL, changed, strict=True) if a != b] == [ORIGINAL[1]]


@pytest.mark.parametrize("fewest", [0, -1, 10])
def test_digits_that_are_none(fewest: int) -> None:
    with pytest.raises(StudyError, match=f"expected to keep 1 to 9 digits, found {fewest}"):
        drive(round_constants(ORIGINAL, ORIGINAL, ABLATION, fewest), memory_counts)
