"""Arrays that take long to make, kept on disk: pre-trained weights, and data of packages that load slowly.

The cache is the folder `EVOSEARCH_CACHE`, or `~/.cache/evosearch`. A file's name says all that its arrays
follow from. So nothing in it can be out of date, and it may be deleted at any time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Arrays = dict[str, NDArray[Any]]
Shapes = Mapping[str, tuple[tuple[int, ...], DTypeLike]]
"""Shape and dtype of arrays, by name."""


def cache_folder() -> Path:
    """Where they are kept."""
    named = os.environ.get("EVOSEARCH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "evosearch"


def kept(kind: str, name: str, shapes: Shapes, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from the cache, or made now and put there.

    Args:
        kind: a folder of the cache.
        name: of the file; other arrays need another.
        shapes: of all arrays. A file that has others, or is not whole, is made again.
        make: makes the arrays.

    Example:
        kept("data", "squares", {"x": ((3,), np.int64)}, lambda: {"x": np.arange(3) ** 2})
    """
    place = cache_folder() / kind / f"{name}.npz"
    stored = _read(place, shapes)
    if stored is None:
        stored = make()
        _write(place, stored)
    return stored


def _read(place: Path, shapes: Shapes) -> Arrays | None:
    """The stored arrays; None where there are none, or the file is not whole and they are made again."""
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = {name: arrays[name] for name in arrays.files}
    except Exception:  # a damaged archive can raise almost anything, and what to do is the same
        return None
    expected = {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in shapes.items()}
    found = {name: (array.shape, array.dtype) for name, array in stored.items()}
    return stored if found == expected else None


def _write(place: Path, arrays: Arrays) -> None:
    """Write in one move, so that another process sees all of it or nothing.

    A cache that can't be written to is no reason to fail: the arrays are made again the next time.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            np.savez(Path(folder) / place.name, **arrays)  # type: ignore[arg-type]
            os.replace(Path(folder) / place.name, place)
    except OSError:
        return
