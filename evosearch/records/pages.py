"""What a Parquet file would expand to, from the headers of its pages, before any page is decoded.

The footer's totals can't be believed of a file that somebody else made, and a page of a kilobyte can stand
for gigabytes: zeros under zstd, one long text that a dictionary repeats, a billion empty lists in one run.
But a reader allocates what the header before each page says, and refuses a page that is of another size; so
the sum over these headers is what reading will take.

Headers are Thrift structs in its compact protocol. A header is read here as far as it has whole numbers and
structs of them; a list or map in one is nothing that we write.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import pyarrow.parquet as pq

DATA, DICTIONARY = 0, 2
"""The types of page that `parts` writes."""

PLAIN, RLE, BY_DICTIONARY = 0, 3, (2, 8)
"""Encodings: values in full; runs (of booleans); indices into a dictionary, by the old name and the new."""

VALUE_BYTES, NESTED_BYTES = 16, 40
"""What a number takes in memory; and one in lists of lists, with its levels and offsets."""

_DEEPEST = 4
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 12
_WHOLE = (_I16, _I32, _I64)

Struct = dict[int, Any]
"""Fields by number: whole numbers and structs; others are left out."""


class Page(NamedTuple):
    """A page as its header tells of it.

    Attributes:
        type: `DATA` or `DICTIONARY`.
        values: how many.
        encoding: of the values.
        size: bytes when it is decompressed.
    """

    type: int
    values: int
    encoding: int
    size: int


def expanded(
    file: pq.ParquetFile,
    content: memoryview,
    groups: Collection[int],
    columns: Collection[str],
    coded: Collection[str],
) -> int:
    """Bytes of memory, rather too many, that some columns of some row groups take when they are read.

    Args:
        file: opened.
        content: all its bytes.
        groups: which.
        columns: names of top-level columns.
        coded: names of those of texts that may be indices into a dictionary; it says nothing of how large
            those are together, so their texts have to be checked otherwise.

    Raises:
        ValueError: a page is broken, or of a kind or in an encoding that `parts` does not write.
    """
    total = 0
    for group in groups:
        chunks = file.metadata.row_group(group)
        for index in range(chunks.num_columns):
            chunk = chunks.column(index)
            name, *inner = chunk.path_in_schema.split(".")
            if name not in columns:
                continue
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
                start = chunk.dictionary_page_offset
            end = start + chunk.total_compressed_size
            if not 0 <= start <= end <= len(content):
                raise ValueError(f"column {name!r} lies outside the file")
            found = pages(content[start:end]) if chunk.num_values else []  # else its reader looks at none
            if chunk.physical_type == "BYTE_ARRAY" and name not in coded and any(p.encoding for p in found):
                raise ValueError(f"a dictionary in column {name!r}, expected texts in full")
            values = sum(page.values for page in found if page.type == DATA)
            if not inner and values != chunks.num_rows:
                raise ValueError(f"{values} values of column {name!r} in {chunks.num_rows} rows")
            total += sum(page.size for page in found) + values * (NESTED_BYTES if inner else VALUE_BYTES)
    return total


def pages(chunk: memoryview) -> list[Page]:
    """The pages of a column in a row group.

    Raises:
        ValueError: see `expanded`.
    """
    found = []
    at = 0
    while at < len(chunk):
        header, at = _struct(chunk, at, 0)
        type_ = _number(header, 1)
        size, stored = _number(header, 2), _number(header, 3)
        if type_ not in (DATA, DICTIONARY):
            raise ValueError(f"a page of type {type_}")
        about = header.get(5 if type_ == DATA else 7)
        if not isinstance(about, dict):
            raise ValueError("a page that does not say what it is")
        page = Page(type_, _number(about, 1), _number(about, 2), size)
        known = (PLAIN, RLE, *BY_DICTIONARY) if type_ == DATA else (PLAIN, *BY_DICTIONARY)
        if page.encoding not in known:
            raise ValueError(f"a page in encoding {page.encoding}")
        found.append(page)
        at += stored
    if at != len(chunk):
        raise ValueError("pages that end after their column")
    return found


def _number(fields: Struct, field: int) -> int:
    value = fields.get(field)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a page whose header has {value!r} as field {field}")
    return value


def _struct(content: memoryview, at: int, depth: int) -> tuple[Struct, int]:
    """A struct and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("a page whose header is nested too deep")
    fields: Struct = {}
    field = 0
    while True:
        head = _byte(content, at)
        at += 1
        if not head:
            return fields, at
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            raw, at = _varint(content, at)
            field = raw >> 1 ^ -(raw & 1)
        if kind in _WHOLE:
            raw, at = _varint(content, at)
            fields[field] = raw >> 1 ^ -(raw & 1)
        elif kind == _STRUCT:
            fields[field], at = _struct(content, at, depth + 1)
        elif kind == _BINARY:
            length, at = _varint(content, at)
            at += length
        elif kind in (_BYTE, _DOUBLE):
            at += 1 if kind == _BYTE else 8
        elif kind not in (_TRUE, _FALSE):
            raise ValueError(f"a page whose header has a field of type {kind}")


def _varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(content, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a page whose header has a number of too many bytes")


def _byte(content: memoryview, at: int) -> int:
    if at >= len(content):
        raise ValueError("a page whose header is cut short")
    return content[at]
