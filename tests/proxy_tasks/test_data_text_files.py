"""Text from files: what is read, where it is cut, and every mistake by its message."""

import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_tasks.data import text_files
from proxy_tasks.data.text_files import read_text
from proxy_tasks.errors import TaskError

DOCUMENTS = ["first", "zweites, größer", "第三", "", "fünf\r\nLines"]
JOINED = "first\n\nzweites, größer\n\n第三\n\n\n\nfünf\nLines"


def plain(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(path, *, options=(), **columns):
    pq.write_table(pa.table(columns), path, **dict(options))
    return path


def read(path, column=None, most=10**6):
    return read_text(str(path), column, most)


def refuses(message, path, **options):
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        read(path, **options)


# Plain files


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 2**20])
def test_a_plain_file_in_pieces_of_any_length(piece, monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "PIECE", piece)
    path = plain(tmp_path / "a.txt", "\ufeffä\r\n\r\n\r第\U0001f600\ufeff\r\r\nx\r")
    whole = "ä\n\n\r第\U0001f600\ufeff\r\nx\r"
    assert read(path) == whole
    for most in range(1, len(whole) + 3):
        assert read(path, most=most) == whole[:most]


@settings(deadline=None, max_examples=60)
@given(text=st.text(st.sampled_from("ab\r\n ä€\U0001f600\ufeff"), min_size=1), piece=st.integers(1, 9))
def test_reading_is_decoding(text, piece, tmp_path_factory):
    path = plain(tmp_path_factory.mktemp("text") / "a", "\ufeff" + text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "PIECE", piece)
        assert read(path) == text.replace("\r\n", "\n")


@pytest.mark.parametrize("piece", [1, 2, 5, 2**20])
@pytest.mark.parametrize(
    ("content", "byte", "position"),
    [
        ("déjà vu".encode("latin-1"), "0xe9", 1),
        ("\ufeffdéjà".encode() + b"\xff", "0xff", 9),
        ("第".encode() + "第".encode()[:2], "0xe7", 3),
        (b"abc\xf0\x9f\x98x", "0xf0", 3),
        (b"\xff\xfea\0", "0xff", 0),
    ],
)
def test_a_text_that_is_not_utf8(content, byte, position, piece, monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "PIECE", piece)
    path = plain(tmp_path / "a.txt", content)
    found = f"found byte {byte} at position {position} of {path}; convert the file"
    refuses(f"knob 'path': expected UTF-8, {found}", path)


def test_what_comes_after_the_last_character_is_not_read(monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "PIECE", 4)
    path = plain(tmp_path / "a.txt", b"abcdefgh\xff")
    assert read(path, most=8) == "abcdefgh"
    with pytest.raises(TaskError, match="byte 0xff at position 8"):
        read(path, most=9)


@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_an_empty_file(content, tmp_path):
    path = plain(tmp_path / "a.txt", content)
    refuses(f"knob 'path': expected text, found none: {path}", path)


def test_a_path_to_nothing_and_to_a_folder(tmp_path):
    path = tmp_path / "none.txt"
    refuses(f"knob 'path': expected a UTF-8 text file, found No such file or directory: {path}", path)
    expected = "expected a text file, or a folder of .parquet files"
    refuses(f"knob 'path': {expected}, found a folder without one: {tmp_path}", tmp_path)
    path = tmp_path / "none.parquet"
    refuses(f"knob 'path': expected a readable Parquet file, found No such file or directory: {path}", path)


def test_a_column_of_a_plain_file(tmp_path):
    path = plain(tmp_path / "a.txt", "hello")
    message = f"knob 'column': expected null for a file that is not Parquet, found 'text': {path}"
    refuses(message, path, column="text")


# Parquet


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_documents_are_joined_by_an_empty_line(kind, batch, monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "BATCH", batch)
    path = parquet(tmp_path / "a.parquet", content=pa.array(DOCUMENTS, kind), number=range(5))
    assert read(path) == JOINED
    for most in range(1, len(JOINED) + 3):
        assert read(path, most=most) == JOINED[:most]


def test_a_folder_is_read_by_name(tmp_path):
    parquet(tmp_path / "b.parquet", text=["three"])
    parquet(tmp_path / "a.parquet", text=["one", "two"], title=["x", "y"])
    plain(tmp_path / "README.md", "not data")
    assert read(tmp_path) == "one\n\ntwo\n\nthree"


def test_which_column_is_read(tmp_path):
    path = parquet(tmp_path / "a.parquet", title=["t"], text=["x"], summary=["s"])
    assert [read(path), read(path, "title"), read(path, "summary")] == ["x", "t", "s"]


@pytest.mark.parametrize(
    ("columns", "column", "message"),
    [
        ({"n": [1]}, None, "knob 'path': expected one column of strings, or one named text, found none"),
        (
            {"a": ["x"], "b": ["y"]},
            None,
            "knob 'path': expected one column of strings, or one named text, found a, b; set knob 'column'",
        ),
        ({"n": [1], "text": ["x"]}, "n", "column 'n': expected strings, found int64"),
        (
            {"n": [1], "Text": ["x"]},
            "text",
            "knob 'path': expected a column named text, found n, Text (is it 'Text'?)",
        ),
        ({"n": [1]}, "text", "knob 'path': expected a column named text, found n"),
        (
            {"text": ["a", "b", None]},
            None,
            "column 'text': expected text in every row, found a null in row 2",
        ),
        ({"text": pa.array([], pa.string())}, None, "knob 'path': expected text, found none"),
        ({"text": [""]}, None, "knob 'path': expected text, found none"),
    ],
)
def test_a_parquet_that_makes_no_sense(columns, column, message, tmp_path):
    path = parquet(tmp_path / "a.parquet", **columns)
    refuses(f"{message}: {path}", path, column=column)


def test_a_row_that_is_not_utf8(tmp_path):
    raw = pa.array([b"good", b"b\xffd"], pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    path = parquet(tmp_path / "a.parquet", text=strings)
    refuses(f"column 'text': expected UTF-8, found byte 0xff at position 1 of row 1: {path}", path)
    assert read(path, most=4) == "good"


def test_what_comes_after_the_last_document_is_not_read(monkeypatch, tmp_path):
    monkeypatch.setattr(text_files, "BATCH", 1)
    parquet(tmp_path / "a.parquet", text=["one", "two"])
    plain(tmp_path / "b.parquet", "no parquet")
    assert read(tmp_path, most=8) == "one\n\ntwo"
    with pytest.raises(TaskError, match=r"expected a readable Parquet file, found .*b\.parquet$"):
        read(tmp_path, most=9)


@pytest.mark.parametrize("cut", [0, 3, 100, -1, -8])
def test_a_parquet_cut_off(cut, tmp_path):
    path = parquet(tmp_path / "a.parquet", text=DOCUMENTS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TaskError, match=f"^knob 'path': expected a readable Parquet file, found .*: {path}$"):
        read(path)


def test_flipped_bytes_are_noticed(tmp_path):
    options = {"compression": "none", "write_page_checksum": True, "write_statistics": False}
    path = parquet(tmp_path / "a.parquet", text=["word " * 100], options=options.items())
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[content.tobytes().index(b"word") + 50] ^= 1
    path.write_bytes(content.tobytes())
    with pytest.raises(TaskError, match=f"^knob 'path': expected a readable Parquet file, found .*: {path}$"):
        read(path)


def test_devices_and_fifos_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(TaskError, match=r"expected a UTF-8 text file, found a FIFO, socket or device"):
            read_text(str(path), None, 100)
