"""Exported transformations: equal to optax's own optimizers, and at home wherever optax's are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from export_runs import load
from jax import lax

from evosearch.export import export
from evosearch.language import builtin, parse

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 1000
SHAPES = {"a": (3, 4), "b": {"c": (5,), "d": ()}, "e": (2, 1, 2)}


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The exported factory of a shipped program, or of a text."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def make(name: str, text: str | None = None) -> Any:
        program = builtin(name) if text is None else parse(text)
        source = export(program.statements, "optax", origin=name)
        return getattr(load(source, folder, name), name)

    return make


def tree(seed: int, shapes: Any = None, dtype: Any = jnp.float32) -> Any:
    leaves, structure = jax.tree.flatten(shapes or SHAPES, is_leaf=lambda x: isinstance(x, tuple))
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return structure.unflatten([jax.random.normal(k, s, dtype) for k, s in zip(keys, leaves, strict=True)])


def walk(make: Callable[[Any], Any]) -> Any:
    """The weights of every step of a training whose gradients are a pull to zero and much noise."""

    def step(carry: Any, t: Any) -> Any:
        w, state = carry
        noise = jax.tree.map(lambda x: jax.random.normal(jax.random.key(t), x.shape), w)
        g = jax.tree.map(lambda x, n: 0.1 * x + n, w, noise)
        updates, state = make(t).update(g, state, w)
        w = optax.apply_updates(w, updates)
        return (w, state), w

    w = tree(0)
    return jax.jit(lambda: lax.scan(step, (w, make(0).init(w)), jnp.arange(STEPS)))()[1]


def adamw_without_correction(t: Any) -> Any:
    """optax's AdamW whose bias correction is undone: by the rate, epsilon, and the decay the rate scales."""
    undo1, undo2 = 1 - 0.9 ** (t + 1), jnp.sqrt(1 - 0.999 ** (t + 1))
    undo = undo1 / undo2
    return optax.adamw(1e-3 * undo, b1=0.9, b2=0.999, eps=1e-8 / undo2, weight_decay=0.01 / undo)


OPTAXS = {
    "lion": lambda t: optax.lion(1e-4, b1=0.9, b2=0.99, weight_decay=0.1),
    "adamw": adamw_without_correction,
}


@pytest.mark.parametrize("name", OPTAXS)
def test_a_thousand_steps_equal_those_of_optax(factory: Any, name: str) -> None:
    ours, theirs = walk(lambda t: factory(name)()), walk(OPTAXS[name])
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * float(jnp.abs(b).max()))
        assert float(jnp.abs(a[-1] - a[0]).max()) > 1e-3  # they went somewhere


def one_update(optimizer: Any, w: Any, g: Any) -> Any:
    return optimizer.update(g, optimizer.init(w), w)[0]


def test_a_schedule_counts_steps(factory: Any) -> None:
    rates = jnp.array([0.5, 0.25, 0.0])
    optimizer = factory("sgd")(learning_rate=lambda count: rates[count])
    w, g = tree(0), tree(1)
    state = optimizer.init(w)
    for rate in rates:
        updates, state = optimizer.update(g, state, w)
        jax.tree.map(lambda u, x: np.testing.assert_allclose(u, -rate * x, rtol=1e-6), updates, g)  # noqa: B023
    assert int(state.count) == 3


@pytest.mark.parametrize("callable_", [False, True])
def test_a_mask_leaves_out_weight_decay(factory: Any, callable_: bool) -> None:
    w, g = tree(0), tree(1)
    mask: Any = {"a": True, "b": False, "e": True}  # b: the beginning of the tree
    lion = factory("lion")
    masked = one_update(lion(mask=(lambda _: mask) if callable_ else mask), w, g)
    with_decay, without = one_update(lion(), w, g), one_update(lion(weight_decay=0.0), w, g)
    expected = {"a": with_decay["a"], "b": without["b"], "e": with_decay["e"]}
    jax.tree.map(np.testing.assert_array_equal, masked, expected)
    assert np.abs(with_decay["b"]["c"] - without["b"]["c"]).max() > 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtypes_of_parameters_are_kept(factory: Any, dtype: Any) -> None:
    w, g = tree(0, dtype=dtype), tree(1, dtype=dtype)
    dtype = jnp.dtype(dtype)
    for name in ("lion", "program8"):
        optimizer = factory(name)()
        state = optimizer.init(w)
        updates, after = optimizer.update(g, state, w)
        assert {x.dtype for x in jax.tree.leaves(updates)} == {dtype}
        kept = [(x.dtype, x.shape) for x in jax.tree.leaves(after)]
        assert kept == [(x.dtype, x.shape) for x in jax.tree.leaves(state)]
        assert {d for d, _ in kept} <= {jnp.dtype("int32"), jnp.dtype("float32")}
        assert {x.dtype for x in jax.tree.leaves(optax.apply_updates(w, updates))} == {dtype}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16"])
def test_the_dtype_of_the_state_can_be_chosen(factory: Any, dtype: Any) -> None:
    w, g = tree(0), tree(1)
    optimizer = factory("adamw")(state_dtype=dtype)
    state = optimizer.init(w)
    _, after = optimizer.update(g, state, w)
    for found in (state, after):
        assert {x.dtype for x in jax.tree.leaves((found.m, found.v))} == {jnp.dtype("bfloat16")}


def test_double_precision_is_kept(factory: Any) -> None:
    with jax.enable_x64(True):
        shapes = {"a": (3,)}
        w, g = tree(0, shapes, jnp.float64), tree(1, shapes, jnp.float64)
        optimizer = factory("momentum")(learning_rate=0.1)
        updates, state = optimizer.update(g, optimizer.init(w), w)
        assert {x.dtype for x in (updates["a"], state.m["a"])} == {jnp.dtype("float64")}
        np.testing.assert_allclose(updates["a"], -0.1 * g["a"], rtol=1e-14)


