"""Tokenisers: round trips, vocabularies, and that nothing else has a say in them."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_tasks.data import tokens
from proxy_tasks.data.tokens import BYTES, OTHER, TOKENISERS, UNKNOWN
from proxy_tasks.errors import TaskError

PROSE = """The quick brown fox jumps over the lazy dog, and the dog does not care.
    Indented, with "quotes", 12,345 numbers\tand tabs.

Größe, 第三章 and a rare \u2585 block.\r
"""
TEXT = PROSE * 40
SIZES = {"character": 40, "byte": BYTES, "bpe": 360}
# Ordinary characters, and all that sentencepiece treats in some way of its own.
ODD = ["\n", " ", "  ", "\t", "\r", "\0", "\u2581", "\u2585", "\u2047", UNKNOWN, "\ufeff", "\U0001f600", "第"]
LOOKALIKES = ["<unk>", "<s>", "</s>", "<0x41>", "<0x0A>", "<", ">", "the ", "dog"]
pieces = st.lists(st.one_of(st.sampled_from(ODD + LOOKALIKES), st.text(max_size=5)), max_size=20)
texts = st.builds("".join, pieces)
every_kind = pytest.mark.parametrize("kind", sorted(TOKENISERS))


@cache
def fitted(kind):
    return TOKENISERS[kind](TEXT, SIZES[kind])


def refuses(message, kind, text, vocabulary):
    with pytest.raises(TaskError, match=f"^knob 'vocabulary': {re.escape(message)}$"):
        TOKENISERS[kind](text, vocabulary)


@pytest.mark.parametrize("kind", ["byte", "bpe"])
@settings(deadline=None, max_examples=150)
@given(text=texts)
def test_decoding_is_the_inverse_of_encoding(kind, text):
    assert fitted(kind).decode(fitted(kind).encode(text)) == text


@settings(deadline=None, max_examples=150)
@given(text=texts)
def test_characters_come_back_or_are_unknown(text):
    tokeniser = fitted("character")
    known = {character for character, _ in Counter(sorted(TEXT)).most_common(SIZES["character"] - 1)}
    assert tokeniser.decode(tokeniser.encode(text)) == "".join(c if c in known else UNKNOWN for c in text)


@every_kind
@settings(deadline=None, max_examples=60)
@given(text=texts)
def test_codes_are_symbols(kind, text):
    codes = fitted(kind).encode(text)
    assert (codes.dtype, codes.ndim) == (np.int32, 1)
    assert fitted(kind).size == SIZES[kind]
    assert ((codes >= 0) & (codes < SIZES[kind])).all()


@every_kind
@settings(deadline=None, max_examples=60)
@given(codes=st.lists(st.integers(0, 39), max_size=20))
def test_any_codes_are_text(kind, codes):
    assert isinstance(fitted(kind).decode(np.array(codes, np.uint8)), str)


@every_kind
def test_the_training_text_comes_back_in_pieces_too(kind):
    tokeniser = fitted(kind)
    codes = tokeniser.encode(TEXT)
    back = tokeniser.decode(codes)
    assert (back == TEXT) is (kind != "character")
    in_two = tokeniser.decode(codes[:500]) + tokeniser.decode(codes[500:]) == back
    assert in_two


@every_kind
def test_an_empty_text_has_no_codes(kind):
    codes = fitted(kind).encode("")
    assert (codes.shape, codes.dtype) == ((0,), np.int32)
    assert fitted(kind).decode(codes) == ""


@settings(deadline=None, max_examples=60)
@given(text=texts.filter(bool), vocabulary=st.integers(2, 12))
def test_symbols_go_by_frequency_then_by_code_point(text, vocabulary):
    order = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    symbols = {character: code for code, (character, _) in enumerate(order[: vocabulary - 1], start=1)}
    codes = TOKENISERS["character"](text, vocabulary).encode(text)
    assert codes.tolist() == [symbols.get(character, OTHER) for character in text]


def test_fewer_characters_than_symbols():
    tokeniser = TOKENISERS["character"]("cabbb", 96)
    assert tokeniser.size == 96
    assert tokeniser.encode("abc?").tolist() == [2, 1, 3, OTHER]
    assert tokeniser.decode(np.array([1, 3, OTHER, 95])) == "bc" + 2 * UNKNOWN
    assert TOKENISERS["character"]("", 2).encode("a").tolist() == [OTHER]


def test_bytes_are_those_of_utf8():
    assert fitted("byte").encode("é\n").tolist() == [0xC3, 0xA9, 0x0A]
    assert fitted("byte").decode(np.array([0xA9, 0x41, 0xC3])) == f"{UNKNOWN}A{UNKNOWN}"


def test_pieces_are_worth_having():
    assert len(fitted("bpe").encode(TEXT)) < 0.5 * len(TEXT)


def test_a_training_text_without_spaces_or_lines():
    tokeniser = TOKENISERS["bpe"]("abab" * 20, 262)
    assert tokeniser.decode(tokeniser.encode("a b\n  c")) == "a b\n  c"


def test_long_lines_and_odd_characters_are_learned_from():
    long = "several words without an end " * 1000  # sentencepiece drops lines of 4,193 bytes by default
    assert len(TOKENISERS["bpe"](long, 300).encode(long)) < len(long) / 3
    odd = "progress \u2585 progress\n" * 50
    assert len(TOKENISERS["bpe"](odd, 280).encode("progress")) == 1


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", " "), TEXT.replace(" ", "")])
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_encoding_in_chunks_changes_nothing(text, chunk, monkeypatch):
    monkeypatch.setattr(tokens, "CHUNK", 10**9)
    whole = fitted("bpe").encode(text)
    monkeypatch.setattr(tokens, "CHUNK", chunk)
    assert (fitted("bpe").encode(text) == whole).all()


@settings(deadline=None, max_examples=60)
@given(text=texts, chunk=st.integers(1, 8))
def test_chunks_of_any_text_change_nothing(text, chunk):
    whole = fitted("bpe").encode(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "CHUNK", chunk)
        assert fitted("bpe").encode(text).tolist() == whole.tolist()


@settings(deadline=None, max_examples=60)
@given(text=texts, vocabulary=st.integers(0, 400))
def test_any_training_text_fits_or_is_refused(text, vocabulary):
    try:
        tokeniser = TOKENISERS["bpe"](text * 20, vocabulary)
    except TaskError:
        return
    assert tokeniser.size == vocabulary
    same = tokeniser.decode(tokeniser.encode(text + PROSE)) == text + PROSE
    assert same  # by itself, as pytest takes minutes to tell long texts apart


def test_other_processes_get_the_same_and_hear_nothing():
    program = f"""
