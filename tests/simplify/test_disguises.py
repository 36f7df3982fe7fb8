"""Lion in many disguises comes out as one program; what is not Lion does not."""

import pytest

from evosearch.language import analyze, builtin, program_text
from evosearch.language.program import float32
from evosearch.simplify import recognise, simplify
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.simplify.step import Exactness
from tests.simplify.disguises import DECAYED, DISGUISES, program

LION = program_text(simplify(program(DISGUISES["plain"]).statements)[-1].after)
NOT_LION = {
    "interp of squares": (
        f"q = square(g); c = interp(q, m, 0.9); s = sign(c); m = interp(q, m, 0.998); {DECAYED}"
    ),
    "no memory": f"s = sign(g); {DECAYED}",
    "abs of the sum": f"c = interp(g, m, 0.9); s = abs(c); m = interp(g, m, 0.998); {DECAYED}",
    "decay inside": (
        "wd = w * 0.4602; h = g + wd; c = interp(h, m, 0.9); "
        "s = sign(c); m = interp(h, m, 0.998); t = lr * 0.000217; update = s * t"
    ),
    "size by itself": f"c = interp(g, m, 0.9); s = c / c; m = interp(g, m, 0.998); {DECAYED}",
    "growing state": f"c = interp(g, m, 0.9); s = sign(c); m = interp(g, m, 1.002); {DECAYED}",
    "sign of the new state": f"m = interp(g, m, 0.998); s = sign(m); {DECAYED}",
}


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_comes_out_as_lion(name: str):
    statements = program(DISGUISES[name]).statements
    stages = simplify(statements)
    simple = stages[-1].after
    assert [s.primitive for s in simple] == [s.primitive for s in program(LION_BODY).statements]
    assert [s.target for s in simple] == [s.target for s in program(LION_BODY).statements]
    assert analyze(simple).state == ("m",)
    found = recognise(simple)
    assert found is not None
    assert found.name == "lion"
    assert found.hyperparameters == pytest.approx(
        {"b1": 0.9, "b2": 0.998, "weight_decay": 0.4602, "learning_rate": 0.000217}, rel=1e-4
    )
    assert compare_behaviour(statements, simple, Exactness.GUARD).same


LION_BODY = ";".join(LION.splitlines()[1:-1])


@pytest.mark.parametrize("name", NOT_LION)
def test_another_program_does_not_come_out_as_lion(name: str):
    statements = program(NOT_LION[name]).statements
    simple = simplify(statements)[-1].after
    assert program_text(simple) != LION
    found = recognise(simple)
    assert found is None or found.name != "lion"
    assert compare_behaviour(statements, simple, Exactness.GUARD).same


def test_program8_without_measurements():
    """Sign and one interpolation for each of update and state; arcsin and clip stay."""
    stages = simplify(builtin("program8").statements)
    simple = stages[-1].after
    assert [s.primitive for s in simple] == [
        "clip", "arcsin", "interp", "interp", "sign", "multiply", "add", "multiply", "multiply",
    ]  # fmt: skip
    assert analyze(simple).state == ("m",)
    (weight,) = [s.args[2].value for s in simple if s.target == "m"]
    assert weight == pytest.approx(0.99821967)
    (decay,) = [s.args[1] for s in simple if s.target == "weight_decay"]
    assert decay.value == float32(0.4601978361606598)
    assert [stage.part for stage in stages] == ["redundant", "algebra", "names"]
    assert {"interp as a sum", "size by sign"} <= {step.rule for step in stages[1].steps}
    found = recognise(simple)
    assert found is not None
    assert found.sentence.startswith("this is lion on arcsin(clip(g, lr)) with b1 = 0.9, b2 = 0.9982")


def test_the_shipped_programs_keep_their_length_and_are_recognised():
    expected = {
        "adabelief": "adabelief with decoupled weight decay", "adagrad": "adagrad", "adam": "adam",
        "adamw": "adamw", "lion": "lion", "momentum": "momentum", "nesterov": "nesterov",
        "rmsprop": "rmsprop", "sgd": "sgd", "signsgd": "signsgd", "signum": "signum",
    }  # fmt: skip
    for name, known in expected.items():
        statements = builtin(name).statements
        assert len(simplify(statements)[-1].after) <= len(statements)
        for spelling in (statements, simplify(statements)[-1].after):
            found = recognise(spelling)
            assert found is not None
            assert found.name == known
