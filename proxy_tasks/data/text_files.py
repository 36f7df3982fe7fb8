"""Text of one's own: plain UTF-8 files, and Parquet files with a column of documents."""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from proxy_tasks.data.parquet_files import (
    BATCH,
    check_regular,
    column_among,
    in_short,
    open_parquet,
    parquet_errors,
    parquet_paths,
    wrong,
)
from proxy_tasks.errors import TaskError

PIECE = 2**20
"""Bytes of a plain file in memory at a time beside the result."""
BETWEEN = "\n\n"
"""What stands between two documents of a Parquet file."""
COLUMN = "text"
"""The column that is read if several hold strings and none is named; public dataset hubs call it so."""


def read_text(path: str, column: str | None, most: int) -> str:
    r"""At most `most` characters from the start of a text.

    Lines end in "\n" whatever the file has ("\r\n"), and a byte order mark is left out. What comes after the
    last character is not read, so it may be anything.

    Args:
        path: a UTF-8 file; a Parquet file; or a folder, of which the `*.parquet` files are read, by name.
            Documents, the rows of a Parquet column, are joined by an empty line.
        column: the Parquet column; None for the only one that holds strings, or else the one named `text`.
            A plain file has none.
        most: 1 or more.

    Raises:
        TaskError: the file is missing, unreadable or empty, it is not UTF-8, or there is no such column, it
            holds no strings or a null.

    Example:
        text = read_text("books.parquet", column=None, most=20_000_000)
    """
    files = parquet_paths(path)
    if not files and column is not None:
        raise wrong("knob 'column'", "null for a file that is not Parquet", repr(column), path)
    if not files and Path(path).is_dir():
        raise wrong("knob 'path'", "a text file, or a folder of .parquet files", "a folder without one", path)
    text = _first(_documents(files, column) if files else _plain(path), most)
    if not text:
        raise wrong("knob 'path'", "text", "none", path)
    return text


def _first(pieces: Iterable[str], most: int) -> str:
    kept, left = [], most
    for piece in pieces:
        kept.append(piece[:left])
        left -= len(kept[-1])
        if not left:
            break
    return "".join(kept)


def _plain(path: str) -> Iterator[str]:
    try:
        check_regular(Path(path))
        with Path(path).open("rb") as file:
            yield from _decoded(iter(lambda: file.read(PIECE), b""), path)
    except OSError as error:
        raise wrong("knob 'path'", "a UTF-8 text file", in_short(error), path) from None


def _decoded(pieces: Iterator[bytes], path: str) -> Iterator[str]:
    """The text of `pieces`, which may be cut anywhere: inside a character, a line's end or the mark."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position, held, begun = 0, "", False
    while True:
        piece = next(pieces, b"")
        begins = position - len(
            decoder.getstate()[0]
        )  # the decoder keeps the bytes of an unfinished character
        try:
            text = held + decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x} at position {begins + error.start} of {path}"
            raise TaskError(f"knob 'path': expected UTF-8, found {found}; convert the file") from None
        if text and not begun:
            text, begun = text.removeprefix("\ufeff"), True
        held = "\r" if piece and text.endswith("\r") else ""
        yield text.removesuffix(held).replace("\r\n", "\n")
        if not piece:
            return
        position += len(piece)


def _documents(files: list[Path], column: str | None) -> Iterator[str]:
    between = ""
    for path in files:
        file = open_parquet(path)
        with parquet_errors(path):
            name = _string_column(file.schema_arrow, column, path)
            row = 0
            for batch in file.iter_batches(batch_size=BATCH, columns=[name]):
                for value in batch.column(0):
                    yield between + _document(value, name, row, path)
                    between = BETWEEN
                    row += 1


def _document(value: Any, name: str, row: int, path: Path) -> str:
    try:
        document = value.as_py()
    except UnicodeDecodeError as error:
        found = f"byte 0x{error.object[error.start]:02x} at position {error.start} of row {row}"
        raise wrong(f"column {name!r}", "UTF-8", found, path) from None
    if document is None:
        raise wrong(f"column {name!r}", "text in every row", f"a null in row {row}", path)
    return str(document).replace("\r\n", "\n")


def _string_column(schema: Any, column: str | None, path: Path) -> str:
    if column is not None:
        name = column_among(schema, [column], path)
        if not _is_string(schema.field(name).type):
            raise wrong(f"column {name!r}", "strings", str(schema.field(name).type), path)
        return name
    strings = [field.name for field in schema if _is_string(field.type)]
    if COLUMN not in strings and len(strings) != 1:
        found = f"{', '.join(strings)}; set knob 'column'" if strings else "none"
        raise wrong("knob 'path'", f"one column of strings, or one named {COLUMN}", found, path)
    return COLUMN if COLUMN in strings else strings[0]


def _is_string(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
