"""Text as small integers: where it comes from, its tokens, and its four disjoint blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.data.text_files import read_text
from proxy_tasks.data.tokens import TOKENISERS
from proxy_tasks.errors import TaskError
from proxy_tasks.knobs import DataKnobs, choice, name, optional, whole
from proxy_tasks.protocol import Data, Split, TaskData

SYMBOLS = {"character": 96, "byte": 256, "bpe": 512}
"""Size of the vocabulary where none is asked for."""
SHARES = {Split.TRAIN: 0.80, Split.SEARCH: 0.08, Split.SELECTION: 0.06, Split.REPORT: 0.06}
PREDICTIONS = {Split.TRAIN: 2048, Split.SEARCH: 2048, Split.SELECTION: 4096, Split.REPORT: 8192}
"""At most about so many tokens of a split are predicted to evaluate, in evenly spaced windows."""
FEWEST_WINDOWS = 100
"""A split with fewer windows is refused: its loss would say little."""


@dataclass(frozen=True)
class TextKnobs(DataKnobs):
    """A task on text.

    Attributes:
        path: a UTF-8 text file or Parquet with a column of text; None for CPython's help texts.
        examples: at most so many characters are read.
        column: the column of a Parquet file that holds the text; None where it has only one.
        tokens: what the model reads: characters, bytes, or pairs merged by frequency.
        vocabulary: how many different tokens; None for 96 characters, 256 bytes or 512 pairs.
        context: tokens that the model sees.
    """

    examples: int = whole(20_000_000, most=1_000_000_000)
    column: str | None = name()
    tokens: str = choice("character", "byte", "bpe")
    vocabulary: int | None = optional(whole(96, most=60_000, least=2))
    context: int = whole(8, most=4096)

    @property
    def symbols(self) -> int:
        """Size of the vocabulary."""
        return SYMBOLS[self.tokens] if self.vocabulary is None else self.vocabulary


@dataclass(frozen=True)
class Text:
    """A text in tokens, cut in four.

    Attributes:
        codes: for each split, the tokens of one contiguous block, as the smallest unsigned integers.
        identity: for each split, which tokens of the whole text those are.
    """

    codes: dict[Split, NDArray[np.unsignedinteger]]
    identity: dict[Split, NDArray[np.int64]]


def bundled_text() -> str:
    """CPython's help texts, about 465,000 characters of English; they differ between versions of CPython."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def load_windows(knobs: TextKnobs, predicted: int, window: int) -> TaskData:
    """The data of a task on windows of consecutive tokens.

    Each split holds `codes`, (n,), and `starts`, int32 (k,), where the windows begin that are evaluated. No
    window leaves its block.

    Args:
        knobs: which text.
        predicted: how many tokens of a window are predicted.
        window: length of a window in tokens.

    Raises:
        TaskError: the file is missing, unreadable, not UTF-8 or too short.
    """
    return windows_of(load_text(knobs, window), knobs, predicted, window)


def windows_of(text: Text, knobs: TextKnobs, predicted: int, window: int) -> TaskData:
    """As `load_windows`, of a text at hand."""
    splits: dict[Split, Data] = {
        split: {"codes": codes, "starts": window_starts(len(codes), window, PREDICTIONS[split] // predicted)}
        for split, codes in text.codes.items()
    }
    return TaskData(splits, text.identity, chance=math.log(knobs.symbols))


def load_text(
    knobs: TextKnobs, window: int, bundled: Callable[[], str] = bundled_text, vocabulary_of: str | None = None
) -> Text:
    """The text of the knobs in tokens, in four blocks.

    Args:
        knobs: which text.
        window: the longest window that will be read.
        bundled: the text where the knobs name no file.
        vocabulary_of: the text that decides the tokens; None for the TRAIN block.
    """
    whole_text = bundled() if knobs.path is None else read_text(knobs.path, knobs.column, knobs.examples)
    # Characters are cut before they are tokens, so that no token sees two splits.
    blocks = {split: whole_text[part] for split, part in _cut(len(whole_text)).items()}
    fit = TOKENISERS[knobs.tokens]
    tokeniser = fit(blocks[Split.TRAIN] if vocabulary_of is None else vocabulary_of, knobs.symbols)
    kind = np.min_scalar_type(knobs.symbols - 1)
    codes = {split: tokeniser.encode(block).astype(kind) for split, block in blocks.items()}
    fewest = min(codes, key=lambda split: len(codes[split]))
    if len(codes[fewest]) - window + 1 < FEWEST_WINDOWS:
        where = knobs.path or "the bundled text"
        expected = (
            f"expected {FEWEST_WINDOWS + window - 1} tokens or more in each part for context={knobs.context}"
        )
        found = (
            f"found {len(codes[fewest])} in the {fewest.name} part, of {len(whole_text)} characters in all"
        )
        raise TaskError(f"the text is too short: {expected}, {found}: {where}")
    ends = np.cumsum([0] + [len(codes[split]) for split in SHARES])
    identity = {
        split: np.arange(a, b) for split, (a, b) in zip(SHARES, itertools.pairwise(ends), strict=True)
    }
    train = max(FEWEST_WINDOWS + window - 1, round(knobs.fraction * len(codes[Split.TRAIN])))
    codes[Split.TRAIN], identity[Split.TRAIN] = codes[Split.TRAIN][:train], identity[Split.TRAIN][:train]
    return Text(codes, identity)


def _cut(length: int) -> dict[Split, slice]:
    """Contiguous blocks in the order and with the shares of `SHARES`."""
    ends = [round(length * share) for share in itertools.accumulate(SHARES.values())]
    return {split: slice(*ends) for split, ends in zip(SHARES, itertools.pairwise([0, *ends]), strict=True)}


def window_starts(length: int, window: int, most: int) -> NDArray[np.int32]:
    """Evenly spaced starts of windows, all different, at most `most` and at least one."""
    windows = length - window + 1
    count = max(1, min(windows, most))
    return (np.arange(count) * windows // count).astype(np.int32)