def test_hyperparameters_can_be_injected(factory: Any) -> None:
    w, g = tree(0), tree(1)
    optimizer = optax.inject_hyperparams(factory("lion"))(learning_rate=lambda count: 0.1 * count)
    state = optimizer.init(w)
    assert set(state.hyperparams) == {"learning_rate", "b1", "b2", "weight_decay"}
    state.hyperparams["weight_decay"] = jnp.float32(0.0)
    _, state = optimizer.update(g, state, w)
    updates, state = jax.jit(optimizer.update)(g, state, w)
    for x in jax.tree.leaves(updates):
        np.testing.assert_allclose(jnp.abs(x), 0.1, rtol=1e-6)


@pytest.mark.parametrize("w", [{}, (), [], {"a": {}}], ids=str)
@pytest.mark.parametrize("name", ["lion", "program8", "adamw", "sgd"])
def test_empty_trees(factory: Any, name: str, w: Any) -> None:
    optimizer = factory(name)()
    updates, _ = jax.jit(optimizer.update)(w, optimizer.init(w), w)
    assert updates == w


@pytest.mark.parametrize("name", ["lion", "program8", "adamw", "sgd"])
def test_scalars_and_leaves_without_elements(factory: Any, name: str) -> None:
    for w in (jnp.float32(0.5), 0.5, {"none": jnp.zeros((0, 3)), "one": jnp.ones(1)}):
        g = jax.tree.map(lambda x: x * 0.1, w)
        updates = one_update(factory(name)(), w, g)
        assert jax.tree.structure(updates) == jax.tree.structure(w)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(updates))


def test_no_second_compilation(factory: Any) -> None:
    optimizer = factory("program8")()
    w, g = tree(0), tree(1)
    update = jax.jit(optimizer.update)
    _, state = update(g, optimizer.init(w), w)
    update(g, state, w)
    assert update._cache_size() == 1


def test_inside_the_wrappers_of_optax(factory: Any) -> None:
    w, g = tree(0), tree(1)
    lion, program8 = factory("lion"), factory("program8")
    labels = {"a": "lion", "b": "program8", "e": "frozen"}
    parts = {"lion": lion(), "program8": program8(), "frozen": optax.set_to_zero()}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.partition(parts, labels))
    updates = one_update(optimizer, w, g)
    clipped = one_update(optax.clip_by_global_norm(1.0), w, g)
    np.testing.assert_allclose(updates["a"], one_update(lion(), w["a"], clipped["a"]), rtol=1e-6)
    alone = one_update(program8(), w["b"], clipped["b"])  # its norm runs over its own part of the tree
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), updates["b"], alone)
    assert not updates["e"].any()


def test_masked_leaves_pass_through(factory: Any) -> None:
    w, g = tree(0), tree(1)
    updates = one_update(optax.masked(factory("lion")(), {"a": True, "b": False, "e": True}), w, g)
    np.testing.assert_array_equal(updates["b"]["c"], g["b"]["c"])
    np.testing.assert_array_equal(updates["a"], one_update(factory("lion")(), w, g)["a"])


def test_parameters_that_are_needed_are_asked_for(factory: Any) -> None:
    g = tree(1)
    optimizer = factory("lion")()
    with pytest.raises(
        ValueError, match=r"this optimizer needs the parameters: call update\(updates, state, params\)"
    ):
        optimizer.update(g, optimizer.init(g))
    sgd = factory("sgd")()
    updates, _ = sgd.update(g, sgd.init(g))  # this one does not need them
    np.testing.assert_allclose(updates["a"], -0.1 * g["a"], rtol=1e-6)


def test_only_the_state_that_is_needed(factory: Any) -> None:
    fields = {name: factory(name)().init(tree(0))._fields for name in ("lion", "adamw", "program8", "sgd")}
    assert fields == {
        "lion": ("count", "m"),
        "adamw": ("count", "m", "v"),
        "program8": ("count", "v"),
        "sgd": ("count",),
    }
    text = "def train(w, g, m, v, lr):\n    update = sign(g)\n    return update, m, v\n"
    assert factory("bare", text)().init(tree(0)) == optax.EmptyState()


def test_a_constant_in_place_of_the_schedule_is_the_learning_rate(factory: Any) -> None:
    text = "def train(w, g, m, v, lr):\n    update = g * 0.25\n    return update, m, v\n"
    g = tree(1)
    updates = one_update(factory("fixed", text)(), tree(0), g)
    np.testing.assert_array_equal(updates["a"], -0.25 * g["a"])


def test_hostile_names_of_variables(factory: Any, tmp_path: Path) -> None:
    names = ["jnp", "lambda_", "b1", "params", "__x", "print", "True_", "x" * 60, "optax", "update2", "leaf"]
    lines = ["    jnp = interp(g, m, 0.5)"]
    lines += [f"    {new} = tanh({old})" for old, new in pairwise(names)]
    lines += [f"    {names[0]} = {names[0]} + {name}" for name in names[1:]]
    text = "\n".join(
        ["def train(w, g, m, v, lr):", *lines, "    update = jnp * lr", "    return update, m, v\n"]
    )
    updates = one_update(factory("hostile", text)(), tree(0), tree(1))
    value = total = 0.5 * tree(1)["a"]
    for _ in names[1:]:
        value = jnp.tanh(value)
        total = total + value
    np.testing.assert_allclose(updates["a"], -total, rtol=1e-5)
