"""Image-text contrast: captions of drawn strokes, loss and metric against NumPy, the locked tower."""

from functools import cache
from itertools import product

import jax
import numpy as np
import numpy_networks as plain
import pytest

from proxy_tasks import Split, TaskError, build, contrastive
from proxy_tasks.data.captions import INK, LEAN, NUMERALS, TEMPLATES, captions_of

SMALL = {"width": 4, "heads": 2, "vector": 3}


pytestmark = pytest.mark.usefixtures("quick_compile")


# Captions


def stroke(ink, lean):
    """A line of 9 x 9 pixels, which moves by `lean` columns a row from the bottom to the top."""
    image = np.zeros((9, 9, 1), np.float32)
    for row in range(9):
        image[row, round(4 + lean * (4 - row)), 0] = ink
    return image


def texts(captions, words, numerals=NUMERALS):
    """Captions as text again: words are numbered in the order of the alphabet, from 1."""
    known = {word for template in TEMPLATES for word in template.split() if "{" not in word}
    known |= {word for phrase in (*INK, *LEAN, *numerals) for word in phrase.split()}
    names = dict(enumerate(sorted(known), start=1))
    assert captions.symbols == len(names) + 1
    return [" ".join(names[code] for code in row if code) for row in words.reshape(-1, words.shape[-1])]


def drawn():
    kinds = list(product((1, 2, 3), (-1, 0, 1))) * 30
    pixels = np.stack([stroke(ink, lean) for ink, lean in kinds])
    labels = np.arange(len(kinds)) % 10
    return kinds, labels, captions_of(pixels, labels, np.arange(len(kinds)))


def test_captions_say_what_is_seen():
    kinds, labels, captions = drawn()
    used = set()
    for (ink, lean), label, text in zip(kinds, labels, texts(captions, captions.words), strict=True):
        says = {"ink": INK[ink - 1], "lean": LEAN[lean + 1], "numeral": NUMERALS[label]}
        fits = [i for i, template in enumerate(TEMPLATES) if template.format(**says) == text]
        assert len(fits) == 1
        used |= set(fits)
    assert used == {0, 1, 2, 3}
    slash = [
        text for (_, lean), text in zip(kinds, texts(captions, captions.words), strict=True) if lean == 1
    ]
    assert all("leaning right" in text for text in slash)  # as / does


def test_prompts_are_all_captions_that_a_class_can_have():
    _, labels, captions = drawn()
    assert captions.prompts.shape == (10, 36, 10)
    for label, prompts in enumerate(captions.prompts):
        written = texts(captions, prompts)
        assert len(set(written)) == 36
        assert all(NUMERALS[label] in text.split() for text in written)
        mine = {tuple(words) for words in captions.words[labels == label].tolist()}
        assert mine <= {tuple(words) for words in prompts.tolist()}


def test_the_thirds_are_those_of_the_training_images():
    pixels = np.stack([stroke(ink, 0) for ink in range(1, 13)])
    labels = np.zeros(12, np.int64)
    labels[1] = 1

    def inks(train):
        captions = captions_of(pixels, labels, np.array(train))
        written = texts(captions, captions.words, NUMERALS[:2])
        return [next(ink for ink in INK if ink in text.split()) for text in written]

    assert inks(range(12)) == ["thin"] * 4 + ["plain"] * 4 + ["bold"] * 4
    assert inks(range(3)) == ["thin", "plain"] + ["bold"] * 10


def test_more_classes_than_digits():
    message = "captions name the digits zero to nine: expected 10 classes at most, found 11"
    with pytest.raises(TaskError, match=f"^{message}$"):
        captions_of(np.ones((11, 2, 2, 1), np.float32), np.arange(11), np.arange(11))


# Loss and metric


def unit(x):
    return x / np.sqrt((x**2).sum(-1, keepdims=True))


def read(weights, words):
    """What the text tower says of captions, one by one."""
    vectors = []
    for caption in words:
        x = plain.blocks(weights["body"], weights["embedding"][caption] + weights["positions"], 2)
        vectors.append(plain.dense(weights["head"], plain.rms_norm(weights["norm"], x).mean(0)))
    return unit(np.array(vectors))


@cache
def small():
    task = build("digits_contrastive", **SMALL)
    train = task.data().splits[Split.TRAIN]
    return task, train, plain.random_weights(lambda key: task.init(key, train))


def test_equal_captions_are_each_others_right_answers(monkeypatch):
    # Read differently, as with dropout; read alike, they have the same share of the loss anyhow.
    vectors = np.random.RandomState(0).standard_normal((2, 4, 3))
    monkeypatch.setattr(contrastive, "_text_tower", lambda knobs, params, words, key: vectors[1])
    data = {"inputs": vectors[0], "words": np.array([[1, 2], [1, 3], [1, 2], [2, 2]])}
    params = {"scale": np.log(np.float32([5])), "text": None}
    tower = lambda params, images, key: images  # noqa: E731
    loss = contrastive._loss(contrastive.ContrastiveKnobs(), tower, params, data, {"index": np.arange(4)})
    logits = 5 * unit(vectors[0]) @ unit(vectors[1]).T
    targets = np.array([[0.5, 0, 0.5, 0], [0, 1, 0, 0], [0.5, 0, 0.5, 0], [0, 0, 0, 1]])
    both = (targets * (plain.log_softmax(logits) + plain.log_softmax(logits.T))).sum(1)
    assert float(loss) == pytest.approx(-0.5 * both.mean(), rel=1e-5)