import hashlib
from proxy_tasks.data.tokens import TOKENISERS
text = {TEXT!r}
for kind, size in {SIZES!r}.items():
    codes = TOKENISERS[kind](text, size).encode(text)
    assert hashlib.sha256(codes.tobytes()).hexdigest() == {{
        "character": "{digest("character")}", "byte": "{digest("byte")}", "bpe": "{digest("bpe")}"
    }}[kind]
try:
    TOKENISERS["bpe"](text, 60_000)
except ValueError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def digest(kind):
    return hashlib.sha256(fitted(kind).encode(TEXT).tobytes()).hexdigest()


def test_vocabularies_that_cannot_be():
    refuses("expected 2 or more symbols of characters, found 1", "character", "a", 1)
    refuses("expected 256 symbols of bytes, found 96", "byte", "a", 96)
    short = "for so short a training text, or a longer text"
    refuses(f"expected 268 symbols or fewer {short}, found 300", "bpe", "abab " * 9, 300)
    bytes_first = "for 256 bytes and the text's common characters"
    refuses(f"expected 261 symbols or more, {bytes_first}, found 256", "bpe", "abab " * 9, 256)
    enough = "expected a training text with enough words for the symbols of byte-pair encoding"
    refuses(f"{enough}, found 300", "bpe", "", 300)
    refuses(f"{enough}, found 300", "bpe", "\n\n\n", 300)
