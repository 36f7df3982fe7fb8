"""Exported source at work: loaded from a file, and run for single steps on given inputs."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from strategies import RULES, descendant, mended

from evosearch.evaluation.compiled import run_program
from evosearch.export import export
from evosearch.export.graph import Graph, build_graph
from evosearch.export.hyperparameters import find_hyperparameters
from evosearch.export.names import class_name
from evosearch.language import Constant, Statement, analyze, builtin, builtin_names, parse
from evosearch.language.abstract import live_statements
from evosearch.language.mutation import random_program
from primitives import BY_NAME, TABLE, TreeSpace

Statements = tuple[Statement, ...]
Leaves = tuple[Any, ...]
Step = Callable[[dict[str, Any]], dict[str, Leaves]]
"""w, g, m, v as tuples of arrays and lr as a number go in; update and the carried slots come out."""

SHAPES = ((2, 3), (4,), ())
SPACE = TreeSpace(SHAPES)
LEAST = 4


WHOLE_TREE = """\
def train(w, g, m, v, lr):
    size = global_norm(g)
    g = g / size
    turn = cosine_sim(g, m)
    m = interp(g, m, 0.9)
    sizes = norm(m)
    update = m / sizes
    keep = cos(turn)
    update = update * keep
    along = dot(update, w)
    v = v + update
    update = clip(update, 0.5)
    back = w * along
    update = update - back
    update = clip(update, lr)
    update = update * size
    return update, m, v
"""
"""Whole trees are looked at five times, four of them one after the other."""


@cache
def random_programs(number: int) -> tuple[Statements, ...]:
    """Different programs of at least `LEAST` live statements; together they use every primitive."""
    rng = random.Random(1)
    starts = [
        *[builtin(name).statements for name in builtin_names()],
        (),
        (),
        *[parse(WHOLE_TREE).statements] * 4,
    ]
    programs: dict[str, Statements] = {}
    while len(programs) < number:
        start = rng.choice(starts) or mended(random_program(rng, RULES))
        statements = descendant(rng, start, rng.choice([3, 10, 30, 100]))
        if len(live_statements(statements)) >= LEAST:
            programs.setdefault(analyze(statements).hash, statements)
    return tuple(programs.values())


def every_primitive() -> dict[str, Statements]:
    """A program for each primitive, in which it is applied to tensors as far as it may be."""
    programs = {}
    for row in TABLE:
        typed = {3: ("g", "w", "lr"), 2: ("g", "w"), 1: ("g",), 0: ()}[row.arity]
        args = ("g", "lr") if row.rule.name == "rescale" else typed
        statements = (Statement("t", row.name, args), Statement("update", "multiply", ("t", "g")))
        assert analyze(statements).valid, row.name
        programs[row.name] = statements
    return programs


def load(source: str, folder: Path, name: str) -> ModuleType:
    """Exported source as a module."""
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exact(statements: Statements) -> tuple[Graph, dict[str, float]]:
    """The graph, and each hyperparameter as the float32 number of the program.

    Source holds the shortest text of a number: 0.999 and not 0.99900001287, which 1 - b2 would show.
    """
    graph = build_graph(statements)
    return graph, {h.name: h.default for h in find_hyperparameters(graph).all}


def rate(graph: Graph, lr: float) -> float:
    """The learning rate where the program's schedule stands at `lr`."""
    default = np.float32(graph.learning_rate.default)
    return float(default if graph.learning_rate.found == "update" else default * np.float32(lr))


def optax_step(statements: Statements, folder: Path, name: str) -> Step:
    """The exported transformation as a step."""
    graph, hyper = exact(statements)
    factory = getattr(load(export(statements, "optax", origin=name, name=name), folder, name), name)

    def step(inputs: dict[str, Any]) -> dict[str, Leaves]:
        given = dict(hyper)
        if graph.learning_rate.exists:
            given["learning_rate"] = rate(graph, inputs["lr"])
        optimizer = factory(**given)
        state = optimizer.init(inputs["w"])
        if graph.slots:
            state = state._replace(**{slot: inputs[slot] for slot in graph.slots})
        updates, state = optimizer.update(inputs["g"], state, inputs["w"])
        return {
            "update": jax.tree.map(jnp.negative, updates),
            **{slot: getattr(state, slot) for slot in graph.slots},
        }

    return step


