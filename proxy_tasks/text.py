"""Text as small integers: where it comes from, its vocabulary, and its four disjoint blocks."""

import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.errors import TaskError
from proxy_tasks.protocol import Split, TaskData

SYMBOLS = 96
"""Size of the vocabulary, fixed so that models have one shape on any text."""
OTHER = 0
"""The symbol of every character outside the vocabulary."""
SHARES = {Split.TRAIN: 0.80, Split.SEARCH: 0.08, Split.SELECTION: 0.06, Split.REPORT: 0.06}
WINDOWS = {Split.TRAIN: 2048, Split.SEARCH: 2048, Split.SELECTION: 4096, Split.REPORT: 8192}
"""At most so many windows of a split are evaluated, evenly spaced."""
FEWEST_WINDOWS = 100
"""A split with fewer windows is refused: its loss would say little."""


def load_text(path: str | None, context: int) -> TaskData:
    """The data of a next-character task.

    Each split holds `codes`, uint8 (n,), the characters of one contiguous block of the text, and `starts`,
    int32 (k,), where the windows of `context + 1` characters begin that are evaluated. `identity` numbers the
    characters of the text. No window leaves its block.

    Args:
        path: a UTF-8 file, or None for CPython's help texts.
        context: characters that the model sees.

    Raises:
        TaskError: the file is missing, unreadable, not UTF-8 or too short.
    """
    text = _bundled() if path is None else _read(path)
    _check_length(text, context, path)
    parts = _cut(len(text))
    codes = encode(text, vocabulary(text[parts[Split.TRAIN]]))
    splits = {
        split: {"codes": codes[part], "starts": _starts(part.stop - part.start, context, WINDOWS[split])}
        for split, part in parts.items()
    }
    identity = {split: np.arange(part.start, part.stop) for split, part in parts.items()}
    return TaskData(splits, identity, chance=math.log(SYMBOLS))


def vocabulary(text: str) -> dict[str, int]:
    """The symbols 1, 2, ... of the most frequent characters of `text`; ties go to the lower code point."""
    counts = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    return {character: code for code, (character, _) in enumerate(counts[: SYMBOLS - 1], start=OTHER + 1)}


def encode(text: str, symbols: dict[str, int]) -> NDArray[np.uint8]:
    """The symbol of each character of `text`, uint8 (len(text),)."""
    return np.fromiter((symbols.get(c, OTHER) for c in text), np.uint8, len(text))


def _bundled() -> str:
    """CPython's help texts, about 465,000 characters of English; they differ between versions of CPython."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def _read(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise TaskError(f"knob 'path': expected a UTF-8 text file, found {error.strerror}: {path}") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        found = f"byte 0x{content[error.start]:02x} at position {error.start}"
        raise TaskError(f"knob 'path': expected UTF-8, found {found} of {path}; convert the file") from None


def _check_length(text: str, context: int, path: str | None) -> None:
    fewest = math.ceil((FEWEST_WINDOWS + context + 1) / min(SHARES.values()))
    if len(text) < fewest:
        where = path or "the bundled text"
        expected = f"expected {fewest} characters or more for context={context}"
        raise TaskError(f"the text is too short: {expected}, found {len(text)}: {where}")


def _cut(length: int) -> dict[Split, slice]:
    """Contiguous blocks in the order and with the shares of `SHARES`."""
    ends = [round(length * share) for share in itertools.accumulate(SHARES.values())]
    return {split: slice(*ends) for split, ends in zip(SHARES, itertools.pairwise([0, *ends]), strict=True)}


def _starts(length: int, context: int, most: int) -> NDArray[np.int32]:
    """Evenly spaced starts of windows of `context + 1` characters, all different, at most `most`."""
    windows = length - context
    count = min(windows, most)
    return (np.arange(count) * windows // count).astype(np.int32)
