"""Files that survive a crash, and the lock. Every operating-system error becomes a `RunError` here."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from evosearch.errors import RunError
from evosearch.regular_files import check_regular, read_regular

MAX_TEXT = 16_000_000
"""Bytes of a run's texts (config.yaml, best.py, ...), of which honest ones have thousands."""

TEMPORARY = ".tmp"
"""What a file's name ends in until its content is durable."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn an OSError into a RunError about reading `path`."""
    try:
        yield
    except OSError as error:
        raise RunError(f"can't read {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn an OSError into a RunError about writing `path`, with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            reason, todo = "the disk is full (or a size limit is reached)", "free some space"
        elif error.errno in _FORBIDDEN:
            reason, todo = f"permission is refused ({error.strerror})", "allow this user to write there"
        else:
            reason, todo = str(error.strerror or error), "mend that"
        raise RunError(
            f"can't write {path}: {reason}. Nothing that was synced before is lost: "
            f"{todo}, then go on (a search with --resume, a study or a funnel with the same command)"
        ) from error


def read_text(path: Path, most: int = MAX_TEXT) -> str:
    """The text of a file of at most `most` bytes.

    Raises:
        RunError: it can't be read, is no regular file, is larger, or is not UTF-8.
    """
    with readable(path):
        content = read_regular(path, most)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise RunError(
            f"{path} is damaged: it is not UTF-8 text ({error}); restore it from a copy"
        ) from error


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte, however many calls that takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system knows how to."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def open_own(path: Path, flags: int) -> int:
    """Open a file of a folder to write to it, if it is that folder's own; its descriptor.

    A folder that came from somebody else may hold links, symbolic or hard, by which a write would reach files
    elsewhere; a FIFO would block. (Hard links have other good uses, such as backups by `cp -al`; those too
    must not change.)

    Raises:
        OSError: `strerror` says what was found.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "expected a file of its own, found a symbolic link") from error
        if error.errno in (errno.ENXIO, errno.ENODEV):
            raise OSError(error.errno, "expected a regular file, found a FIFO, socket or device") from error
        raise
    try:
        found = os.fstat(descriptor)
        check_regular(found.st_mode)
        if found.st_nlink > 1:
            raise OSError(errno.EMLINK, "expected a file of its own, found one with a hard link elsewhere")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_new(path: Path) -> int:
    """Open a file that is not there yet; what a crash left there, or somebody put there, is removed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return open_own(path, flags)
    except FileExistsError:
        os.unlink(path)  # of a link, not what it points to
        return open_own(path, flags)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Give a file this content: after a crash it has the old one or the new one; on return the new one.

    Raises:
        RunError: the disk is full, permission is refused, ...
    """
    temporary = path.with_name(path.name + TEMPORARY)
    with writable(path):
        try:
            descriptor = _open_new(temporary)
            try:
                write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file if it is there."""
    with writable(path), contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def make_folder(path: Path, *, linked: bool = True) -> None:
    """Make a folder, and those above it, durably; it may exist, and if `linked` be a link to a folder."""
    with writable(path):
        missing = [p for p in (path, *path.parents) if not p.exists()]
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder)
            sync_folder(folder.parent)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder")
        if not linked and path.is_symlink():
            raise NotADirectoryError(errno.ENOTDIR, "expected a folder, found a symbolic link")


class Lock:
    """Held by the one process that writes to a run; the system lets go of it when that process dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            RunError: another process holds it, or the file system can't lock.
        """
        with writable(path):
            self._descriptor = open_own(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._descriptor, 0)
                write_all(self._descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode())
            except BlockingIOError:
                holder = os.read(self._descriptor, 300).decode(errors="replace").strip()
                os.close(self._descriptor)
                raise RunError(
                    f"{path.parent} is in use by process {holder or '(unknown)'}: wait until it ends, "
                    "stop it, or take another --out"
                ) from None
            except BaseException:
                os.close(self._descriptor)
                raise

    def release(self) -> None:
        """Let go of it; forked children that inherited it lose it too."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)
