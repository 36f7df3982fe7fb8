"""The contract of a task, checked on every row of the table and with no task named.

Compilations are what this costs, so they are few, shared by the tests, and made with most of XLA's
optimizations off.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

from evosearch.evaluation import Evaluator, Job, Plan, TaskPlan
from evosearch.evaluation.settings import with_settings
from evosearch.language import builtin
from proxy_tasks import PRESETS, TASKS, Split, Task, build, pretraining

pytestmark = pytest.mark.usefixtures("quick_compile")
STEPS = 10
every_task = pytest.mark.parametrize("name", sorted(TASKS))


@cache
def task_of(name):
    return build(name)


def arrays(task: Task, split: Split = Split.TRAIN):
    return jax.tree.map(jnp.asarray, task.data().splits[split])


def first(batches):
    return jax.tree.map(lambda leaf: leaf[0], batches)


@cache
def judge(name):
    """(weights, batch, TRAIN, SEARCH arrays) -> loss, its gradient, metric."""
    task = build(name)

    def judged(params, batch, train, validation):
        return (*jax.value_and_grad(task.loss)(params, train, batch), task.evaluate(params, validation))

    return jax.jit(judged)


@cache
def starter(name):
    """(key, TRAIN, SEARCH arrays) -> weights, batches, first loss, its gradient, metric."""
    task = build(name)

    @jax.jit
    def draw(key, train):
        start, draws = jax.random.split(key)
        return task.init(start, train), task.draw(draws, train, STEPS)

    def begin(key, train, validation):
        params, batches = draw(key, train)
        return params, batches, *judge(name)(params, first(batches), train, validation)

    return begin


@cache
def started(name, seed=0):
    task = task_of(name)
    return starter(name)(jax.random.key(seed), arrays(task), arrays(task, Split.SEARCH))


def bits(tree):
    def raw(leaf):
        typed_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if typed_key else leaf).tobytes()

    return [raw(leaf) for leaf in jax.tree.leaves(tree)]


@every_task
def test_the_task_says_what_it_is(name):
    row, task = TASKS[name], task_of(name)
    assert (row.name, task.name) == (name, name)
    assert task.family
    assert row.knobs.__doc__
    assert "\n" not in row.summary
    assert "validation" in task.metric
    assert {"steps", "batch", "dtype"} <= {knob.name for knob in fields(row.knobs)}


@every_task
def test_presets_are_ten_and_a_hundred_times_as_large(name, monkeypatch, tmp_path):
    # Pre-trained weights are data; here only their shapes matter.
    monkeypatch.setattr(pretraining, "_train", lambda data, init, *_: init(jax.random.key(0)))
    monkeypatch.setenv("EVOSEARCH_CACHE", str(tmp_path))
    sizes = []
    for preset in PRESETS:
        task = build(name, preset=preset)
        params = jax.eval_shape(task.init, jax.random.key(0), task.data().splits[Split.TRAIN])
        sizes.append(task.steps * sum(leaf.size for leaf in jax.tree.leaves(params)))
    assert [size / sizes[0] for size in sizes] == pytest.approx([1, 10, 100], rel=0.1)


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
def test_data_are_read_once(name):
    task = task_of(name)
    assert task.data() is task.data()


def test_fingerprints_are_the_same_in_another_process():
    code = "import proxy_tasks as p; print(*(p.build(n).data().fingerprint for n in sorted(p.TASKS)))"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    out = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert out.split() == [task_of(name).data().fingerprint for name in sorted(TASKS)]


@every_task
def test_weights_are_nested_dicts_of_float32(name):
    params, *_ = started(name)
    paths = jax.tree_util.tree_leaves_with_path(params)
    assert all(isinstance(key, jax.tree_util.DictKey) for path, _ in paths for key in path)
    assert all(leaf.dtype == jnp.float32 for _, leaf in paths)
    assert 100 < sum(leaf.size for _, leaf in paths) < 20_000


@every_task
def test_the_first_metric_is_that_of_a_guess_or_of_what_was_learned_before(name):
    task = task_of(name)
    metric = float(started(name)[4])
    assert 0 < metric < 1.25 * task.chance
    if "pretrained" not in task.data().splits[Split.TRAIN]:
        assert metric > 0.75 * task.chance


@every_task
def test_loss_is_a_finite_float32_scalar_with_a_gradient_in_every_leaf(name):
    params, _, loss, gradient, metric = started(name)
    for value in (loss, metric):
        assert (value.shape, value.dtype) == ((), jnp.float32)
        assert jnp.isfinite(value)
    shapes = [[(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (gradient, params)]
    assert shapes[0] == shapes[1]
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert jnp.isfinite(leaf).all(), path
        assert jnp.any(leaf != 0), path


@every_task
def test_weights_that_are_not_finite_show_in_loss_and_metric(name):
    task = task_of(name)
    params, batches, *_ = started(name)
    given = first(batches), arrays(task), arrays(task, Split.SEARCH)
    for bad in (jnp.nan, jnp.inf):
        spoilt = jax.tree.map(lambda leaf, bad=bad: jnp.full_like(leaf, bad), params)
        loss, _, metric = judge(name)(spoilt, *given)
        assert not jnp.isfinite(loss)
        assert not jnp.isfinite(metric)


@every_task
def test_every_function_can_be_run_over_a_batch_of_seeds(name):
    """Traced only: that a batch computes what its members do is vmap's own promise."""
    task = task_of(name)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    over_seeds = jax.vmap(starter(name), (0, None, None))
    batch = jax.eval_shape(over_seeds, keys, arrays(task), arrays(task, Split.SEARCH))
    for ours, alone in zip(jax.tree.leaves(batch), jax.tree.leaves(started(name)), strict=True):
        assert (ours.shape, ours.dtype) == ((3, *alone.shape), alone.dtype)


