"""Settings in a program's text are the arithmetic that they stand for."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from evosearch.evaluation.compiled import run_program
from evosearch.evaluation.settings import EXTRA_STATEMENTS, with_settings
from evosearch.language import analyze, builtin, builtin_names, parse, program_text
from evosearch.language.program import Statement

RNG = np.random.Generator(np.random.Philox(key=3))
INPUTS = {name: (jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32),) for name in ("w", "g", "m", "v")}
LR = jnp.float32(0.37)


def outputs(statements: tuple[Statement, ...]) -> dict[str, np.ndarray]:
    env = run_program(statements, {**INPUTS, "lr": LR})
    return {name: np.asarray(env[name][0]) for name in ("update", "m", "v")}


@pytest.mark.parametrize("name", builtin_names())
@pytest.mark.parametrize(("factor", "decay"), [(1.0, 0.0), (3.0, 0.0), (1.0, 0.01), (0.1, 0.5)])
def test_settings_are_what_they_say(name: str, factor: float, decay: float) -> None:
    statements = builtin(name).statements
    tuned = with_settings(statements, factor, decay)
    ours, plain = outputs(tuned), outputs(statements)
    expected = factor * (plain["update"] + 0.37 * decay * np.asarray(INPUTS["w"][0]))
    np.testing.assert_allclose(ours["update"], expected, rtol=1e-5, atol=1e-7)
    live = analyze(statements).state
    for slot in live:
        np.testing.assert_array_equal(ours[slot], plain[slot])
    assert analyze(tuned).state == live
    extra = 3 * (decay != 0) + (factor != 1)
    assert len(tuned) == len(statements) + extra <= len(statements) + EXTRA_STATEMENTS
    assert parse(program_text(tuned)).statements == tuned


def test_nothing_is_inserted_for_nothing() -> None:
    statements = builtin("adamw").statements
    assert with_settings(statements) == statements


def test_names_of_the_program_are_left_alone() -> None:
    text = """def train(w, g, m, v, lr):
    decayed = g * 2.0
    w = w * 0.0
    lr = lr * 0.0
    decayed2 = decayed + w
    update = decayed2 + lr
    return update, m, v
"""
    tuned = with_settings(parse(text).statements, 1.0, 0.5)
    assert "decayed3 = w * 0.5" in program_text(tuned)
    expected = 2 * np.asarray(INPUTS["g"][0]) + 0.5 * 0.37 * np.asarray(INPUTS["w"][0])
    np.testing.assert_allclose(outputs(tuned)["update"], expected, rtol=1e-5)


def test_settings_can_be_put_on_settings() -> None:
    once = with_settings(builtin("sgd").statements, 2.0, 0.5)
    twice = with_settings(once, 3.0, 0.25)
    w, g = (np.asarray(INPUTS[name][0]) for name in ("w", "g"))
    expected = 3 * (2 * (0.037 * g + 0.5 * 0.37 * w) + 0.25 * 0.37 * w)
    np.testing.assert_allclose(outputs(twice)["update"], expected, rtol=1e-5)
