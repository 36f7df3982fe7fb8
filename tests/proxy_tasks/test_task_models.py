"""Every network against an independent forward pass in NumPy, with random weights in all places."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest

from proxy_tasks.models.attention import blocks, blocks_init
from proxy_tasks.models.gru import gru, gru_init
from proxy_tasks.models.hybrid import hybrid
from proxy_tasks.models.mixer import mixer
from proxy_tasks.models.mlp import hidden_layers, mlp
from proxy_tasks.models.resnet import resnet
from proxy_tasks.models.unet import unet, unet_init
from proxy_tasks.models.vit import vit

CLASSIFIERS = {
    "mlp": (mlp(7, 2), (3, 5, 2), plain.mlp),
    "vit": (vit(6, 2, 3, 2), (4, 6, 2), partial(plain.vit, patch=2, heads=3)),
    "mixer": (mixer(5, 2, 2), (4, 6, 2), partial(plain.mixer, patch=2)),
    "resnet": (resnet(4, 3), (4, 6, 2), plain.resnet),
    "hybrid": (hybrid(8, 2, 4), (4, 8, 2), partial(plain.hybrid, heads=4)),
}
every_classifier = pytest.mark.parametrize("name", CLASSIFIERS)


pytestmark = pytest.mark.usefixtures("quick_compile")


def normal(*shape):
    return np.random.RandomState(1).standard_normal(shape).astype(np.float32)


def agree(ours, expected):
    assert np.asarray(ours) == pytest.approx(np.asarray(expected), rel=1e-3, abs=1e-4)


@every_classifier
def test_a_classifier_is_what_its_equation_says(name):
    network, shape, reference = CLASSIFIERS[name]
    weights = plain.random_weights(lambda key: network.init(key, shape, 3))
    images = normal(2, *shape)
    logits = jax.jit(lambda w, x: network.apply(w, x, None))(weights, images)
    assert logits.shape == (2, 3)
    agree(logits, [reference(weights, image.astype(np.float64)) for image in images])


@pytest.mark.parametrize("causal", [False, True])
def test_transformer_blocks_are_what_their_equations_say(causal):
    weights = plain.random_weights(lambda key: blocks_init(key, 2, 6, 10))
    x = normal(2, 5, 6)
    apply = jax.jit(lambda w, x: blocks(w, x, heads=2, causal=causal))
    ours = apply(weights, x)
    agree(ours, [plain.blocks(weights, sequence, 2, causal) for sequence in x.astype(np.float64)])
    later = x.copy()
    later[:, 3:] += 1
    changed = np.asarray(apply(weights, later)) != np.asarray(ours)
    assert changed.any((0, 2)).tolist() == ([False] * 3 + [True] * 2 if causal else [True] * 5)


def test_a_gru_is_what_its_equation_says():
    weights = plain.random_weights(lambda key: gru_init(key, 3, 4))
    x = normal(2, 5, 3)
    agree(jax.jit(gru)(weights, x), [plain.gru(weights, sequence) for sequence in x.astype(np.float64)])


def test_the_gradient_of_a_gru_is_that_of_its_equation():
    weights = plain.random_weights(lambda key: gru_init(key, 3, 4))
    x, given = normal(2, 5, 3), normal(2, 5, 4)

    def equation(weights, x):
        states, state = [], jnp.zeros((2, 4))
        for t in range(5):
            into = x[:, t] @ weights["into"]["w"] + weights["into"]["b"]
            by_state = state @ weights["state"]["w"]
            keep, forget = (jax.nn.sigmoid(into[:, at] + by_state[:, at]) for at in (slice(4, 8), slice(4)))
            state = (1 - keep) * state + keep * jnp.tanh(into[:, 8:] + forget * by_state[:, 8:])
            states.append(state)
        return jnp.stack(states, axis=1)

    found, expected = (jax.vjp(f, weights, jnp.asarray(x))[1](jnp.asarray(given)) for f in (gru, equation))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), found, expected)


@pytest.mark.parametrize(("shape", "depth"), [((4, 6, 1), 1), ((2, 2, 3), 2)])
def test_a_unet_is_what_its_description_says(shape, depth):
    weights = plain.random_weights(lambda key: unet_init(key, shape[2], 4, depth))
    images, times = normal(2, *shape), np.array([0.1, 0.9], np.float32)
    noise = jax.jit(unet)(weights, images, times)
    assert noise.shape == images.shape
    agree(noise, [plain.unet(weights, x, t) for x, t in zip(images.astype(float), times, strict=True)])


def test_hidden_layers_are_those_under_the_head_of_an_mlp():
    network = mlp(7, 2)
    weights = plain.random_weights(lambda key: network.init(key, (2, 2, 1), 3))
    images = normal(3, 2, 2, 1)
    inside = np.asarray(hidden_layers(weights, 2, images))
    assert inside.shape == (3, 7)
    assert inside.min() == 0
    agree(plain.dense(weights["out"], inside), network.apply(weights, images, None))


@pytest.mark.parametrize(
    ("network", "good", "bad", "expected"),
    [
        (vit(4, 1, 1, 3), (6, 9, 1), (6, 8, 1), "a height and width that patch=3 divides"),
        (mixer(4, 1, 2), (6, 4, 1), (5, 4, 1), "a height and width that patch=2 divides"),
        (resnet(4, 2), (6, 4, 3), (6, 5, 3), "an even height and width"),
        (hybrid(4, 1, 1), (8, 4, 1), (6, 8, 1), "a height and width that 4 divides"),
    ],
)
def test_what_fits_a_network(network, good, bad, expected):
    assert network.fits(good) is None
    assert network.fits(bad) == expected
    assert mlp(4, 1).fits(bad) is None


@pytest.mark.parametrize("network", [mlp(7, 2, drop=0.5), mixer(5, 1, 2, drop=0.5), resnet(4, 1, drop=0.5)])
def test_dropout_needs_a_key_and_changes_the_logits(network):
    shape = (4, 6, 2)
    weights = plain.random_weights(lambda key: network.init(key, shape, 3))
    apply = jax.jit(lambda key: network.apply(weights, normal(2, *shape), key))
    one, same, other = (np.asarray(apply(jax.random.key(seed))) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert np.isfinite(one).all()
