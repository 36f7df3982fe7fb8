"""Generation: what the denoiser is shown and asked, and the autoencoder against NumPy."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest

from proxy_tasks import Split, build, generation


@cache
def diffusion():
    task = build("digits_diffusion", batch=300)
    return task, task.data().splits


def test_the_denoiser_is_shown_image_and_noise_on_a_quarter_of_a_circle(monkeypatch):
    seen = []
    monkeypatch.setattr(generation, "unet", lambda params, x, time: seen.append((x, time)) or params)
    task, splits = diffusion()
    data = {name: array[:50] for name, array in splits[Split.SEARCH].items()}
    guess = np.random.RandomState(0).standard_normal(data["noise"].shape).astype(np.float32)
    metric = task.evaluate(guess, data)
    x, time = seen.pop()
    angle = (data["time"] * np.pi / 2)[:, None, None, None]
    expected = data["inputs"] * np.cos(angle) + data["noise"] * np.sin(angle)
    assert np.asarray(x) == pytest.approx(expected, abs=1e-5)
    assert np.asarray(time) == pytest.approx(data["time"])
    assert float(metric) == pytest.approx(((guess - data["noise"]) ** 2).mean(), rel=1e-5)
    assert float(task.evaluate(data["noise"], data)) == 0


def test_noise_of_training_is_drawn_with_the_key_of_the_step(monkeypatch):
    seen = []
    monkeypatch.setattr(generation, "unet", lambda params, x, time: seen.append((x, time)) or params)
    task, splits = diffusion()
    data = {"inputs": np.zeros_like(splits[Split.TRAIN]["inputs"])}  # so that noise is all there is

    @jax.jit
    def losses(guess, data, batch):
        return (task.loss(guess, data, batch), *seen.pop())

    def run(seed):
        batch = {"index": np.arange(300, dtype=np.int32), "key": jax.random.key(seed)}
        return [np.asarray(x) for x in losses(np.zeros((300, 8, 8, 1), np.float32), data, batch)]

    loss, x, time = run(0)
    noise = x / np.sin(time * np.pi / 2)[:, None, None, None]
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=0.02)
    assert float(loss) == pytest.approx((noise**2).mean(), rel=1e-4)
    assert np.abs(np.sort(time) - (np.arange(300) + 0.5) / 300).max() < 0.1  # uniform on [0, 1]
    again, other = run(0), run(1)
    assert all((a == b).all() for a, b in zip((loss, x, time), again, strict=True))
    assert not np.isin(other[2], time).any()


def test_scored_times_are_evenly_spread_and_noise_is_normal():
    task, splits = diffusion()
    again = build("digits_diffusion").data().splits
    for split, count in ((Split.SEARCH, 200), (Split.REPORT, 247)):
        time, noise = splits[split]["time"], splits[split]["noise"]
        assert np.sort(time) == pytest.approx((np.arange(count) + 0.5) / count)
        assert (np.diff(time) < 0).any()  # not in the order of the images
        assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=0.03)
        assert (again[split]["time"] == time).all()
        assert (again[split]["noise"] == noise).all()
    assert task.chance == 1


def test_the_steps_of_a_training_have_keys_of_their_own():
    task, splits = diffusion()
    drawn = jax.jit(task.draw, static_argnums=2)(jax.random.key(0), splits[Split.TRAIN], 5)
    assert set(drawn) == {"index", "key"}
    assert len({tuple(key) for key in np.asarray(jax.random.key_data(drawn["key"])).tolist()}) == 5


# The autoencoder


@cache
def autoencoder(**knobs):
    task = build("patches_autoencoder", width=6, depth=2, code=3, **knobs)
    data = task.data().splits
    return task, data, plain.random_weights(lambda key: task.init(key, data[Split.TRAIN]))


def test_the_autoencoder_is_what_its_description_says():
    task, data, weights = autoencoder()
    train = data[Split.TRAIN]
    pixels = train["inputs"][:9].reshape(9, 64).astype(float)
    assert [weights[f"layer{i}"]["w"].shape[1] for i in range(5)] == [6, 6, 3, 6, 6]
    x = pixels
    for i in range(2):
        x = plain.relu(plain.dense(weights[f"layer{i}"], x))
    x = plain.dense(weights["layer2"], x)  # the code is linear
    for i in range(3, 5):
        x = plain.relu(plain.dense(weights[f"layer{i}"], x))
    expected = ((plain.dense(weights["out"], x) - pixels) ** 2).mean()
    assert float(task.loss(weights, train, {"index": jnp.arange(9)})) == pytest.approx(expected, rel=1e-5)
    assert float(task.evaluate(weights, {"inputs": train["inputs"][:9]})) == pytest.approx(expected, rel=1e-5)


def test_the_mean_of_all_pixels_has_metric_one_on_the_training_patches():
    task, data, weights = autoencoder()
    nothing = jax.tree.map(np.zeros_like, weights)
    assert float(jax.jit(task.evaluate)(nothing, data[Split.TRAIN])) == pytest.approx(1, rel=1e-4)
    assert task.chance == 1
    for split in Split:
        assert (data[split]["inputs"] ** 2).mean() == pytest.approx(1, rel=0.25)


def test_a_region_of_a_photograph_is_in_one_split_only():
    task, data, _ = autoencoder()
    identity = task.data().identity
    numbers = generation.load_patches(8).regions
    regions = [set(numbers[identity[split]].tolist()) for split in Split]
    assert sum(map(len, regions)) == len(set().union(*regions)) == 120
    assert [len(r) for r in regions] == [80, 13, 11, 16]
    assert [len(data[split]["inputs"]) for split in Split] == [5120, 832, 704, 1024]


def test_patches_of_another_size_and_images_of_ones_own(tmp_path):
    large = build("patches_autoencoder", size=32).data()
    assert large.splits[Split.TRAIN]["inputs"].shape[1:] == (32, 32, 1)
    path = tmp_path / "images.npz"
    images = np.random.RandomState(0).rand(100, 5, 7, 3)
    np.savez(path, images=images, labels=np.arange(100) % 2)
    own = build("patches_autoencoder", path=str(path), colour=True)
    assert own.data().splits[Split.TRAIN]["inputs"].shape == (67, 5, 7, 3)
    params = jax.eval_shape(own.init, jax.random.key(0), own.data().splits[Split.TRAIN])
    assert params["out"]["w"].shape == (64, 105)
