"""Captions of images of digits, made from what can be seen: which digit, how much ink, which way it leans.

    "a bold seven leaning left"

They are sequences of words, each a whole number; 0 fills up to a common length.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.errors import TaskError

NUMERALS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INK = ("thin", "plain", "bold")
LEAN = ("leaning left", "upright", "leaning right")
TEMPLATES = (
    "a {ink} {numeral} {lean}",
    "the digit {numeral} {ink} and {lean}",
    "{lean} a {ink} handwritten {numeral}",
    "a photo of a {numeral} {lean} in {ink} strokes",
)
TEMPLATE_SEED = 20_230_217

Words = NDArray[np.int32]


@dataclass(frozen=True)
class Captions:
    """Captions as numbers.

    Attributes:
        words: int32 (n, length), of each image.
        prompts: int32 (classes, prompts, length), every caption that a class can have.
        symbols: how many different words, with the empty one.
    """

    words: Words
    prompts: Words
    symbols: int


def captions_of(pixels: NDArray[np.float32], labels: NDArray[np.int64], train: NDArray[np.int64]) -> Captions:
    """A caption for each image.

    Ink is the sum of the pixels, the lean is how far the ink moves to the right from the bottom of the image
    to its top; both are cut into thirds at the quantiles of the training images. Which template an image gets
    is drawn once with a fixed seed.

    Args:
        pixels: float32 (n, h, w, c), ink bright.
        labels: int64 (n,), 0 to 9 at most.
        train: which images decide the thirds.

    Raises:
        TaskError: more classes than there are digits.
    """
    classes = int(labels.max()) + 1
    if classes > len(NUMERALS):
        raise TaskError(
            f"captions name the digits zero to nine: expected 10 classes at most, found {classes}"
        )
    ink, lean = _thirds(_ink(pixels), train), _thirds(_lean(pixels), train)
    template = np.random.RandomState(TEMPLATE_SEED).randint(len(TEMPLATES), size=len(labels))
    texts = [
        TEMPLATES[t].format(ink=INK[i], lean=LEAN[j], numeral=NUMERALS[label])
        for t, i, j, label in zip(template, ink, lean, labels, strict=True)
    ]
    every = [
        [t.format(ink=i, lean=j, numeral=numeral) for t, i, j in product(TEMPLATES, INK, LEAN)]
        for numeral in NUMERALS[:classes]
    ]
    words = sorted({word for group in every for text in group for word in text.split()})
    codes = {word: code for code, word in enumerate(words, start=1)}
    length = max(len(text.split()) for group in every for text in group)
    prompts = np.stack([_encode(group, codes, length) for group in every])
    return Captions(_encode(texts, codes, length), prompts, len(codes) + 1)


def _encode(texts: list[str], codes: dict[str, int], length: int) -> Words:
    rows = np.zeros((len(texts), length), np.int32)
    for row, text in zip(rows, texts, strict=True):
        for place, word in enumerate(text.split()):
            row[place] = codes[word]
    return rows


def _ink(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    ink: NDArray[np.float64] = pixels.sum(axis=(1, 2, 3), dtype=np.float64)
    return ink


def _lean(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Regression of column on height above the bottom, weighted by ink: columns a row."""
    grey = pixels.sum(axis=3, dtype=np.float64)
    grey = grey - grey.min(axis=(1, 2), keepdims=True)
    total = np.maximum(grey.sum(axis=(1, 2)), 1e-9)
    up = np.arange(grey.shape[1])[::-1, None] * np.ones(grey.shape[2])
    across = np.ones(grey.shape[1])[:, None] * np.arange(grey.shape[2])
    mean_up, mean_across = ((grey * a).sum(axis=(1, 2)) / total for a in (up, across))
    away_up = up - mean_up[:, None, None]
    both = (grey * away_up * (across - mean_across[:, None, None])).sum(axis=(1, 2))
    slope: NDArray[np.float64] = both / np.maximum((grey * away_up**2).sum(axis=(1, 2)), 1e-9)
    return slope


def _thirds(values: NDArray[np.float64], train: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.digitize(values, np.quantile(values[train], [1 / 3, 2 / 3])).astype(np.int64)