@every_task
def test_nothing_happens_on_the_host(name):
    task = task_of(name)
    params, batches, *_ = started(name)
    assert not jax.make_jaxpr(jax.value_and_grad(task.loss))(params, arrays(task), first(batches)).effects
    assert not jax.make_jaxpr(task.evaluate)(params, arrays(task)).effects


@every_task
def test_draw_leads_with_steps_and_carries_whole_numbers_or_keys(name):
    task = task_of(name)
    for n in (1, 5):
        drawn = jax.eval_shape(
            lambda key, data, n=n: task.draw(key, data, n), jax.random.key(0), arrays(task)
        )
        for leaf in jax.tree.leaves(drawn):
            assert leaf.shape[0] == n
            assert jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or leaf.dtype == jnp.int32


@every_task
def test_batches_stay_inside_the_training_split(name):
    task, data = build(name), arrays(task_of(name))
    params, *_ = started(name)
    batches = task.draw(jax.random.key(1), data, 100)
    whole = [leaf for leaf in jax.tree.leaves(batches) if leaf.dtype == jnp.int32]
    assert whole
    assert all((leaf >= 0).all() for leaf in whole)
    # The extremes of what was drawn, as one batch that is checked read by read.
    extremes = jax.tree.map(lambda leaf: leaf[0] if leaf.dtype != jnp.int32 else leaf.max(axis=0), batches)
    checked = jax.jit(checkify.checkify(task.loss, errors=checkify.index_checks))
    assert checked(params, data, extremes)[0].get() is None
    beyond = jax.tree.map(lambda leaf: leaf + 10**7 if leaf.dtype == jnp.int32 else leaf, extremes)
    assert checked(params, data, beyond)[0].get() is not None  # the check itself can fail


@every_task
def test_a_key_decides_everything(name):
    task = task_of(name)
    begin, given = starter(name), (arrays(task), arrays(task, Split.SEARCH))
    same, again = (begin(jax.random.key(3), *given) for _ in range(2))
    other = begin(jax.random.key(4), *given)
    assert bits(same) == bits(again)
    assert bits(same[1]) != bits(other[1])
    assert bits(same[3]) != bits(other[3])


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """A list that grows with each compilation by XLA."""
    heard: list[str] = []

    def listen(event: str, *_: object, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            heard.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield heard
    jax.monitoring.unregister_event_duration_listener(listen)


@every_task
def test_both_ways_agree_repeat_bit_for_bit_and_compile_nothing_for_another_program(name, compilations):
    plan = Plan((TaskPlan(name, (("steps", STEPS),)),))
    adamw = with_settings(builtin("adamw").statements, factor=3.0)
    lion = with_settings(builtin("lion").statements, factor=10.0)
    interpreter = Evaluator(plan)

    def metric(evaluator, program):
        outcome = evaluator.evaluate(Job(0, program, ((0,),)))
        assert outcome.ok
        assert outcome.steps == STEPS
        return outcome.metrics[0][0][0]

    once = metric(interpreter, adamw)
    assert compilations
    compilations.clear()
    other, again = metric(interpreter, lion), metric(interpreter, adamw)
    assert not compilations
    assert once == again != other
    compiled = Evaluator(replace(plan, way="compiled"))
    # The program divides by roots of second moments that are almost zero at first, so rounding grows.
    assert metric(compiled, adamw) == pytest.approx(once, rel=2e-2)
