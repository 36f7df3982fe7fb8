"""What settings do that many tasks share: types, dropout, smoothing, keys, less training data.

Functions are traced and not compiled wherever shapes, types and equations say enough.
"""

from dataclasses import fields
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest

from proxy_tasks import TASKS, Knobs, Split, build, layers

every_task = pytest.mark.parametrize("name", sorted(TASKS))


def with_knob(knob):
    names = sorted(name for name, row in TASKS.items() if knob in {f.name for f in fields(row.knobs)})
    return pytest.mark.parametrize("name", names)


@pytest.fixture(scope="module", autouse=True)
def _forget_tasks(quick_compile):
    yield
    task_of.cache_clear()


@cache
def task_of(name, **knobs):
    """The task with the least of pre-training."""
    return build(name, **({"pretraining": 10} if hasattr(TASKS[name].knobs, "pretraining") else {}), **knobs)


def data_of(name):
    return task_of(name).data().splits[Split.TRAIN]


@cache
def shapes_of(name, **knobs):
    """Shapes of weights, TRAIN arrays and one batch."""
    task, data = task_of(name, **knobs), data_of(name)
    params = jax.eval_shape(task.init, jax.random.key(0), data)
    batches = jax.eval_shape(lambda key, data: task.draw(key, data, 1), jax.random.key(0), data)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batches)
    return params, jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data), batch


@every_task
def test_no_knob_is_ignored(name, monkeypatch):
    read = set()

    def note(self, attribute):
        read.add(attribute)
        return object.__getattribute__(self, attribute)

    least = {"pretraining": 10} if hasattr(TASKS[name].knobs, "pretraining") else {}
    knobs = TASKS[name].knobs(**least)
    monkeypatch.setattr(Knobs, "__getattribute__", note, raising=False)
    task = TASKS[name].build(knobs)
    data = task.data().splits[Split.TRAIN]
    params = jax.eval_shape(task.init, jax.random.key(0), data)
    batches = jax.eval_shape(lambda key, data: task.draw(key, data, 1), jax.random.key(0), data)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batches)
    jax.eval_shape(task.loss, params, data, batch)
    only_of_files = {"examples", "column"}
    assert {knob.name for knob in fields(knobs)} - read <= only_of_files


@cache
def evaluation_of(name, **knobs):
    """Evaluation as text."""
    params, data, _ = shapes_of(name, **knobs)
    return str(jax.make_jaxpr(task_of(name, **knobs).evaluate)(params, data))


@every_task
def test_bfloat16_computes_in_it_and_keeps_the_rest_in_float32(name):
    task, (params, data, batch) = task_of(name, dtype="bfloat16"), shapes_of(name, dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    jaxpr, (loss, gradient) = jax.make_jaxpr(jax.value_and_grad(task.loss), return_shape=True)(
        params, data, batch
    )
    metric = jax.eval_shape(task.evaluate, params, data)
    assert (loss.dtype, metric.dtype, loss.shape, metric.shape) == (jnp.float32, jnp.float32, (), ())
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
    products = [line for line in str(jaxpr).splitlines() if "= dot_general[" in line]
    assert products
    if name != "quadratic":  # it has no network
        assert sum(":bf16[" in line for line in products) > 0.7 * len(products)


def test_bfloat16_is_close_to_float32_and_trains():
    name = "digits_mlp"
    small, wide = (task_of(name, dtype=dtype) for dtype in ("bfloat16", "float32"))
    data = data_of(name)
    params = jax.jit(wide.init)(jax.random.key(0), data)
    batches = jax.jit(wide.draw, static_argnums=2)(jax.random.key(1), data, 20)
    first = jax.tree.map(lambda leaf: leaf[0], batches)

    @jax.jit
    def train(params, data):
        def step(params, _):
            loss, gradient = jax.value_and_grad(small.loss)(params, data, first)
            return jax.tree.map(lambda w, g: w - 0.1 * g, params, gradient), loss

        return jax.lax.scan(step, params, length=20)

    after, losses = train(params, data)
    exact = float(jax.jit(wide.loss)(params, data, first))
    assert float(losses[0]) == pytest.approx(exact, rel=0.02)
    assert float(losses[0]) != exact
    assert losses[-1] < 0.98 * losses[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype("float32")}


@with_knob("dropout")
def test_dropout_is_off_in_evaluation_and_needs_keys_in_training(name):
    assert evaluation_of(name, dropout=0.5) == evaluation_of(name)
    params, data, batch = shapes_of(name, dropout=0.5)
    assert jnp.issubdtype(batch["key"].dtype, jax.dtypes.prng_key)
    without = jax.make_jaxpr(task_of(name).loss)(params, data, batch)
    dropped = jax.make_jaxpr(task_of(name, dropout=0.5).loss)(params, data, batch)
    assert str(dropped).count("random_bits") > str(without).count("random_bits")


@with_knob("smoothing")
def test_smoothing_is_off_in_evaluation(name):
    assert evaluation_of(name, smoothing=0.5) == evaluation_of(name)
    losses = [
        str(jax.make_jaxpr(task_of(name, smoothing=s).loss)(*shapes_of(name, smoothing=s)))
        for s in (0.5, 0.0)
    ]
    assert losses[0] != losses[1]


def test_dropout_follows_from_the_key():
    task, data = task_of("digits_mlp", dropout=0.5), data_of("digits_mlp")
    params = plain.random_weights(lambda key: task.init(key, data))
    loss = jax.jit(task.loss)
    index = np.zeros(64, np.int32)
    one, same, other = (
        loss(params, data, {"index": index, "key": jax.random.key(seed)}) for seed in (0, 0, 1)
    )
    assert one == same != other


@every_task
def test_no_key_is_used_for_two_weights(name, monkeypatch):
    used, data = [], data_of(name)  # read first: pre-training draws weights too

    def normal(key, shape, dtype):
        used.append(np.asarray(jax.random.key_data(key)).tobytes())
        return np.zeros(shape, dtype)

    monkeypatch.setattr(layers.jax.random, "normal", normal)
    params = task_of(name).init(jax.random.key(0), data)
    assert len(used) == len(set(used))
    if name != "char_finetune":  # it starts where pre-training ended
        assert 1 <= len(used) <= len(jax.tree.leaves(params))


SEEN_THROUGH_TRAINING = ("inputs", "words")
"""Images are scaled by those of TRAIN, and their captions compare them with those."""


@with_knob("fraction")
def test_a_fraction_cuts_training_and_nothing_else(name):
    whole, half = task_of(name).data(), task_of(name, fraction=0.5).data()
    full, less = whole.identity[Split.TRAIN], half.identity[Split.TRAIN]
    assert len(less) == round(len(full) / 2)
    assert (less == full[: len(less)]).all()
    for split in (Split.SEARCH, Split.SELECTION, Split.REPORT):
        assert (half.identity[split] == whole.identity[split]).all()
        for key, array in whole.splits[split].items():
            if key in SEEN_THROUGH_TRAINING and name != "teacher_student":
                assert half.splits[split][key].shape == array.shape
            else:
                assert jax.tree.all(jax.tree.map(np.array_equal, half.splits[split][key], array)), key
    assert half.chance == whole.chance
    assert half.fingerprint != whole.fingerprint


@pytest.mark.parametrize("name", ["digits_mlp", "char_mlp", "quadratic"])
def test_the_least_fraction_leaves_something_to_train_on(name):
    data = task_of(name, fraction=0.001).data()
    assert 1 <= len(data.identity[Split.TRAIN]) < 500
