"""The contract of a task, checked on every row of the table and with no task named."""

import itertools
import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.experimental import checkify

from proxy_tasks import TASKS, Split, Task, build

STEPS = 200
HELD_OUT = (Split.SEARCH, Split.SELECTION, Split.REPORT)
every_task = pytest.mark.parametrize("name", sorted(TASKS))


@cache
def task_of(name):
    """The task with every function compiled, so that each test also checks that it can be."""
    task = build(name)
    return replace(
        task,
        init=jax.jit(task.init),
        draw=jax.jit(task.draw, static_argnums=2),
        loss=jax.jit(task.loss),
        evaluate=jax.jit(task.evaluate),
    )


def arrays(task: Task, split: Split = Split.TRAIN):
    return jax.tree.map(jnp.asarray, task.data().splits[split])


def first(batches):
    return jax.tree.map(lambda leaf: leaf[0], batches)


def start(task: Task, seed: int = 0):
    """Weights and the batches of a short training."""
    init_key, draw_key = jax.random.split(jax.random.key(seed))
    data = arrays(task)
    return task.init(init_key, data), task.draw(draw_key, data, 3), data


@cache
def trainer(task: Task):
    """(key, TRAIN arrays) -> weights after `STEPS` steps of Adam."""
    optimizer = optax.adam(0.01)

    def train(key, data):
        params = task.init(jax.random.fold_in(key, 0), data)
        batches = task.draw(jax.random.fold_in(key, 1), data, STEPS)

        def step(carry, batch):
            params, state = carry
            updates, state = optimizer.update(jax.grad(task.loss)(params, data, batch), state)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), batches)
        return params

    return jax.jit(train)


def bits(tree):
    def raw(leaf):
        typed_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if typed_key else leaf).tobytes()

    return [raw(leaf) for leaf in jax.tree.leaves(tree)]


@every_task
def test_the_task_says_what_its_row_says(name):
    row, task = TASKS[name], task_of(name)
    assert (row.name, task.name, task.family, task.summary) == (name, name, row.family, row.summary)
    assert row.knobs.__doc__
    assert "\n" not in row.summary
    assert "validation" in task.metric
    assert {"steps", "batch", "path"} <= {knob.name for knob in fields(row.knobs)}


@every_task
def test_splits_share_no_example(name):
    identity = task_of(name).data().identity
    assert set(identity) == set(Split)
    for numbers in identity.values():
        assert numbers.dtype == np.int64
        assert len(numbers) == len(np.unique(numbers)) > 0
    for a, b in itertools.combinations(Split, 2):
        assert np.intersect1d(identity[a], identity[b]).size == 0, (a, b)


def signature(data):
    leaves = jax.tree_util.tree_leaves_with_path(data)
    return [(path, leaf.dtype, leaf.shape[1:]) for path, leaf in leaves]


@every_task
def test_splits_have_one_structure(name):
    splits = task_of(name).data().splits
    assert set(splits) == set(Split)
    for split in Split:
        assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(splits[split]))
        assert signature(splits[split]) == signature(splits[Split.TRAIN])


@every_task
def test_data_are_read_once_and_the_same_in_every_build(name):
    task = task_of(name)
    assert task.data() is task.data()
    assert build(name).data().fingerprint == task.data().fingerprint


def test_fingerprints_are_the_same_in_another_process():
    code = "import proxy_tasks as p; print(*(p.build(n).data().fingerprint for n in sorted(p.TASKS)))"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    out = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert out.split() == [task_of(name).data().fingerprint for name in sorted(TASKS)]


@every_task
def test_weights_are_nested_dicts_of_float32(name):
    params, _, _ = start(task_of(name))
    paths = jax.tree_util.tree_leaves_with_path(params)
    assert all(isinstance(key, jax.tree_util.DictKey) for path, _ in paths for key in path)
    assert all(leaf.dtype == jnp.float32 for _, leaf in paths)
    assert 1_000 < sum(leaf.size for _, leaf in paths) < 20_000


@every_task
def test_the_first_loss_is_that_of_a_guess(name):
    task = task_of(name)
    params, _, _ = start(task)
    metrics = [float(task.evaluate(params, arrays(task, split))) for split in Split]
    assert metrics == pytest.approx([task.chance] * len(Split), rel=0.2)


