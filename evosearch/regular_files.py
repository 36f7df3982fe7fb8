"""Reading files that somebody else may have made: regular ones only, and no more than is expected of them.

A FIFO would block for ever, a device may never end or act on being opened, and a sparse file of a few bytes
on disk can be larger than memory. So what a path leads to is looked at before it is opened, and again after.
Symbolic links are followed: reading through one harms nobody.
"""

from __future__ import annotations

import errno
import os
import stat
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def kind(mode: int) -> str:
    """What a mode says of a file that is not regular.

    >>> kind(stat.S_IFIFO)
    'a FIFO'
    """
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def check_regular(mode: int) -> None:
    """Refuse the mode of anything but a regular file.

    Raises:
        OSError: its `strerror` says what was found.
    """
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"expected a regular file, found {kind(mode)}")


def open_regular(path: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file of at most `most` bytes to read it; its reader stops there too, as it may grow.

    Raises:
        OSError: it can't be opened, is no regular file, or is larger. `strerror` is for people.
    """
    check_regular(os.stat(path).st_mode)
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        found = os.fstat(file.fileno())
        check_regular(found.st_mode)
        if most is not None and found.st_size > most:
            raise OSError(errno.EFBIG, f"expected at most {most:,} bytes, found {found.st_size:,}")
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        OSError: see `open_regular`.

    Example:
        read_regular(Path("runs/quickstart/schema.json"), 10_000)
    """
    with open_regular(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:  # it grew, or its kind of file has no size, as in /proc
        raise OSError(errno.EFBIG, f"expected at most {most:,} bytes, found more")
    return content


def read_start(path: Path, characters: int) -> str:
    r"""The first so many characters of a regular file of UTF-8 text, its lines ended by "\n".

    Raises:
        OSError: see `open_regular`.
        UnicodeDecodeError: it is not UTF-8.
    """
    with open_regular(path) as file, TextIOWrapper(file, encoding="utf-8") as text:
        return text.read(characters)
