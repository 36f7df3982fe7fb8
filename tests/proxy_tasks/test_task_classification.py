"""Image classification: loss and metric against NumPy, smoothing, and moved images."""

import io

import jax
import numpy as np
import numpy_networks as plain
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from proxy_tasks import Split, build, classification

rng = np.random.RandomState(0)


def weights_of(task):
    data = task.data().splits[Split.TRAIN]
    return plain.random_weights(lambda key: task.init(key, data)), data


def test_loss_and_metric_are_what_their_names_say():
    task = build("digits_mlp", width=7, depth=2, batch=9)
    weights, data = weights_of(task)
    index = rng.randint(0, 1200, 9).astype(np.int32)
    logits = np.array([plain.mlp(weights, image) for image in data["inputs"]])
    labels = data["targets"].argmax(1)
    nats = plain.nats(logits, labels)
    loss = jax.jit(task.loss)(weights, data, {"index": index})
    assert float(loss) == pytest.approx(nats[index].mean(), rel=1e-5)
    # 1,200 examples are more than are evaluated at once
    expected = (logits.argmax(1) != labels).mean() + 0.02 * nats.mean()
    assert float(jax.jit(task.evaluate)(weights, data)) == pytest.approx(expected, rel=1e-5)


def test_a_network_that_knows_the_answers_has_metric_zero():
    task = build("digits_mlp")
    data = task.data().splits[Split.SEARCH]
    # As images, the answers themselves.
    known = {"inputs": 100 * data["targets"].reshape(-1, 10, 1, 1), "targets": data["targets"]}
    weights = {
        "hidden0": {"w": np.eye(10, dtype=np.float32), "b": np.zeros(10, np.float32)},
        "out": {"w": np.eye(10, dtype=np.float32), "b": np.zeros(10, np.float32)},
    }
    assert float(task.evaluate(weights, known)) == pytest.approx(0, abs=1e-6)
    guess = jax.tree.map(np.zeros_like, weights)
    share = data["targets"].argmax(1) == 0  # the first class wins ties
    assert float(task.evaluate(guess, known)) == pytest.approx(1 - share.mean() + 0.02 * np.log(10), rel=1e-5)


def test_smoothing_adds_the_nats_of_all_classes():
    task = build("digits_mlp", width=7, smoothing=0.3)
    weights, data = weights_of(task)
    index = np.arange(64, dtype=np.int32)
    logs = plain.log_softmax([plain.mlp(weights, image) for image in data["inputs"][:64]])
    right = logs[np.arange(64), data["targets"][:64].argmax(1)]
    expected = -(0.7 * right + 0.3 * logs.mean(1)).mean()
    assert float(jax.jit(task.loss)(weights, data, {"index": index})) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("shape", "most"), [((3, 4, 2), 1), ((3, 2, 1), 4)])
def test_every_moved_image_is_a_moved_copy_and_every_move_occurs(shape, most):
    images = rng.permutation(np.arange(300 * np.prod(shape))).reshape(300, *shape).astype(np.float32)
    moved = np.asarray(jax.jit(lambda k, x: classification._shifted(k, x, most))(jax.random.key(0), images))
    assert moved.shape == images.shape
    moves = set()
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    around = range(-most, most + 1)
    for before, after in zip(images, moved, strict=True):
        fits = [
            (down, right)
            for down in around
            for right in around
            if (
                before[np.clip(rows + down, 0, shape[0] - 1)][:, np.clip(columns + right, 0, shape[1] - 1)]
                == after
            ).all()
        ]
        assert fits
        moves |= set(fits)
    assert len(moves) == (2 * most + 1) ** 2


def test_only_moves_and_dropout_draw_keys():
    def drawn(**knobs):
        task = build("digits_mlp", **knobs)
        return jax.eval_shape(
            lambda k, d: task.draw(k, d, 3), jax.random.key(0), {"inputs": np.zeros((9, 1))}
        )

    assert set(drawn()) == set(drawn(smoothing=0.1)) == {"index"}
    assert set(drawn(shift=1)) == set(drawn(dropout=0.1)) == {"index", "key"}


def test_moves_are_for_training_only():
    still, moving = build("digits_mlp", width=7), build("digits_mlp", width=7, shift=2)
    weights, data = weights_of(still)
    batch = {"index": np.arange(64, dtype=np.int32), "key": jax.random.key(0)}
    move = jax.jit(lambda key, images: classification._shifted(jax.random.fold_in(key, 0), images, 2))
    moved = np.asarray(move(batch["key"], data["inputs"][:64]))
    logits = np.array([plain.mlp(weights, image) for image in moved])
    expected = plain.nats(logits, data["targets"][:64].argmax(1)).mean()
    assert float(jax.jit(moving.loss)(weights, data, batch)) == pytest.approx(expected, rel=1e-5)
    assert str(jax.make_jaxpr(moving.evaluate)(weights, data)) == str(
        jax.make_jaxpr(still.evaluate)(weights, data)
    )


def test_a_parquet_file_of_ones_own(tmp_path):
    def encoded(image):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        return content.getvalue()

    labels = np.arange(200) % 4
    images = rng.randint(0, 60, (200, 6, 9, 3)) + 60 * labels[:, None, None, None]
    table = pa.table({"img": [encoded(image) for image in images.astype(np.uint8)], "label": labels})
    path = tmp_path / "images.parquet"
    pq.write_table(table, path)
    task = build("digits_vit", path=str(path), size=8, colour=True, width=4, heads=1, depth=1)
    parts = task.data()
    sizes = [len(parts.identity[split]) for split in Split]
    assert sizes == [134, 22, 17, 27]  # 200 in the proportions of 1,200, 200, 150 and 247
    train = parts.splits[Split.TRAIN]
    assert (train["inputs"].shape, train["targets"].shape) == ((134, 8, 8, 3), (134, 4))
    assert (train["inputs"].mean(), train["inputs"].std()) == pytest.approx((0, 1), abs=1e-5)
    assert all(split["targets"].sum(0).min() > 0 for split in parts.splits.values())
    assert task.chance == pytest.approx(0.75 + 0.02 * np.log(4))
    params = jax.eval_shape(task.init, jax.random.key(0), train)
    assert params["embed"]["w"].shape == (48, 4)
    assert params["head"]["w"].shape == (4, 4)
    weights = plain.random_weights(lambda key: task.init(key, train))
    batch = {"index": np.arange(2, dtype=np.int32)}
    logits = [plain.vit(weights, image.astype(float), 4, 1) for image in train["inputs"][:2]]
    expected = plain.nats(np.array(logits), train["targets"][:2].argmax(1)).mean()
    assert float(jax.jit(task.loss)(weights, train, batch)) == pytest.approx(expected, rel=1e-4)
    few = build("digits_vit", path=str(path), size=8, examples=80).data()
    assert sum(len(numbers) for numbers in few.identity.values()) == 80
    assert few.splits[Split.TRAIN]["inputs"].shape[1:] == (8, 8, 1)
