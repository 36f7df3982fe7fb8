"""Labelled images as rows of numbers: where they come from, their checks, and their four disjoint splits."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.errors import TaskError
from proxy_tasks.protocol import Data, Split, TaskData

SIZES = {Split.TRAIN: 1000, Split.SEARCH: 300, Split.SELECTION: 200, Split.REPORT: 297}
"""Images in each split of the bundled digits; other files are cut in the same proportions."""
FEWEST = 10
"""A class with fewer images is refused: some split would have none of it."""
TIE_BREAK = 0.02
"""Weight of the loss in the metric: error rates of a few hundred images tie often, this breaks the ties."""
SHUFFLE_SEED = 20_230_213
"""Arbitrary."""

Images = NDArray[np.float32]
Labels = NDArray[np.int64]
Array = NDArray[np.generic]


def load_images(path: str | None) -> TaskData:
    """The data of a classification task, stratified.

    Each split holds `inputs`, float32 (n, features), and `targets`, float32 (n, classes), one-hot. One mean
    and one standard deviation, of all the pixels of TRAIN, scale the inputs of all splits. `identity` numbers
    the images.

    Args:
        path: an .npz file with `images`, (n, h, w) or (n, features), and `labels`, (n,) whole numbers from 0;
            None for scikit-learn's 1,797 digits of 8 x 8 pixels.

    Raises:
        TaskError: the file is missing or unreadable, or an array is missing, misshapen or makes no sense.
    """
    images, labels = _bundled() if path is None else _read(path)
    classes = int(labels.max()) + 1
    targets = np.eye(classes, dtype=np.float32)[labels]
    order = stratified_order(labels)
    ends = np.cumsum(list(SIZES.values()))
    parts = np.split(order, [round(len(order) * end / ends[-1]) for end in ends[:-1]])
    identity = dict(zip(SIZES, parts, strict=True))
    scaled = _scale(images, images[identity[Split.TRAIN]], path)
    splits: dict[Split, Data] = {s: {"inputs": scaled[i], "targets": targets[i]} for s, i in identity.items()}
    return TaskData(splits, identity, chance=1 - 1 / classes + TIE_BREAK * math.log(classes))


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


def _scale(images: Images, train: Images, path: str | None) -> Images:
    mean, deviation = train.mean(dtype=np.float64), train.std(dtype=np.float64)
    if deviation == 0:
        raise _wrong("array 'images'", "pixels that differ", "one value throughout the training images", path)
    scaled: Images = ((images - mean) / deviation).astype(np.float32)
    return scaled


def _wrong(what: str, expected: str, found: str, path: str | None) -> TaskError:
    return TaskError(f"{what}: expected {expected}, found {found}: {path or 'the bundled images'}")


def _bundled() -> tuple[Images, Labels]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images.astype(np.float32), labels.astype(np.int64)


def _read(path: str) -> tuple[Images, Labels]:
    arrays = _arrays(path)
    missing = {"images", "labels"} - arrays.keys()
    if missing:
        found = ", ".join(sorted(arrays)) or "no named array"
        raise _wrong("knob 'path'", "an .npz file with the arrays images and labels", found, path)
    return _check_images(arrays["images"], path), _check_labels(arrays["labels"], len(arrays["images"]), path)


def _arrays(path: str) -> dict[str, Array]:
    try:
        with Path(path).open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return dict(loaded) if isinstance(loaded, np.lib.npyio.NpzFile) else {}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise _wrong("knob 'path'", "an .npz file of plain arrays", "something else", path) from None
    except OSError as error:
        raise _wrong("knob 'path'", "an .npz file", error.strerror or str(error), path) from None


def _check_images(images: Array, path: str) -> Images:
    if images.ndim not in (2, 3) or 0 in images.shape:
        raise _wrong("array 'images'", "shape (n, h, w) or (n, features)", str(images.shape), path)
    if images.dtype.kind not in "buif":
        raise _wrong("array 'images'", "numbers", str(images.dtype), path)
    with np.errstate(over="ignore"):
        flat = images.reshape(len(images), -1).astype(np.float32)
    odd = np.count_nonzero(~np.isfinite(flat))
    if odd:
        raise _wrong("array 'images'", "finite numbers", f"{odd} that are not", path)
    return flat


def _check_labels(labels: Array, images: int, path: str) -> Labels:
    what = "array 'labels'"
    if labels.shape != (images,):
        raise _wrong(what, f"shape ({images},), one for each image", str(labels.shape), path)
    if labels.dtype.kind not in "ui":
        raise _wrong(what, "whole numbers", str(labels.dtype), path)
    values, counts = np.unique(labels.astype(np.int64), return_counts=True)
    if len(values) < 2 or values[0] != 0 or values[-1] != len(values) - 1:
        found = f"{len(values)} classes from {values[0]} to {values[-1]}"
        raise _wrong(what, "two or more classes 0, 1, 2, ... without a gap", found, path)
    if counts.min() < FEWEST:
        found = f"{counts.min()} of class {values[counts.argmin()]}"
        raise _wrong(what, f"{FEWEST} or more images of each class", found, path)
    return labels.astype(np.int64)
