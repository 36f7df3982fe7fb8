"""Labelled images: where they come from, and their four disjoint splits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.data.image_files import LabelledImages, read_images
from proxy_tasks.errors import TaskError
from proxy_tasks.kept import Arrays, kept
from proxy_tasks.knobs import DataKnobs, flag, optional, whole
from proxy_tasks.protocol import Data, Split, TaskData

SIZES = {Split.TRAIN: 1200, Split.SEARCH: 200, Split.SELECTION: 150, Split.REPORT: 247}
"""Images in each split of the bundled digits; other files are cut in the same proportions."""
DIGITS = sum(SIZES.values())
TIE_BREAK = 0.02
"""Weight of the loss in a metric of errors: error rates of a few hundred images often tie."""
SHUFFLE_SEED = 20_230_213
"""Arbitrary."""

Labels: TypeAlias = NDArray[np.int64]
Parts: TypeAlias = dict[Split, NDArray[np.int64]]


@dataclass(frozen=True)
class ImageKnobs(DataKnobs):
    """A task on labelled images.

    Attributes:
        path: Parquet with images and labels, .npz or IDX files; None for scikit-learn's 8 x 8 digits.
        size: height and width that images are brought to; None leaves them as they are.
        colour: three channels instead of one.
    """

    size: int | None = optional(whole(8, most=512, least=4))
    colour: bool = flag(False)


def labelled_images(knobs: ImageKnobs) -> LabelledImages:
    """The examples that the knobs name, all of them.

    Raises:
        TaskError: the file cannot be used, or the bundled digits were asked for in a form they do not have.
    """
    if knobs.path is not None:
        return read_images(knobs.path, knobs.size, knobs.colour, knobs.examples)
    if knobs.colour or knobs.size not in (None, 8):
        asked = "colour=true" if knobs.colour else f"size={knobs.size}"
        raise TaskError(f"the bundled digits are grey, of 8 x 8 pixels: expected a 'path' with {asked}")
    shapes = {"pixels": ((DIGITS, 8, 8, 1), np.float32), "labels": ((DIGITS,), np.int64)}
    return LabelledImages(**kept("data", f"digits-{version('scikit-learn')}", shapes, _digits))


def _digits() -> Arrays:
    from sklearn.datasets import load_digits  # takes a second to import

    pixels, labels = load_digits(return_X_y=True)
    return {"pixels": pixels.reshape(-1, 8, 8, 1).astype(np.float32), "labels": labels.astype(np.int64)}


def cut(labels: Labels) -> Parts:
    """Which examples each split has, stratified, in the proportions of `SIZES`."""
    order = stratified_order(labels)
    ends = np.cumsum(list(SIZES.values()))
    parts = np.split(order, [round(len(order) * end / ends[-1]) for end in ends[:-1]])
    return dict(zip(SIZES, parts, strict=True))


def stratified_order(labels: Labels) -> NDArray[np.int64]:
    """A fixed shuffle in which every stretch has the classes in their proportions.

    The k-th of the c images of a class, after shuffling, goes to the place (k + 1/2) / c of the way through.

    Args:
        labels: int64 (n,).

    Returns:
        int64 (n,), a permutation of 0 ... n - 1.
    """
    # RandomState and not default_rng: numpy promises its stream for good.
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        mine = np.flatnonzero(labels[shuffled] == label)
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return shuffled[np.argsort(place, kind="stable")].astype(np.int64)


def less_training(parts: Parts, fraction: float) -> Parts:
    """The same splits with only the first `fraction` of TRAIN, which is stratified as the whole is."""
    train = parts[Split.TRAIN]
    return {**parts, Split.TRAIN: train[: max(1, round(fraction * len(train)))]}


def scaled(pixels: NDArray[np.float32], train: NDArray[np.int64], path: str | None) -> NDArray[np.float32]:
    """Pixels with mean zero and deviation one over TRAIN: one mean and one deviation for all pixels.

    Raises:
        TaskError: all training images are of one value.
    """
    chosen = pixels[train]
    mean, deviation = chosen.mean(dtype=np.float64), chosen.std(dtype=np.float64)
    if deviation == 0:
        where = path or "the bundled images"
        raise TaskError(f"expected images that differ, found one value in all training images: {where}")
    out: NDArray[np.float32] = ((pixels - mean) / deviation).astype(np.float32)
    return out


def load_classification(knobs: ImageKnobs) -> TaskData:
    """The data of a classification task, stratified.

    Each split holds `inputs`, float32 (n, h, w, c), and `targets`, float32 (n, classes), one-hot. `identity`
    numbers the images.

    Raises:
        TaskError: as `labelled_images`.
    """
    images = labelled_images(knobs)
    classes = int(images.labels.max()) + 1
    parts = less_training(cut(images.labels), knobs.fraction)
    inputs = scaled(images.pixels, parts[Split.TRAIN], knobs.path)
    targets = np.eye(classes, dtype=np.float32)[images.labels]
    splits: dict[Split, Data] = {s: {"inputs": inputs[i], "targets": targets[i]} for s, i in parts.items()}
    return TaskData(splits, parts, chance=error_of_a_guess(classes))


def error_of_a_guess(classes: int) -> float:
    """The metric of a model that gives each class the same probability."""
    return 1 - 1 / classes + TIE_BREAK * math.log(classes)