def test_the_loss_is_that_of_rows_and_columns():
    task, train, weights = small()
    twins = np.flatnonzero((train["words"] == train["words"][0]).all(1))  # other images, the same caption
    assert len(twins) >= 3
    index = np.array([*twins[:3], 1, 2, 3, 4, 5], np.int32)
    words = train["words"][index]
    images = [plain.vit(weights["image"], image.astype(float), 4, 2) for image in train["inputs"][index]]
    logits = np.exp(weights["scale"][0]) * unit(np.array(images)) @ read(weights["text"], words).T
    same = np.array([[float((a == b).all()) for b in words] for a in words])
    assert same[:3, :3].all()
    targets = same / same.sum(1, keepdims=True)
    rows, columns = plain.log_softmax(logits), plain.log_softmax(logits.T)
    expected = -0.5 * ((targets * rows).sum(1).mean() + (targets * columns).sum(1).mean())
    loss = jax.jit(task.loss)(weights, train, {"index": index})
    assert float(loss) == pytest.approx(expected, rel=1e-3)


def test_images_are_those_of_classification():
    train, images = small()[1], build("digits_mlp").data().splits[Split.TRAIN]
    assert (train["inputs"] == images["inputs"]).all()
    assert (train["label"] == images["targets"].argmax(1)).all()


def test_the_metric_is_zero_shot():
    task, train, weights = small()
    prompts = train["prompts"]
    means = unit(np.array([read(weights["text"], group).mean(0) for group in prompts]))
    images = [plain.vit(weights["image"], image.astype(float), 4, 2) for image in train["inputs"][:40]]
    logits = np.exp(weights["scale"][0]) * unit(np.array(images)) @ means.T
    labels = train["label"][:40]
    expected = (logits.argmax(1) != labels).mean() + 0.02 * plain.nats(logits, labels).mean()
    # The captions of the images themselves have no say
    few = {"inputs": train["inputs"][:40], "label": labels, "prompts": prompts}
    assert float(jax.jit(task.evaluate)(weights, few)) == pytest.approx(expected, rel=1e-3)


def test_the_scale_is_learned_and_starts_at_ten():
    task, train, _ = small()
    scale = jax.jit(lambda key, data: task.init(key, data)["scale"])(jax.random.key(0), train)
    assert np.exp(np.asarray(scale)) == pytest.approx([10], rel=1e-5)


def test_vectors_of_length_zero_are_no_mistake():
    gradient = jax.grad(lambda x: contrastive._unit(x).sum())(np.zeros(3, np.float32))
    assert np.isfinite(np.asarray(gradient)).all()
    assert np.asarray(contrastive._unit(np.array([3.0, 4.0]))) == pytest.approx([0.6, 0.8])


# The locked tower


def test_the_locked_tower_comes_from_training_images_and_is_no_weight(monkeypatch):
    calls = []

    def pretrained(what, data, init, draw, loss, steps):
        calls.append((what, data, steps))
        return plain.random_weights(init)

    monkeypatch.setattr(contrastive, "pretrained", pretrained)
    task, plain_data = build("digits_locked", width=4, features=5, pretraining=77), small()[0].data()
    splits = task.data().splits
    ((what, source, steps),) = calls
    assert (what, steps) == ({"network": "mlp", "width": 5}, 77)
    train = plain_data.splits[Split.TRAIN]
    assert set(source) == {"inputs", "targets"}
    assert (source["inputs"] == train["inputs"]).all()
    assert (source["targets"].argmax(1) == train["label"]).all()
    tower = plain.random_weights(lambda key: contrastive.mlp(5, 1).init(key, (8, 8, 1), 10))["hidden0"]
    for split, data in splits.items():
        images = plain_data.splits[split]["inputs"]
        expected = plain.relu(plain.dense(tower, images.reshape(len(images), -1)))
        assert data["inputs"] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert (data["words"] == plain_data.splits[split]["words"]).all()
    params = jax.eval_shape(task.init, jax.random.key(0), splits[Split.TRAIN])
    assert set(params) == {"text", "scale"}
    assert params["text"]["head"]["w"].shape == (4, 5)


def test_features_are_told_apart_by_captions(monkeypatch):
    monkeypatch.setattr(contrastive, "pretrained", lambda w, d, init, *_: plain.random_weights(init))
    task = build("digits_locked", width=4, features=5)
    train = task.data().splits[Split.TRAIN]
    weights = plain.random_weights(lambda key: task.init(key, train))
    index = np.arange(6, dtype=np.int32)
    logits = (
        np.exp(weights["scale"][0]) * unit(train["inputs"][:6]) @ read(weights["text"], train["words"][:6]).T
    )
    same = (train["words"][:6, None] == train["words"][None, :6]).all(2)
    targets = same / same.sum(1, keepdims=True)
    both = (targets * (plain.log_softmax(logits) + plain.log_softmax(logits.T))).sum(1)
    loss = jax.jit(task.loss)(weights, train, {"index": index})
    assert float(loss) == pytest.approx(-0.5 * both.mean(), rel=1e-3)