def jax_step(statements: Statements, folder: Path, name: str) -> Step:
    """The exported pure functions as a step."""
    graph, hyper = exact(statements)
    module = load(export(statements, "jax", origin=name, name=name), folder, name)

    def step(inputs: dict[str, Any]) -> dict[str, Leaves]:
        given = dict(hyper)
        if graph.learning_rate.exists:
            given["learning_rate"] = rate(graph, inputs["lr"])
        state = getattr(module, f"{name}_init")(inputs["w"])
        state = state._replace(**{slot: inputs[slot] for slot in graph.slots})
        after, state = getattr(module, f"{name}_step")(inputs["w"], inputs["g"], state, **given)
        return {"params": after, **{slot: getattr(state, slot) for slot in graph.slots}}

    return step


def torch_step(statements: Statements, folder: Path, name: str, *, foreach: bool | None = None) -> Step:
    """The exported optimizer as a step; `foreach` as its argument, where it has one."""
    import torch

    graph, hyper = exact(statements)
    source = export(statements, "torch", origin=name, name=name)
    cls = getattr(load(source, folder, name), class_name(name))
    options = {} if "foreach: bool" not in source or foreach is None else {"foreach": foreach}

    def tensors(leaves: Leaves) -> list[Any]:
        return [torch.tensor(np.asarray(leaf)) for leaf in leaves]

    def step(inputs: dict[str, Any]) -> dict[str, Leaves]:
        params = [torch.nn.Parameter(torch.zeros_like(w)) for w in tensors(inputs["w"])]
        given = dict(hyper)
        if graph.learning_rate.exists:
            given["lr"] = rate(graph, inputs["lr"])
        optimizer = cls(params, **given, **options)
        w = tensors(inputs["w"])
        for p, value, gradient in zip(params, w, tensors(inputs["g"]), strict=True):
            p.data.copy_(value)
            p.grad = gradient
        for slot in graph.slots:
            for p, value in zip(params, tensors(inputs[slot]), strict=True):
                optimizer.state[p][slot] = value.clone()
        optimizer.step()
        after = tuple(p.detach().numpy() for p in params)
        slots = {slot: tuple(optimizer.state[p][slot].numpy() for p in params) for slot in graph.slots}
        return {"params": after, **slots}

    return step


# ---------------------------------------------------------------- what is expected, and how far it may be off


def expected(statements: Statements, inputs: dict[str, Any]) -> dict[str, Leaves]:
    """What the interpreter's kernels give."""
    env = run_program(statements, {**inputs, "lr": jnp.float32(inputs["lr"])})
    after = tuple(w - u for w, u in zip(inputs["w"], env["update"], strict=True))
    return {
        "update": env["update"],
        "params": after,
        **{slot: env[slot] for slot in analyze(statements).state},
    }


def disturbed(
    statements: Statements, inputs: dict[str, Any], rng: np.random.Generator, size: float
) -> dict[str, Leaves]:
    """The same with a small error in every input and in the result of every statement."""

    def shaken(value: Any) -> Any:
        return jax.tree.map(
            lambda x: np.float32(x * (1 + size * rng.choice([-1.0, 1.0], np.shape(x)))), value
        )

    env = {name: shaken(value) for name, value in {**inputs, "lr": np.float32(inputs["lr"])}.items()}
    for statement, live in zip(statements, analyze(statements).live, strict=True):
        if live:
            args = [jnp.float32(a.value) if isinstance(a, Constant) else env[a] for a in statement.args]
            env[statement.target] = shaken(BY_NAME[statement.primitive].kernel(SPACE, *args))
    after = tuple(w - u for w, u in zip(inputs["w"], env["update"], strict=True))
    return {
        "update": env["update"],
        "params": after,
        **{slot: env[slot] for slot in analyze(statements).state},
    }


def vector(leaves: Sequence[Any]) -> np.ndarray[Any, Any]:
    """All numbers of a tree."""
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in leaves])


def difference(a: Any, b: Any) -> float:
    """The largest difference of two vectors, as a share of the largest element of either."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0 if np.array_equal(np.isfinite(a), np.isfinite(b)) else np.inf
    largest = max(np.abs(a).max(), np.abs(b).max(), np.finfo(np.float32).tiny)
    return float((np.abs(a - b) / largest).max())
