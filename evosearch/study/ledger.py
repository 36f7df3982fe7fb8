"""The ledger: every training that a study ever did, one line each, so that none is done twice.

A file of JSON lines that only grows. A line is looked up by a hash of everything that the training's result
depends on (see `trials`), so a ledger can be shared by any number of studies, one after the other. What a
killed process was just writing, a last line without its end, is cut off when the file is opened again; any
other damage is an error.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from evosearch.errors import StudyError
from evosearch.evaluation import Status
from evosearch.json_text import from_json
from evosearch.records.files import Lock, make_folder, open_own, write_all
from evosearch.regular_files import open_regular

FILE = "ledger.jsonl"
LOCK = "lock"

MAX_BYTES, MAX_LINE = 1 << 32, 1 << 24
"""More is no ledger: a training has a line of some hundred bytes, or of some thousand with a curve."""

_FIELDS = ("key", "status", "metric", "steps", "seconds", "curve")
_KEPT = (Status.OK, Status.DIVERGED)
"""How a training may have ended; whatever else happened was no result."""


@dataclass(frozen=True)
class Measured:
    """What one training of one task with one seed gave.

    Attributes:
        status: OK or DIVERGED.
        metric: the validation metric, lower is better; infinite if training failed.
        steps: training steps done.
        seconds: what they took, a first compilation included.
        curve: the metric along the training, infinite after a failure; empty if it was not asked for.
    """

    status: Status
    metric: float
    steps: int
    seconds: float
    curve: tuple[float, ...] = ()


class Ledger:
    """The ledger in a folder, held by one process at a time; a context manager.

    Args:
        folder: made if missing.

    Raises:
        StudyError: the file is damaged, at FILE:LINE, or can't be read.
        RunError: another process uses the folder, or it can't be written.

    Example:
        with Ledger(Path("studies/tune")) as ledger:
            ledger.add("0f3a", Measured(Status.OK, 2.1, 200, 0.01))
            ledger.sync()
    """

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.path = folder / FILE
        self._lock = Lock(folder / LOCK)
        try:
            self._kept = _read(self.path)
            self._descriptor = _open_to_append(self.path)
        except BaseException:
            self._lock.release()
            raise

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: str) -> Measured | None:
        """What is known under a key."""
        return self._kept.get(key)

    def add(self, key: str, measured: Measured) -> None:
        """Keep a result. It survives the end of this process at once, and that of power after `sync`."""
        self._kept[key] = measured
        line = json.dumps(_plain(key, measured), separators=(",", ":"), allow_nan=False) + "\n"
        try:
            write_all(self._descriptor, line.encode())
        except OSError as error:
            raise StudyError(f"can't write {self.path}: {error.strerror}; nothing written is lost") from error

    def sync(self) -> None:
        """Make everything so far durable."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Make everything durable and let go of the folder."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open_to_append(path: Path) -> int:
    try:
        return open_own(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except OSError as error:
        raise StudyError(f"can't write {path}: {error.strerror}") from error


def _read(path: Path) -> dict[str, Measured]:
    """Everything in the file; a torn last line is cut off."""
    kept: dict[str, Measured] = {}
    whole = 0
    try:
        with open_regular(path, MAX_BYTES) as file:
            for number in count(1):
                line = file.readline(MAX_LINE + 1)
                if len(line) > MAX_LINE:
                    raise _damaged(f"{path}:{number}", f"expected a line of at most {MAX_LINE:,} bytes")
                if not line.endswith(b"\n"):
                    break
                key, measured = _parse(line, f"{path}:{number}")
                kept[key] = measured
                whole += len(line)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StudyError(f"can't read {path}: {error.strerror}") from error
    if line:
        _cut(path, whole)
    return kept


def _cut(path: Path, length: int) -> None:
    try:
        descriptor = open_own(path, os.O_WRONLY)
        try:
            os.ftruncate(descriptor, length)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StudyError(f"can't write {path}: {error.strerror}") from error


def _parse(line: bytes, where: str) -> tuple[str, Measured]:
    try:
        data = from_json(line)
    except ValueError as error:
        raise _damaged(where, f"it is not JSON ({error})") from None
    if not isinstance(data, dict) or data.keys() != set(_FIELDS):
        raise _damaged(where, f"expected an object with {', '.join(_FIELDS)}")
    try:
        status = Status[data["status"]]
        metric = _number(data["metric"])
        curve = tuple(_number(value) for value in data["curve"])
        measured = Measured(status, metric, _whole(data["steps"]), float(data["seconds"]), curve)
        key = data["key"]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _damaged(where, f"a value is wrong ({error})") from None
    if status not in _KEPT or not isinstance(key, str) or (status is Status.OK) != math.isfinite(metric):
        raise _damaged(where, f"status {status.name} with metric {data['metric']} and key {key!r}")
    return key, measured


def _damaged(where: str, why: str) -> StudyError:
    return StudyError(f"{where} is damaged: {why}; restore the file from a copy, or remove that line")


def _plain(key: str, measured: Measured) -> dict[str, Any]:
    return {
        "key": key,
        "status": measured.status.name,
        "metric": _or_null(measured.metric),
        "steps": measured.steps,
        "seconds": round(measured.seconds, 6),
        "curve": [_or_null(value) for value in measured.curve],
    }


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: object) -> float:
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected a number or null, found {value!r}")
    return float(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, found {value!r}")
    return value
