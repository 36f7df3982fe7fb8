"""Many rows at once, column by column, as plain arrays and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Texts:
    """Texts one after the other.

    Attributes:
        ends: int32 (n + 1,), text i is what lies between ends[i] and ends[i + 1].
        data: all of them, UTF-8.
    """

    ends: NDArray[np.int32]
    data: bytes


@dataclass(frozen=True)
class Words:
    """A few words, many times.

    Attributes:
        places: int64 (n,), which word.
        words: that there are.
    """

    places: NDArray[np.int64]
    words: tuple[str, ...]


Column = NDArray[Any] | Texts | Words


@dataclass(frozen=True)
class Columns:
    """Rows of ids one after the other.

    Attributes:
        first: the first id.
        count: how many there are.
        columns: by the names of `Row`; numbers as arrays, the hash as uint8 (n, 16).
    """

    first: int
    count: int
    columns: dict[str, Column]
