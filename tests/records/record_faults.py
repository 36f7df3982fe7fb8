"""Operating systems that fail on purpose: stand-ins for `os` in `records.files` and `records.journal`."""

import errno
import os
import random
from pathlib import Path
from typing import Any

import pytest

from evosearch.records import files, journal


class Crash(BaseException):
    """The process is gone: nothing after this may touch the disk."""


class CountingOs:
    """Like `os`; counts the operations that change the disk, and does `fault` before number `at` (from 0)."""

    WATCHED = frozenset({"mkdir", "open", "write", "fsync", "replace", "unlink", "ftruncate"})

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.count = 0
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in self.WATCHED:
            return real

        def operation(*args: Any, **kwargs: Any) -> Any:
            number, self.count = self.count, self.count + 1
            self.names.append(name)
            if self.at is not None and number >= self.at:
                self.fault(name, args, first=number == self.at)
            return self.act(name, real, args, kwargs)

        return operation

    def act(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        return None if name == "fsync" else real(*args, **kwargs)  # quick: no power is lost in most tests

    def fault(self, name: str, args: Any, *, first: bool) -> None:
        raise NotImplementedError

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(files, "os", self)
        patch.setattr(journal, "os", self)


class CrashingOs(CountingOs):
    """The process dies at an operation; a write gets half of its bytes done."""

    def fault(self, name: str, args: Any, *, first: bool) -> None:
        if first and name == "write":
            os.write(args[0], args[1][: len(args[1]) // 2])
        raise Crash


class FailingOs(CountingOs):
    """One operation fails with an error, and so do all later ones of its kind; a write is half done."""

    def __init__(self, at: int, code: int = errno.ENOSPC) -> None:
        super().__init__(at)
        self.code = code
        self.failing = ""

    def fault(self, name: str, args: Any, *, first: bool) -> None:
        if first:
            self.failing = name
        if name != self.failing:
            return
        if name == "write" and first:
            os.write(args[0], args[1][: len(args[1]) // 2])
        raise OSError(self.code, os.strerror(self.code))


class PowerLossOs(CrashingOs):
    """The power fails at an operation: of what was not synced, anything may be missing.

    Contents that were not synced are cut somewhere; new, changed and removed names whose folder was not
    synced are undone from some point on.
    """

    def __init__(self, at: int, root: Path, rng: random.Random) -> None:
        super().__init__(at)
        self.root = root
        self.rng = rng
        self.sizes: dict[int, int] = {}  # durable size of files with content that was not synced, by inode
        self.names_changed: list[
            tuple[Path, Path | None, bytes | None]
        ] = []  # path, where from, content before

    def act(self, name: str, real: Any, args: Any, kwargs: Any) -> Any:
        if name == "open":
            path = Path(args[0])
            if args[1] & os.O_CREAT and not path.exists():
                self.names_changed.append((path, None, None))
            elif args[1] & os.O_TRUNC:
                self.sizes[path.stat().st_ino] = 0
        elif name == "write":
            status = os.fstat(args[0])
            self.sizes.setdefault(status.st_ino, status.st_size)
        elif name == "fsync":
            self._synced(args[0])
        elif name == "replace":
            source, target = map(Path, args)
            before = target.read_bytes() if target.exists() else None
            self.names_changed.append((target, source, before))
        elif name == "unlink" and Path(args[0]).exists():
            self.names_changed.append((Path(args[0]), None, Path(args[0]).read_bytes()))
        return super().act(name, real, args, kwargs)

    def _synced(self, descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self.names_changed = [change for change in self.names_changed if change[0].parent != path]
        self.sizes.pop(os.fstat(descriptor).st_ino, None)

    def strike(self) -> None:
        """Let the disk be as it may be after the power failed."""
        for path in [path for path in self.root.rglob("*") if path.is_file()]:
            status = path.stat()
            if status.st_ino in self.sizes:
                os.truncate(
                    path, self.rng.randint(min(self.sizes[status.st_ino], status.st_size), status.st_size)
                )
        kept = self.rng.randint(0, len(self.names_changed))
        for path, source, before in reversed(self.names_changed[kept:]):
            if source is not None and path.exists():
                source.write_bytes(path.read_bytes())
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
