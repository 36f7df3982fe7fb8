"""Which constants become arguments, what they are called, and what stands for the learning rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import programs, trying

from evosearch.export.describe import decay_is_scaled, decays_weights
from evosearch.export.graph import Graph, build_graph, nonnegative
from evosearch.export.hyperparameters import ROLES, find_hyperparameters, number_text
from evosearch.language import Program, analyze, builtin, builtin_names, parse
from evosearch.language.program import float32

SHIPPED = {
    "adabelief": {"b1": "0.9", "b2": "0.999", "weight_decay": "0.01"},
    "adagrad": {},
    "adam": {"b1": "0.9", "b2": "0.999"},
    "adamw": {"b1": "0.9", "b2": "0.999", "weight_decay": "0.01"},
    "lion": {"b1": "0.9", "b2": "0.99", "weight_decay": "0.1"},
    "momentum": {"momentum": "0.9"},
    "nesterov": {"momentum": "0.9"},
    "program4": {"b1": "0.9", "b2": "1.109133", "weight_decay": "0.46019784", "lr_scale": "0.00021717617"},
    "program8": {"b1": "0.9", "b2": "1.109133", "weight_decay": "0.46019784", "lr_scale": "0.00021717617"},
    "rmsprop": {"b1": "0.9"},
    "sgd": {},
    "signsgd": {},
    "signum": {"b1": "0.9"},
}


def found(*lines: str) -> tuple[dict[str, str], tuple[str, str]]:
    """The hyperparameters of a program of these statements, and its learning rate."""
    body = "".join(f"    {line}\n" for line in lines)
    return found_in(parse(f"def train(w, g, m, v, lr):\n{body}    return update, m, v\n"))


def found_in(program: Program) -> tuple[dict[str, str], tuple[str, str]]:
    graph = build_graph(program.statements)
    hyper = {h.name: number_text(h.default) for h in find_hyperparameters(graph).all}
    return hyper, (number_text(graph.learning_rate.default), graph.learning_rate.found)


def test_shipped_programs() -> None:
    assert {name: found_in(builtin(name))[0] for name in builtin_names()} == SHIPPED


@pytest.mark.parametrize(
    ("lines", "hyper"),
    [
        (["g = clip(g, 0.5)", "update = g * lr"], {"max_norm": "0.5"}),
        (["t = power(g, 3.0)", "update = t * lr"], {"exponent": "3.0"}),
        (["t = g + 1e-6", "update = t * lr"], {"eps": "1e-06"}),
        (["t = g + 0.3", "update = t * lr"], {"c1": "0.3"}),
        (["t = g + 1.0", "t = t * 2.0", "update = t - 0.0", "update = update * lr"], {}),
        (["t = g * 0.3", "u = w + 0.3", "update = t * u", "update = update * lr"], {"c1": "0.3"}),
        (["t = g * 0.3", "u = g + 0.4", "t = t * u", "update = t * lr"], {"c1": "0.3", "c2": "0.4"}),
        (["m = interp(g, m, 0.9)", "v = interp(m, v, 0.9)", "update = v * lr"], {"b1": "0.9"}),
        (["t = 2.0 * 0.25", "m = interp(g, m, t)", "update = m * lr"], {"b1": "0.5"}),
        (["p = get_pi()", "update = g * p", "update = update * lr"], {}),
        (["lr = lr * 0.1", "wd = lr * 0.2", "wd = w * wd", "update = g * lr", "update = update + wd"],
         {"weight_decay": "0.2"}),
    ],
)  # fmt: skip
def test_roles(lines: list[str], hyper: dict[str, str]) -> None:
    assert found(*lines)[0] == hyper


@pytest.mark.parametrize(
    ("lines", "rate"),
    [
        (["lr = lr * 0.01", "update = g * lr"], ("0.01", "factor")),
        (["a = 0.01 * lr", "b = lr * 0.01", "t = a * g", "update = t + b"], ("0.01", "factor")),
        (["update = g * lr"], ("1.0", "schedule")),
        (["a = lr * 0.1", "b = lr * 0.2", "t = g * a", "update = t + b"], ("1.0", "schedule")),
        (["g = clip(g, lr)", "lr = lr * 0.1", "update = g * lr"], ("1.0", "schedule")),
        (["update = g * 0.3"], ("0.3", "update")),
        (["t = sin(g)", "update = 0.3 * t"], ("0.3", "update")),
        (["update = sign(g)"], ("1.0", "nowhere")),
    ],
)
def test_learning_rates(lines: list[str], rate: tuple[str, str]) -> None:
    assert found(*lines)[1] == rate


def test_a_factor_of_the_update_that_is_used_elsewhere_stays_there() -> None:
    hyper, rate = found("update = g * 0.3", "m = interp(update, m, 0.5)", "t = m * g", "update = update + t")
    assert rate == ("1.0", "nowhere")
    assert hyper == {"b1": "0.5", "c1": "0.3"}


def test_roles_have_names_of_their_own() -> None:
    names = [role.name for role in ROLES]
    assert len(set(names)) == len(names)
    assert ROLES[-1].name == "c"


@given(programs())
@trying(100)
def test_every_constant_has_its_place(program: Program) -> None:
    graph = build_graph(program.statements)
    hyper = find_hyperparameters(graph)
    assert len({h.name for h in hyper.all}) == len(hyper.all)
    for (node, position), h in hyper.at.items():
        assert node.args[position].number == h.default or h.default != h.default
    assert {h.name for h in hyper.at.values()} == {h.name for h in hyper.all}
    assert tuple(graph.slots) == analyze(program.statements).state
    for h in hyper.all:
        if abs(h.default) < 1e38:
            assert float32(float(number_text(h.default))) == h.default


# ---------------------------------------------------------------- what can be said of values


def graph_of(*lines: str) -> Graph:
    body = "".join(f"    {line}\n" for line in lines)
    return build_graph(parse(f"def train(w, g, m, v, lr):\n{body}    return update, m, v\n").statements)


@pytest.mark.parametrize(
    ("lines", "bare"),
    [
        (["v = interp(v, v, 0.5)", "g2 = square(g)", "v = interp(g2, v, 0.9)"], True),
        (["g2 = square(g)", "v = v + g2"], True),
        (["g2 = g * g", "v = maximum(v, g2)"], True),
        (["g2 = square(g)", "v = interp(g2, v, 1.1)"], False),
        (["g2 = square(g)", "v = v - g2"], False),
        (["v = interp(g, v, 0.9)"], False),
        (["m = interp(v, m, 0.9)", "g2 = square(g)", "v = interp(g2, m, 0.9)"], True),
        (["m = interp(v, g, 0.9)", "g2 = square(g)", "v = interp(g2, m, 0.9)"], False),
    ],
)
def test_slots_that_are_never_below_zero(lines: list[str], bare: bool) -> None:
    graph = graph_of(*lines, "s = sqrt(v)", "update = s * lr")
    assert (graph.slots["v"] in nonnegative(graph)) is bare


def test_weight_decay_is_recognised() -> None:
    decays = {name: decays_weights(build_graph(builtin(name).statements)) for name in builtin_names()}
    assert {name for name, yes in decays.items() if yes} == {
        "adabelief", "adamw", "lion", "program4", "program8",
    }  # fmt: skip
    assert not decays_weights(graph_of("t = w * 0.1", "n = norm(w)", "t = t * n", "update = t * lr"))
    assert not decays_weights(graph_of("t = w * g", "update = t * lr"))


def test_whether_the_learning_rate_scales_the_decay() -> None:
    for name in ("lion", "adamw", "program8"):
        graph = build_graph(builtin(name).statements)
        assert decay_is_scaled(graph, find_hyperparameters(graph))
    apart = graph_of("lr = lr * 0.1", "update = g * lr", "wd = w * 0.01", "update = update + wd")
    assert not decay_is_scaled(apart, find_hyperparameters(apart))
