"""The simplifier as a whole, on random programs; and what it says of bad ones."""

import pytest
from hypothesis import given

from evosearch.errors import ProgramError
from evosearch.language import analyze, builtin, parse
from evosearch.language.abstract import live_statements
from evosearch.simplify import Exactness, recognise, simplify
from evosearch.simplify.algebra import weakest
from evosearch.simplify.behaviour import Behaviour, compare_behaviour
from evosearch.simplify.stages import algebra, known_as, names, redundant
from evosearch.simplify.step import MOST_STATEMENTS
from tests.simplify.disguises import program
from tests.strategies import programs, trying


@trying(40)
@given(programs(steps=60))
def test_simplified_programs_are_no_larger_and_do_the_same(program):
    stages = simplify(program.statements)
    simple = stages[-1].after
    assert analyze(simple).valid
    assert len(simple) <= len(live_statements(program.statements))
    used = [step.exactness for stage in stages for step in stage.steps]
    found = compare_behaviour(stages[0].after, simple, weakest([*used, Exactness.ROUNDING]))
    assert found.same, found.reason
    assert recognise(simple) is None or analyze(simple).state in ((), ("m",), ("m", "v"))


def test_twice_is_once():
    once = simplify(builtin("program8").statements)[-1].after
    assert simplify(once)[-1].after == once


def test_an_invalid_program_is_refused():
    with pytest.raises(ProgramError, match="only a valid program can be simplified: update is never defined"):
        simplify(
            parse("def train(w, g, m, v, lr):\n    x = g * lr\n    return update, m, v\n", "x").statements
        )


def test_dead_statements_are_named():
    stage = redundant(builtin("program8").statements)
    assert [step.before for step in stage.steps][:2] == ["m = clip(m, lr)", "v845 = sqrt(0.62706333)"]
    assert stage.notes == ("what m brings into a step never reaches update: it is no state",)


@pytest.mark.parametrize("part", [algebra, names])
def test_a_very_long_program_is_left_alone_and_that_is_said(part):
    body = ";".join(["update = tanh(g)"] + ["update = tanh(update)"] * MOST_STATEMENTS)
    stage = part(program(body).statements)
    assert stage.after == stage.before
    assert stage.notes == (
        f"left undone: the program has {MOST_STATEMENTS + 1} live statements, more than 150",
    )
    assert known_as(stage.before) is None


def test_results_that_are_not_taken_are_told(monkeypatch):
    """Whatever algebra finds here is made to fail beside the original."""
    different = Behaviour(False, 1.0, 1.0, "updates differ by 100 %")
    monkeypatch.setattr("evosearch.simplify.algebra.compare_behaviour", lambda *_: different)
    stage = algebra(program("x = g + g; update = x + g").statements)
    assert stage.after == stage.before
    assert set(stage.notes) == {"a result was not taken: updates differ by 100 %"}


def test_behaviour_finds_a_difference():
    one = program("m = interp(g, m, 0.9); update = sign(m)").statements
    other = program("m = interp(g, m, 0.8); update = sign(m)").statements
    found = compare_behaviour(one, other, Exactness.GUARD)
    assert not found.same
    assert "updates differ by" in found.reason


def test_behaviour_finds_a_failure_that_is_new():
    one = program("update = g / g").statements
    other = program("t = reciprocal(g); update = g * t").statements
    found = compare_behaviour(one, other, Exactness.GUARD)
    assert not found.same
    assert found.reason == "step 1 with gradients of 1e-06: only one of them is finite"
    assert compare_behaviour(other, one, Exactness.GUARD).same
    assert not compare_behaviour(other, one, Exactness.ROUNDING).same
