"""The parts of which tasks are made: data, layers, and the models against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_tasks import Split, TaskData, build, nets
from proxy_tasks.images import FEWEST, stratified_order
from proxy_tasks.text import OTHER, SYMBOLS, encode, load_text, vocabulary

rng = np.random.RandomState(0)


def arrays(**changes):
    return {"images": rng.rand(200, 4, 4), "labels": np.arange(200) % 4, **changes}


def softmax_loss(logits, labels):
    """-log softmax of the right label, in float64."""
    shifted = logits.astype(np.float64) - logits.max(1, keepdims=True)
    return np.log(np.exp(shifted).sum(1)) - shifted[range(len(labels)), labels]


def as_numpy(task, seed=0):
    """Weights and TRAIN arrays as numpy, and the first batch."""
    data = task.data().splits[Split.TRAIN]
    params = jax.jit(task.init)(jax.random.key(seed), data)
    batch = jax.tree.map(
        lambda leaf: np.asarray(leaf[0]), jax.jit(task.draw, static_argnums=2)(jax.random.key(seed), data, 1)
    )
    return jax.tree.map(np.asarray, params), data, batch


def test_char_mlp_is_what_its_equation_says():
    task = build("char_mlp", context=5, embedding=3, hidden=7, batch=9)
    p, data, batch = as_numpy(task)
    windows = np.stack([data["codes"][s : s + 6] for s in batch["start"]])
    e = p["embedding"][windows[:, :5]].reshape(9, 15)
    a = e @ p["hidden"]["w"] + p["hidden"]["b"]
    logits = (a / (1 + np.exp(-a))) @ p["out"]["w"] + p["out"]["b"]
    expected = softmax_loss(logits, windows[:, 5]).mean()
    assert float(jax.jit(task.loss)(p, data, batch)) == pytest.approx(expected, rel=1e-5)


def test_digits_mlp_is_what_its_equation_says():
    task = build("digits_mlp", hidden=7, batch=9)
    p, data, batch = as_numpy(task)

    def logits(x):
        return np.maximum(x @ p["hidden"]["w"] + p["hidden"]["b"], 0) @ p["out"]["w"] + p["out"]["b"]

    labels = data["targets"].argmax(1)
    index = batch["index"]
    expected = softmax_loss(logits(data["inputs"][index]), labels[index]).mean()
    assert float(jax.jit(task.loss)(p, data, batch)) == pytest.approx(expected, rel=1e-5)
    z = logits(data["inputs"])
    expected = (z.argmax(1) != labels).mean() + 0.02 * softmax_loss(z, labels).mean()
    assert float(jax.jit(task.evaluate)(p, data)) == pytest.approx(expected, rel=1e-5)


def test_the_bundled_splits_have_the_sizes_documented():
    digits = build("digits_mlp").data().identity
    assert [len(digits[split]) for split in Split] == [1000, 300, 200, 297]
    text = build("char_mlp").data()
    length = sum(len(numbers) for numbers in text.identity.values())
    assert [round(len(text.identity[split]) / length, 3) for split in Split] == [0.8, 0.08, 0.06, 0.06]
    assert [len(text.splits[split]["starts"]) for split in Split] == [2048, 2048, 4096, 8192]


def test_windows_stay_in_their_block_and_differ():
    for split in build("char_mlp", context=20).data().splits.values():
        starts = split["starts"]
        assert starts.dtype == np.int32
        assert (np.diff(starts) > 0).all()
        assert starts[0] == 0
        assert starts[-1] + 20 < len(split["codes"])


def test_the_vocabulary_comes_from_the_training_block_alone(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"ab\r\n" * 4000 + "é".encode() * 3000)
    data = load_text(str(path), context=2)
    assert len(data.identity[Split.TRAIN]) == 12_000
    assert set(data.splits[Split.TRAIN]["codes"]) == {1, 2, 3}
    assert set(data.splits[Split.REPORT]["codes"]) == {OTHER}


def test_symbols_go_by_frequency_then_by_code_point():
    symbols = vocabulary("bbbaac")
    assert symbols == {"b": 1, "a": 2, "c": 3}
    assert vocabulary("cab") == {"a": 1, "b": 2, "c": 3}
    assert encode("cab?", symbols).tolist() == [3, 2, 1, OTHER]
    many = vocabulary("".join(chr(256 + i) * (i + 1) for i in range(200)))
    assert (len(many), max(many.values())) == (SYMBOLS - 1, SYMBOLS - 1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(FEWEST, 60), min_size=2, max_size=6), st.integers(0, 5))
def test_every_stretch_of_the_order_is_stratified(counts, seed):
    labels = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = stratified_order(labels)
    assert sorted(order) == list(range(len(labels)))
    running = np.cumsum(np.eye(len(counts))[labels[order]], axis=0)
    share = np.arange(1, len(labels) + 1)[:, None] / len(labels)
    assert np.abs(running - share * counts).max() <= len(counts)


def test_an_npz_of_other_shapes_and_types(tmp_path):
    path = tmp_path / "images.npz"
    for images in (rng.randint(0, 255, (200, 5, 7)).astype(np.uint8), rng.rand(200, 35)):
        np.savez(path, **arrays(images=images, labels=(np.arange(200) % 4).astype(np.uint8)))
        task = build("digits_mlp", path=str(path))
        train = task.data().splits[Split.TRAIN]
        assert (train["inputs"].shape, train["targets"].shape) == ((111, 35), (111, 4))
        assert (train["inputs"].mean(), train["inputs"].std()) == pytest.approx((0, 1), abs=1e-4)
        assert task.chance == pytest.approx(0.75 + 0.02 * np.log(4))
        assert all(split["targets"].sum(0).min() > 0 for split in task.data().splits.values())
        assert jnp.isfinite(task.evaluate(task.init(jax.random.key(0), train), train))


def test_a_text_of_ones_own(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\ufeff" + "to be or not to be, that is the question\n" * 100, "utf-8")
    data = build("char_mlp", path=str(path)).data()
    assert len(data.identity[Split.TRAIN]) == 3280
    assert OTHER not in data.splits[Split.TRAIN]["codes"]


def test_the_fingerprint_sees_values_names_types_and_shapes():
    def fingerprint(name="x", dtype=np.float32, shape=(4,), value=0):
        split = {name: np.full(shape, value, dtype)}
        return TaskData(dict.fromkeys(Split, split), {}, chance=1.0).fingerprint

    changes = ({}, {"name": "y"}, {"dtype": np.int32}, {"shape": (2, 2)}, {"value": 1})
    prints = [fingerprint(**change) for change in changes]
    assert len(set(prints)) == 5
    assert prints[0] == fingerprint()
    assert len(prints[0]) == 16


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1.0, 100.0, 1e30]))
def test_cross_entropy_is_that_of_the_reference(seed, scale):
    r = np.random.RandomState(seed)
    logits, labels = (r.randn(3, 5) * scale).astype(np.float32), r.randint(0, 5, 3)
    ours = jax.jit(nets.cross_entropy)(jnp.asarray(logits), jnp.eye(5)[labels])
    assert np.asarray(ours) == pytest.approx(softmax_loss(logits, labels), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 30])
def test_the_mean_in_blocks_is_the_mean(count, monkeypatch):
    monkeypatch.setattr(nets, "BLOCK", 8)
    values = rng.rand(count, 2).astype(np.float32)
    mean = nets.mean_over({"a": jnp.asarray(values)}, lambda block: block["a"].sum(1))
    assert float(mean) == pytest.approx(values.sum(1).mean(), rel=1e-6)


def test_dense_weights_have_the_documented_size():
    layer = nets.dense_init(jax.random.key(0), 400, 300, scale=2.0)
    assert float(layer["w"].std()) == pytest.approx(0.1, rel=0.02)
    assert not layer["b"].any()
