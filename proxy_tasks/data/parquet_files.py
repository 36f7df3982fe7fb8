"""What the readers of images and of text share: Parquet files, their columns, and the words of an error."""

import difflib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy_tasks.errors import TaskError

BATCH = 64
"""Rows in memory at a time beside the result; one may be an image of megabytes or a book."""
LONGEST = 160
"""Characters of a library's own message that are shown."""


def wrong(what: str, expected: str, found: str, path: str | Path) -> TaskError:
    """The error of this package's readers, one line.

    Args:
        what: the knob, column or array in question.
        expected: what it should have been.
        found: what it is.
        path: the file.
    """
    return TaskError(f"{what}: expected {expected}, found {found}: {path}")


def in_short(error: Exception) -> str:
    """What a library says, in one line; the system's own words where the system refused."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= LONGEST else f"{lines[0][:LONGEST]}..."


def parquet_paths(path: str) -> list[Path]:
    """The Parquet files that `path` names: itself, or those of a folder by name; [] if it names none."""
    place = Path(path)
    if place.is_dir():
        return sorted(place.glob("*.parquet"))
    return [place] if place.suffix == ".parquet" else []


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises about the file at `path` into a `TaskError`.

    That includes names of columns that are not UTF-8, which it finds only when they are asked for.
    """
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise wrong("knob 'path'", "a readable Parquet file", in_short(error), path) from None


def check_regular(path: Path) -> None:
    """Refuse a FIFO or a device, which would be read for ever, and a file that can't be opened.

    Raises:
        OSError: its `strerror` says what is wrong.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a FIFO, socket or device")
    path.open("rb").close()


def open_parquet(path: Path) -> Any:
    """The `pyarrow.parquet.ParquetFile` at `path`: memory-mapped, only its metadata read.

    Raises:
        TaskError: the file is missing, or its metadata cannot be read.
    """
    # Imported here and in functions below: workers that use bundled data need not load pyarrow.
    from pyarrow.parquet import ParquetFile

    with parquet_errors(path):
        check_regular(path)  # if the system refuses, it says so in fewer words than pyarrow
        file = ParquetFile(path, memory_map=True, page_checksum_verification=True)
    if sum(group_sizes(file)) != file.metadata.num_rows:
        raise wrong("knob 'path'", "a readable Parquet file", "row counts that contradict each other", path)
    return file


def group_sizes(file: Any) -> list[int]:
    """Rows in each row group."""
    metadata = file.metadata
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def column_among(schema: Any, names: Sequence[str], path: Path) -> str:
    """The first of `names` that is a column of the Arrow schema.

    Raises:
        TaskError: there is none; the message lists the columns, and the one whose name is closest.
    """
    present = [name for name in names if name in schema.names]
    if present:
        return present[0]
    found = ", ".join(schema.names) or "no column"
    folded = {name.casefold(): name for name in schema.names}
    close = [match for name in names for match in difflib.get_close_matches(name, folded, n=1)]
    hint = f" (is it {folded[close[0]]!r}?)" if close else ""
    raise wrong("knob 'path'", f"a column named {' or '.join(names)}", f"{found}{hint}", path)
