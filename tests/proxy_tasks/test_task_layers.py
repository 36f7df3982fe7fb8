"""Layers and losses against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_tasks import layers

rng = np.random.RandomState(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.sampled_from([1.0, 100.0, 1e30]))
def test_cross_entropy_is_that_of_the_reference(seed, scale):
    r = np.random.RandomState(seed)
    logits, labels = (r.randn(3, 5) * scale).astype(np.float32), r.randint(0, 5, 3)
    ours = layers.cross_entropy(jnp.asarray(logits), jnp.asarray(np.eye(5)[labels]))
    assert np.asarray(ours) == pytest.approx(plain.nats(logits, labels), rel=1e-5, abs=1e-6)


def test_cross_entropy_takes_any_targets_and_axes():
    logits, targets = normal(2, 3, 4), rng.dirichlet(np.ones(4), (2, 3))
    expected = -(targets * plain.log_softmax(logits)).sum(-1)
    assert np.asarray(layers.cross_entropy(logits, targets)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_shows(bad):
    for place in range(2):
        logits = np.zeros(2, np.float32)
        logits[place] = bad
        assert not jnp.isfinite(layers.cross_entropy(jnp.asarray(logits), jnp.array([1.0, 0.0])))


def test_smoothing_spreads_a_share_over_all_classes():
    assert np.asarray(layers.smoothed(jnp.eye(4)[:1], 0.2))[0] == pytest.approx([0.85, 0.05, 0.05, 0.05])
    targets = jnp.eye(4)
    assert layers.smoothed(targets, 0.0) is targets


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 30])
def test_the_mean_in_blocks_is_the_mean(count, monkeypatch):
    monkeypatch.setattr(layers, "BLOCK", 8)
    values = rng.rand(count, 2).astype(np.float32)
    mean = layers.mean_over({"a": jnp.asarray(values)}, lambda block: block["a"].sum(1))
    assert float(mean) == pytest.approx(values.sum(1).mean(), rel=1e-6)


def test_weights_have_the_documented_sizes():
    dense = layers.dense_init(jax.random.key(0), 400, 300, scale=2.0)
    assert float(dense["w"].std()) == pytest.approx(2 / 20, rel=0.02)
    assert not dense["b"].any()
    assert set(layers.dense_init(jax.random.key(0), 4, 3, bias=False)) == {"w"}
    conv = layers.conv_init(jax.random.key(1), 16, 50, width=5, scale=3.0)
    assert set(conv) == {"w"}
    assert conv["w"].shape == (5, 5, 16, 50)
    assert float(conv["w"].std()) == pytest.approx(3 / 20, rel=0.02)
    norm = layers.group_norm_init(6)
    assert (np.asarray(norm["gain"]) == 1).all()
    assert not norm["offset"].any()


def test_dense_maps_the_last_axis():
    layer = {"w": normal(4, 3), "b": normal(3)}
    x = normal(2, 5, 4)
    assert np.asarray(layers.dense(layer, x)) == pytest.approx(plain.dense(layer, x), rel=1e-5, abs=1e-6)
    del layer["b"]
    assert np.asarray(layers.dense(layer, x)) == pytest.approx(x @ layer["w"], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    ("width", "stride", "height", "breadth"),
    [(3, 1, 4, 6), (3, 2, 4, 6), (1, 1, 4, 6), (1, 2, 4, 6), (5, 1, 3, 2), (3, 2, 5, 3), (3, 3, 6, 9)],
)
def test_convolution_is_scipys(width, stride, height, breadth):
    layer, images = {"w": normal(width, width, 2, 3)}, normal(2, height, breadth, 2)
    expected = np.stack([plain.conv(layer, image, stride) for image in images])
    ours = np.asarray(layers.conv(jax.tree.map(jnp.asarray, layer), images, stride))
    assert ours.shape == expected.shape == (2, -(-height // stride), -(-breadth // stride), 3)
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("width", "stride", "height", "breadth"),
    [
        (1, 2, 7, 4),
        (3, 1, 5, 3),
        (3, 2, 8, 8),
        (3, 3, 8, 7),
        (4, 1, 8, 8),
        (4, 2, 7, 4),
        (5, 1, 8, 8),
        (5, 3, 8, 7),
    ],
)
def test_the_gradient_of_a_convolution_is_that_of_xlas(width, stride, height, breadth):
    images, kernel = normal(2, height, breadth, 3), normal(width, width, 3, 4)
    before = (width - 1) // 2
    around = [(before, width - 1 - before)] * 2

    def ours(kernel, images):
        return layers.conv({"w": kernel}, images, stride)

    def xlas(kernel, images):
        out = jax.lax.conv_general_dilated(
            images, kernel, (stride, stride), around, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return out[:, : -(-height // stride), : -(-breadth // stride)]

    given = normal(*xlas(kernel, images).shape)
    expected, found = (jax.vjp(conv, kernel, images)[1](given) for conv in (xlas, ours))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_convolution_sees_neighbours_on_the_right_side():
    image = np.zeros((1, 3, 3, 1), np.float32)
    image[0, 1, 1] = 1
    kernel = np.arange(9.0, dtype=np.float32).reshape(3, 3, 1, 1)
    ours = layers.conv({"w": jnp.asarray(kernel)}, jnp.asarray(image))
    assert np.asarray(ours)[0, :, :, 0].tolist() == kernel[::-1, ::-1, 0, 0].tolist()


def test_rms_norm_is_what_its_equation_says():
    gain, x = normal(6), 100 * normal(3, 6)
    ours = np.asarray(layers.rms_norm(gain, x))
    assert ours == pytest.approx(plain.rms_norm(gain, x.astype(np.float64)), rel=1e-5)
    assert (np.abs(np.asarray(layers.rms_norm(np.ones(4, np.float32), np.zeros(4, np.float32)))) == 0).all()


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm_is_what_its_name_says(groups):
    layer = {"gain": normal(6), "offset": normal(6)}
    images = 5 + 10 * normal(2, 3, 4, 6)
    expected = [plain.group_norm(layer, image, groups) for image in images]
    ours = layers.group_norm(layer, jnp.asarray(images), groups)
    assert np.asarray(ours) == pytest.approx(np.stack(expected), rel=1e-4, abs=1e-4)


def test_dropout_keeps_the_mean_and_drops_its_share():
    dropped = np.asarray(layers.dropout(jax.random.key(0), 0.3, jnp.ones(40_000)))
    kept = dropped != 0
    assert kept.mean() == pytest.approx(0.7, abs=0.01)
    assert np.unique(dropped[kept]).tolist() == [np.float32(1) / np.float32(0.7)]
    assert dropped.mean() == pytest.approx(1, abs=0.01)
    again = layers.dropout(jax.random.key(0), 0.3, jnp.ones(40_000))
    assert (np.asarray(again) == dropped).all()
    other = layers.dropout(jax.random.key(1), 0.3, jnp.ones(40_000))
    assert np.mean((np.asarray(other) != 0) == kept) == pytest.approx(0.7**2 + 0.3**2, abs=0.01)


def test_dropout_without_a_key_or_rate_is_nothing():
    x = jnp.ones(3)
    assert layers.dropout(None, 0.5, x) is x
    assert layers.dropout(jax.random.key(0), 0.0, x) is x


def test_parts_of_a_key_differ_and_none_has_none():
    parts = [jax.random.key_data(layers.part(jax.random.key(0), i)).tolist() for i in range(3)]
    assert len({tuple(part) for part in parts}) == 3
    assert layers.part(None, 1) is None


def test_another_type_sees_weights_in_it_and_gives_gradients_in_float32():
    def loss(params, x):
        out = layers.dense(params, x)
        assert out.dtype == jnp.bfloat16
        return jnp.sum(out.astype(jnp.float32))

    params = {"w": jnp.ones((3, 2)), "b": jnp.zeros(2)}
    gradient = jax.grad(layers.in_type("bfloat16", loss))(params, jnp.full((1, 3), 1.001))
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.float32)}
    assert np.asarray(gradient["w"]).tolist() == [[1, 1]] * 3  # 1.001 rounds to 1
    assert layers.in_type("float32", loss) is loss


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_layers_keep_the_type_of_their_weights_and_losses_are_float32(dtype):
    def of(kind, *shape):
        return jax.ShapeDtypeStruct(shape, kind)

    x, gain = of(dtype, 1, 4, 4, 2), of(dtype, 2)
    norm = {"gain": gain, "offset": gain}
    assert jax.eval_shape(layers.group_norm, norm, x).dtype == dtype
    assert jax.eval_shape(layers.rms_norm, gain, x).dtype == dtype
    wide = of(jnp.float32, 1, 4, 4, 2)
    assert jax.eval_shape(layers.conv, {"w": of(dtype, 3, 3, 2, 1)}, wide).dtype == dtype
    assert jax.eval_shape(layers.dense, {"w": of(dtype, 2, 3)}, wide).dtype == dtype
    assert jax.eval_shape(lambda x: layers.dropout(jax.random.key(0), 0.5, x), x).dtype == dtype
    assert jax.eval_shape(layers.cross_entropy, x, x).dtype == jnp.float32


def test_norms_sum_squares_in_float32():
    x = np.full((1, 512), 1.0, jnp.bfloat16)  # in bfloat16 the sum would stop at 256
    assert np.asarray(layers.rms_norm(np.ones(512, jnp.bfloat16), x), np.float32).tolist() == [[1.0] * 512]