@every_task
def test_loss_is_a_float32_scalar_with_a_gradient_in_every_leaf(name):
    task = task_of(name)
    params, batches, data = start(task)
    loss, gradient = jax.value_and_grad(task.loss)(params, data, first(batches))
    assert (loss.shape, loss.dtype) == ((), jnp.float32)
    assert jnp.isfinite(loss)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(leaf).all(), path
        assert jnp.any(leaf != 0), path


@every_task
@pytest.mark.parametrize("split", Split)
def test_the_metric_is_a_positive_float32_scalar(name, split):
    task = task_of(name)
    metric = task.evaluate(start(task)[0], arrays(task, split))
    assert (metric.shape, metric.dtype) == ((), jnp.float32)
    assert 0 < metric < jnp.inf


@every_task
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_show_in_loss_and_metric(name, bad):
    task = task_of(name)
    params, batches, data = start(task)
    params = jax.tree.map(lambda leaf: jnp.full_like(leaf, bad), params)
    assert not jnp.isfinite(task.loss(params, data, first(batches)))
    assert not jnp.isfinite(task.evaluate(params, arrays(task, Split.SEARCH)))


@every_task
def test_every_function_runs_over_a_batch_of_seeds(name):
    task = task_of(name)
    data, keys = arrays(task), jax.random.split(jax.random.key(7), 2)
    params = jax.jit(jax.vmap(task.init, (0, None)))(keys, data)
    batches = jax.jit(jax.vmap(lambda key, data: task.draw(key, data, 2), (0, None)))(keys, data)
    batch = jax.tree.map(lambda leaf: leaf[:, 0], batches)
    losses = jax.jit(jax.vmap(task.loss, (0, None, 0)))(params, data, batch)
    metrics = jax.jit(jax.vmap(task.evaluate, (0, None)))(params, arrays(task, Split.SEARCH))
    for i, key in enumerate(keys):
        alone = task.init(key, data)
        batch = first(task.draw(key, data, 2))
        assert losses[i] == pytest.approx(float(task.loss(alone, data, batch)), rel=1e-4)
        assert metrics[i] == pytest.approx(float(task.evaluate(alone, arrays(task, Split.SEARCH))), rel=1e-2)


@every_task
def test_nothing_happens_on_the_host(name):
    task = task_of(name)
    params, batches, data = start(task)
    assert not jax.make_jaxpr(jax.value_and_grad(task.loss))(params, data, first(batches)).effects
    assert not jax.make_jaxpr(task.evaluate)(params, data).effects


@every_task
def test_draw_leads_with_steps_and_carries_whole_numbers_or_keys(name):
    task = task_of(name)
    for n in (1, 5):
        for leaf in jax.tree.leaves(task.draw(jax.random.key(0), arrays(task), n)):
            assert leaf.shape[0] == n
            if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                assert leaf.dtype in (jnp.int32, jnp.float32)


def reads_in_range(task, params, data, batches):
    """Whether no read of a training with these batches is out of range."""
    checked = checkify.checkify(jax.vmap(task.loss, (None, None, 0)), errors=checkify.index_checks)
    error, _ = jax.jit(checked)(params, data, batches)
    return error.get() is None


@every_task
def test_batches_stay_inside_the_training_split(name):
    task = task_of(name)
    params, _, data = start(task)
    batches = task.draw(jax.random.key(1), data, 500)
    whole = [leaf for leaf in jax.tree.leaves(batches) if leaf.dtype == jnp.int32]
    assert all((leaf >= 0).all() for leaf in whole)
    assert reads_in_range(task, params, data, batches)
    if whole:  # the check itself can fail
        beyond = jax.tree.map(lambda leaf: leaf + 10**7 if leaf.dtype == jnp.int32 else leaf, batches)
        assert not reads_in_range(task, params, data, beyond)


@every_task
def test_a_key_decides_everything(name):
    task, data = task_of(name), arrays(task_of(name))
    for function in (task.init, lambda key, data: task.draw(key, data, 4)):
        same, again, other = (bits(function(jax.random.key(seed), data)) for seed in (3, 3, 4))
        assert same == again
        assert same != other


@every_task
def test_adam_learns_and_repeats_bit_for_bit(name):
    task = task_of(name)
    train, data = trainer(task), arrays(task)
    trained, again, other = (train(jax.random.key(seed), data) for seed in (0, 0, 1))
    for split in HELD_OUT:
        assert task.evaluate(trained, arrays(task, split)) < 0.65 * task.chance
    rebuilt = trainer(build(name))(jax.random.key(0), data)
    assert bits(trained) == bits(again) == bits(rebuilt)
    assert bits(trained) != bits(other)
