"""Text as whole numbers: characters, bytes, or pieces of words.

A tokeniser is fitted to the training text alone, so nothing of the other splits reaches it.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.errors import TaskError

OTHER = 0
"""The symbol that "character" has for every character outside its vocabulary."""
UNKNOWN = "\ufffd"
"""What `decode` writes for a symbol or for bytes that stand for no character."""
BYTES = 256
CHUNK = 2**14
"""Characters that "bpe" encodes at a time; its time and memory for one string grow faster than its length."""
META = "\u2581"
"""How sentencepiece writes a space; it would read this character as one too, so it gets its bytes instead."""
RARE = "\u2585"
"""How sentencepiece's trainer writes a rare character; it leaves out every line that has one."""
CUT = re.compile(r"\n|(?<=[^ ])(?= )")
"""Where no piece goes on: after a line, before a space that follows something else."""

Codes: TypeAlias = NDArray[np.int32]


@dataclass(frozen=True)
class Tokeniser:
    """A vocabulary, and the way there and back.

    Attributes:
        size: how many symbols there are; codes are 0 ... size - 1.
        encode: text -> int32 (n,).
        decode: codes of any length, also a piece out of the middle -> text. The inverse of `encode`, but for
            what "character" has no symbol for.
    """

    size: int
    encode: Callable[[str], Codes]
    decode: Callable[[NDArray[np.integer[Any]]], str]


Fit: TypeAlias = Callable[[str, int], Tokeniser]
"""(training text, number of symbols) -> the tokeniser; a function of these two alone.

Raises `TaskError` if the text does not give so many symbols, or there cannot be so few or so many.
"""


def _refused(expected: str, vocabulary: int) -> TaskError:
    return TaskError(f"knob 'vocabulary': expected {expected}, found {vocabulary}")


def _fit_characters(text: str, vocabulary: int) -> Tokeniser:
    if vocabulary < 2:
        raise _refused("2 or more symbols of characters", vocabulary)
    counts = np.bincount(_points(text), minlength=1)
    # A stable sort of the negated counts: among equals the lower code point comes first.
    frequent = np.argsort(-counts, kind="stable")[: vocabulary - 1]
    frequent = frequent[counts[frequent] > 0]
    symbols = np.full(0x110000, OTHER, np.int32)
    symbols[frequent] = np.arange(1, len(frequent) + 1)
    characters = np.full(vocabulary, ord(UNKNOWN), "<u4")
    characters[1 : len(frequent) + 1] = frequent
    return Tokeniser(
        vocabulary,
        encode=lambda text: symbols[_points(text)],
        decode=lambda codes: characters[codes].tobytes().decode("utf-32-le"),
    )


def _points(text: str) -> NDArray[np.uint32]:
    """The code points of `text`, uint32 (len(text),)."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _fit_bytes(_text: str, vocabulary: int) -> Tokeniser:
    if vocabulary != BYTES:
        raise _refused(f"{BYTES} symbols of bytes", vocabulary)
    return Tokeniser(
        BYTES,
        encode=lambda text: np.frombuffer(text.encode(), np.uint8).astype(np.int32),
        decode=lambda codes: codes.astype(np.uint8).tobytes().decode(errors="replace"),
    )


def _fit_pieces(text: str, vocabulary: int) -> Tokeniser:
    from sentencepiece import SentencePieceProcessor

    processor = SentencePieceProcessor(model_proto=_trained(text, vocabulary), num_threads=1)
    meta = np.array([processor.piece_to_id(f"<0x{byte:02X}>") for byte in META.encode()], np.int32)

    def encode(text: str) -> Codes:
        parts = [np.empty(0, np.int32)]
        for number, plain in enumerate(text.split(META)):
            if number:
                parts.append(meta)
            parts += [np.array(processor.encode(chunk), np.int32) for chunk in _chunks(plain)]
        return np.concatenate(parts)

    return Tokeniser(vocabulary, encode, decode=lambda codes: str(processor.decode(codes.tolist())))


def _trained(text: str, vocabulary: int) -> bytes:
    """A sentencepiece model, serialized; equal for equal arguments, as one thread trains it."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=(line for line in re.split(f"[\n{RARE}]", text) if line),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            num_threads=1,
            minloglevel=2,  # silent; what goes wrong is raised as well
            max_sentence_length=2
            ** 30,  # the most there can be; the default drops lines of 4,193 bytes and more
            # So that decoding is the inverse of encoding:
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            user_defined_symbols=["\n"],
            required_chars=META,  # or else the spaces of other texts, if this one has none, came back as META
            # Indentation as one piece:
            allow_whitespace_only_pieces=True,
            # No symbols that never occur, except for <unk>, which it insists on:
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            unk_id=0,
        )
    except RuntimeError as error:
        raise _refused(_possible(str(error)), vocabulary) from None
    return model.getvalue()


def _possible(message: str) -> str:
    """Which vocabularies the training text allows, as far as sentencepiece says it."""
    if most := re.search(r"too high .* <= (\d+)", message):
        return f"{most[1]} symbols or fewer for so short a training text, or a longer text"
    if fewest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return f"{fewest[1]} symbols or more, for {BYTES} bytes and the text's common characters"
    return "a training text with enough words for the symbols of byte-pair encoding"


def _chunks(text: str) -> Iterator[str]:
    """`text` in parts of about `CHUNK` characters whose codes, one after another, are those of the whole."""
    start = 0
    while start < len(text):
        cut = CUT.search(text, start + CHUNK)
        end = cut.end() if cut else len(text)
        yield text[start:end]
        start = end


TOKENISERS: Mapping[str, Fit] = MappingProxyType(
    {"character": _fit_characters, "byte": _fit_bytes, "bpe": _fit_pieces}
)
"""Every way to turn text into symbols.

- `character`: the most frequent characters, ties to the lower code point, and one symbol for all others.
- `byte`: the 256 bytes of UTF-8.
- `bpe`: byte-pair encoding: frequent parts of words, the common characters, and bytes for all others.

Example:
    tokeniser = TOKENISERS["bpe"](text, 1024)
    tokeniser.decode(tokeniser.encode(text)) == text
"""
