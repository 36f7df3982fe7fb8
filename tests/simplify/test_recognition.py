"""Known optimizers in units that libraries do not use: the translated constants give the same training."""

from collections.abc import Callable, Mapping

import pytest

from evosearch.language import builtin
from evosearch.simplify import known_as, recognise
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.simplify.step import Exactness
from tests.simplify.disguises import program

H = Mapping[str, float]


def ema(slot: str, new: str, decay: str) -> Callable[[H], str]:
    return lambda h: f"{slot} = interp({new}, {slot}, {h[decay]!r})"


def end(h: H, direction: str) -> str:
    decay = f"d = w * {h.get('weight_decay', 0.0)!r}; u = {direction} + d"
    return f"{decay}; r = lr * {h['learning_rate']!r}; update = u * r"


AS_LIBRARIES_HAVE_IT: Mapping[str, Callable[[H], str]] = {
    "sgd": lambda h: end(h, "g"),
    "signsgd": lambda h: f"s = sign(g); {end(h, 's')}",
    "momentum": lambda h: f"m = m * {h['momentum']!r}; m = m + g; {end(h, 'm')}",
    "nesterov": lambda h: (
        f"m = m * {h['momentum']!r}; m = m + g; n = m * {h['momentum']!r}; n = n + g; {end(h, 'n')}"
    ),
    "qhm": lambda h: f"m = interp(g, m, {h['beta']!r}); n = interp(g, m, {h['nu']!r}); {end(h, 'n')}",
    "signum": lambda h: f"m = interp(g, m, {h['beta']!r}); s = sign(m); {end(h, 's')}",
    "lion": lambda h: (
        f"c = interp(g, m, {h['b1']!r}); s = sign(c); m = interp(g, m, {h['b2']!r}); {end(h, 's')}"
    ),
    "rmsprop": lambda h: (
        f"q = square(g); v = interp(q, v, {h['decay']!r}); t = sqrt(v); n = g / t; {end(h, 'n')}"
    ),
    "adagrad": lambda h: f"q = square(g); v = v + q; t = sqrt(v); n = g / t; {end(h, 'n')}",
    "adam": lambda h: (
        f"m = interp(g, m, {h['b1']!r}); q = square(g); v = interp(q, v, {h['b2']!r}); "
        f"t = sqrt(v); n = m / t; {end(h, 'n')}"
    ),
    "adabelief": lambda h: (
        f"m = interp(g, m, {h['b1']!r}); e = g - m; q = square(e); v = interp(q, v, {h['b2']!r}); "
        f"t = sqrt(v); n = m / t; {end(h, 'n')}"
    ),
}

OTHER_UNITS = {
    "sgd": "r = lr * 0.3; d = w * 0.2; u = g + d; u = u * 3.0; update = u * r",
    "signsgd": "h = g * 7.0; s = sign(h); s = s * 0.5; update = s * lr",
    "momentum": "m = interp(g, m, 0.8); n = m * 2.0; d = w * 0.1; n = n + d; update = n * lr",
    "nesterov": "m = interp(g, m, 0.8); a = g * 0.2; b = m * 0.8; n = a + b; update = n * lr",
    "qhm": "m = m * 0.9; m = m + g; n = interp(g, m, 0.05); d = w * 0.1; n = n + d; update = n * lr",
    "signum": "m = m * 0.9; m = m + g; s = sign(m); d = w * 0.1; s = s + d; update = s * lr",
    "lion": "a = m * 0.03; c = g * 0.1; c = c + a; s = sign(c); m = m * 0.99; m = m + g; update = s * lr",
    "rmsprop": "q = square(g); q = q * 5.0; v = v * 0.95; v = v + q; t = sqrt(v); n = g / t; update = n * lr",
    "adagrad": "q = square(g); q = q * 4.0; v = v + q; t = sqrt(v); n = g / t; update = n * lr",
    "adam": (
        "m = m * 0.9; m = m + g; q = square(g); q = q * 5.0; v = v * 0.95; v = v + q; t = sqrt(v); "
        "n = m / t; d = w * 0.1; n = n + d; update = n * lr"
    ),
    "adabelief": (
        "m = interp(g, m, 0.8); e = m - g; q = square(e); q = q * 3.0; v = v * 0.95; v = v + q; t = sqrt(v); "
        "n = m / t; update = n * lr"
    ),
}


@pytest.mark.parametrize("name", AS_LIBRARIES_HAVE_IT)
def test_translated_constants_give_the_same_training(name: str):
    statements = program(OTHER_UNITS[name]).statements
    found = recognise(statements)
    assert found is not None
    assert found.name.split(" ")[0].removesuffix("w") == name
    translated = program(AS_LIBRARIES_HAVE_IT[name](found.hyperparameters)).statements
    behaviour = compare_behaviour(statements, translated, Exactness.GUARD)
    assert behaviour.same, behaviour.reason


def test_slots_may_have_each_others_names():
    swapped = "v = interp(g, v, 0.9); q = square(g); m = interp(q, m, 0.99); t = sqrt(m); n = v / t"
    found = recognise(program(f"{swapped}; update = n * lr").statements)
    assert found is not None
    assert found.sentence == (
        "this is adam with b1 = 0.9, b2 = 0.99, learning_rate = 1 (without bias correction)"
    )


def test_what_the_optimizer_is_fed_is_told():
    fed = "c = clip(g, 1.0); m = interp(c, m, 0.9); s = sign(m); r = lr * 0.01; update = s * r"
    found = recognise(program(fed).statements)
    assert found is not None
    assert found.sentence == "this is signum on clip(g, 1.0) with beta = 0.9, learning_rate = 0.01"


def test_a_rate_without_schedule_is_told():
    found = recognise(program("update = g * 0.01").statements)
    assert found is not None
    assert found.sentence == "this is sgd with learning_rate = 0.01 (the schedule is not used)"


@pytest.mark.parametrize(
    "body",
    [
        "update = g * -0.1",  # uphill
        "m = interp(g, m, 1.1); r = lr * 0.1; update = m * r",  # a growing state
        "d = w * 0.1; u = g + d; u = tanh(u); update = u * lr",
        "u = g * lr; update = u * lr",  # the rate squared
        "c = interp(g, m, 0.9); s = sign(c); m = interp(w, m, 0.99); update = s * lr",
        "t = tanh(g); u = t + g; update = u * lr",  # two functions of the gradient
        "d = w * 0.1; s = sign(g); s = s * lr; update = s + d",  # decay without the schedule
    ],
)
def test_what_is_none_of_them_is_not_recognised(body: str):
    assert known_as(program(body).statements) is None


def test_an_invalid_program_is_not_recognised():
    assert recognise(builtin("lion").statements[:2]) is None
    assert known_as(builtin("lion").statements[:2]) is None


def test_algebra_first_where_it_is_needed():
    """The normal form can't see that exp(log(c)) is abs(c); the e-graph can."""
    body = "c = interp(g, m, 0.9); l = log(c); r = exp(l); s = c / r; m = interp(g, m, 0.99); update = s * lr"
    assert recognise(program(body).statements) is None
    found = known_as(program(body).statements)
    assert found is not None
    assert found.name == "lion"
