"""Splits of images and text: their sizes, what decides them, and what they do not share."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_tasks import Split, TaskData, TaskError, build
from proxy_tasks.data.image_files import FEWEST
from proxy_tasks.data.images import cut, less_training, scaled, stratified_order
from proxy_tasks.data.text import TextKnobs, load_text, window_starts
from proxy_tasks.data.tokens import OTHER


def test_the_bundled_splits_have_the_sizes_documented():
    digits = build("digits_mlp").data().identity
    assert [len(digits[split]) for split in Split] == [1200, 200, 150, 247]
    text = build("char_mlp").data()
    length = sum(len(numbers) for numbers in text.identity.values())
    assert [round(len(text.identity[split]) / length, 3) for split in Split] == [0.8, 0.08, 0.06, 0.06]
    assert [len(text.splits[split]["starts"]) for split in Split] == [2048, 2048, 4096, 8192]


# Images


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(FEWEST, 60), min_size=2, max_size=6), st.integers(0, 5))
def test_every_stretch_of_the_order_is_stratified(counts, seed):
    labels = np.random.RandomState(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = stratified_order(labels)
    assert sorted(order) == list(range(len(labels)))
    running = np.cumsum(np.eye(len(counts))[labels[order]], axis=0)
    share = np.arange(1, len(labels) + 1)[:, None] / len(labels)
    assert np.abs(running - share * counts).max() <= len(counts)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(FEWEST, 60), min_size=2, max_size=6), st.floats(0.001, 1))
def test_a_fraction_of_training_is_stratified_and_the_rest_is_as_it_was(counts, fraction):
    labels = np.repeat(np.arange(len(counts)), counts)
    parts = cut(labels)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(labels)))
    less = less_training(parts, fraction)
    train = less[Split.TRAIN]
    assert len(train) == max(1, round(fraction * len(parts[Split.TRAIN])))
    shares = np.bincount(labels[train], minlength=len(counts)) - len(train) * np.array(counts) / len(labels)
    assert np.abs(shares).max() <= len(counts)
    assert all((less[split] == parts[split]).all() for split in list(Split)[1:])


def test_one_mean_and_one_deviation_come_from_training_images_alone():
    pixels = np.random.RandomState(0).rand(10, 2, 2, 1).astype(np.float32)
    out = scaled(pixels, np.arange(4), None)
    assert (out[:4].mean(), out[:4].std()) == pytest.approx((0, 1), abs=1e-6)
    pixels[4:] *= 100
    assert (scaled(pixels, np.arange(4), None)[:4] == out[:4]).all()
    message = "expected images that differ, found one value in all training images: "
    with pytest.raises(TaskError, match=f"^{message}the bundled images$"):
        scaled(np.ones((4, 1, 1, 1), np.float32), np.arange(4), None)


# Text


@settings(deadline=None)
@given(length=st.integers(1, 500), window=st.integers(1, 50), most=st.integers(0, 100))
def test_windows_stay_in_their_block_and_differ(length, window, most):
    starts = window_starts(length + window, window, most)
    assert starts.dtype == np.int32
    assert len(starts) == max(1, min(length + 1, most))
    assert starts[0] == 0
    assert starts[-1] <= length
    assert (np.diff(starts) > 0).all()
    assert np.diff(starts).max(initial=0) - np.diff(starts).min(initial=10**6) <= 1


@pytest.mark.parametrize("fraction", [1.0, 0.25])
def test_the_vocabulary_comes_from_the_whole_training_block_and_nothing_else(fraction, tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes(b"ab\r\n" * 2000 + b"xy\r\n" * 2000 + "é".encode() * 3000)
    text = load_text(TextKnobs(path=str(path), context=2, fraction=fraction), window=3)
    assert len(text.codes[Split.TRAIN]) == len(text.identity[Split.TRAIN]) == 12_000 * fraction
    assert text.identity[Split.TRAIN].tolist() == list(range(round(12_000 * fraction)))
    assert len(set(text.codes[Split.TRAIN])) == (5 if fraction == 1 else 3)
    assert set(text.codes[Split.REPORT]) == {OTHER}
    assert text.codes[Split.REPORT].dtype == np.uint8


def test_blocks_follow_one_another_and_tokens_are_numbered_through(tmp_path):
    path = tmp_path / "text.txt"
    words = " ".join(np.random.RandomState(0).choice(["alpha", "beta", "gamma", "delta"], 3000))
    path.write_text(words, "utf-8")
    for tokens in ("character", "bpe"):
        text = load_text(TextKnobs(path=str(path), tokens=tokens, vocabulary=280, context=2), window=3)
        numbers = [
            text.identity[split] for split in (Split.TRAIN, Split.SEARCH, Split.SELECTION, Split.REPORT)
        ]
        assert (np.concatenate(numbers) == np.arange(sum(map(len, numbers)))).all()
        assert [len(n) for n in numbers] == [len(codes) for codes in text.codes.values()]
        assert text.codes[Split.TRAIN].dtype == np.uint16


def test_a_fraction_of_a_text_is_never_too_short_to_train_on(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("ab" * 2000, "utf-8")
    knobs = TextKnobs(path=str(path), context=2, fraction=0.001)
    assert len(load_text(knobs, window=3).codes[Split.TRAIN]) == 102
    with pytest.raises(TaskError, match=re.escape("expected 499 tokens or more in each part for context=2")):
        load_text(knobs, window=400)


# Fingerprints


def test_the_fingerprint_sees_values_names_types_and_shapes():
    def fingerprint(name="x", dtype=np.float32, shape=(4,), value=0):
        split = {name: np.full(shape, value, dtype)}
        return TaskData(dict.fromkeys(Split, split), {}, chance=1.0).fingerprint

    changes = ({}, {"name": "y"}, {"dtype": np.int32}, {"shape": (2, 2)}, {"value": 1})
    prints = [fingerprint(**change) for change in changes]
    assert len(set(prints)) == 5
    assert prints[0] == fingerprint()
    assert re.fullmatch("[0-9a-f]{16}", prints[0])
