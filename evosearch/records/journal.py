"""The journal: outcomes that are not in parts yet, a line each.

A line is the CRC32 of the JSON after it, as 8 hex digits; a space; strict JSON; a newline. The JSON is
`[id, status, metrics, hurdles, seeds, steps, seconds]`. Floats are written so that they read back exactly;
infinite ones and NaN, which JSON hasn't, are the strings "inf", "-inf" and "nan".

A crash can only break the end of an append-only file. So broken lines at the end are dropped, and a broken
line with a good one after it is damage that a person must hear of.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from zlib import crc32

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.records.files import open_own, readable, writable, write_all, write_atomically
from evosearch.records.row import Evaluation
from evosearch.regular_files import open_regular

MAX_BYTES, MAX_LINES, MAX_LINE = 1 << 28, 1_000_000, 1 << 24
"""More is no journal: parts take its lines away after 20,000 rows, and a line has a few hundred bytes."""

_SPILL = 1 << 16

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def encode_line(evaluation: Evaluation) -> bytes:
    """The line of an evaluation, newline included."""
    id_, seeds, outcome = evaluation
    status, numbers = outcome.status.name, (outcome.steps, outcome.seconds)
    text = _encode((id_, status, outcome.metrics, outcome.hurdles, seeds, *numbers))
    # No string in it contains these words, so only numbers are replaced.
    text = text.replace("-Infinity", '"-inf"').replace("Infinity", '"inf"').replace("NaN", '"nan"')
    body = text.encode()
    return b"%08x %s\n" % (crc32(body), body)


def _refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


def _tuples(nested: Any) -> Any:
    if isinstance(nested, list):
        return tuple(map(_tuples, nested))
    return _NOT_FINITE[nested] if isinstance(nested, str) else nested


def intact(line: bytes) -> bool:
    """Whether a line (without its newline) has the checksum that it says."""
    return line[8:9] == b" " and line[:8] == b"%08x" % crc32(line[9:])


def decode_line(line: bytes) -> Evaluation:
    """The evaluation of an intact line.

    Raises:
        ValueError, KeyError, TypeError: it is not what `encode_line` writes.
    """
    id_, status, *rest = json.loads(line[9:], parse_constant=_refuse)
    metrics, hurdles, seeds, steps, seconds = map(_tuples, rest)
    return Evaluation(int(id_), seeds, Outcome(Status[status], metrics, hurdles, steps, seconds))


def read_journal(path: Path) -> tuple[list[Evaluation], bool]:
    """The evaluations in a journal, and whether a broken end was left out.

    Raises:
        RunError: a line is damaged that is not at the end, or is of another version; or the file is larger
            than a search writes: `MAX_BYTES`, `MAX_LINES`, `MAX_LINE`.
    """
    evaluations: list[Evaluation] = []
    broken = 0
    for number, line in enumerate(_lines(path), start=1):
        if not (line.endswith(b"\n") and intact(line[:-1])):
            broken = broken or number
            continue
        if broken:
            raise RunError(
                f"{path}, line {broken}: the checksum does not match, yet a later line is good: no crash "
                "does that. Restore it from a copy, or remove that line: its candidate is evaluated again"
            )
        try:
            evaluations.append(decode_line(line[:-1]))
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise RunError(
                f"{path}, line {number}: not an outcome that this evosearch understands ({error!r:.200}). "
                "Go on with the version that wrote it"
            ) from error
    return evaluations, bool(broken)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines, one in memory at a time, each with its newline."""
    with readable(path), open_regular(path, MAX_BYTES) as file:
        for number in range(MAX_LINES + 1):
            line = file.readline(MAX_LINE + 1)
            if not line:
                return
            if number == MAX_LINES or len(line) > MAX_LINE:
                raise OSError(
                    errno.EFBIG,
                    f"expected at most {MAX_LINES:,} lines of at most {MAX_LINE:,} bytes, found more",
                )
            yield line


def write_journal(path: Path, evaluations: Iterable[Evaluation]) -> None:
    """Give the journal exactly these lines; a crash leaves the old ones or the new ones.

    Raises:
        RunError: the disk is full, ...
    """
    write_atomically(path, b"".join(map(encode_line, evaluations)))


class Journal:
    """The end of a journal where lines are added."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = bytearray()
        self._descriptor = self._open()

    def _open(self) -> int:
        with writable(self._path):
            return open_own(self._path, os.O_WRONLY | os.O_APPEND)

    def append(self, evaluation: Evaluation) -> None:
        """Add a line; durable after the next `sync`."""
        self._buffer += encode_line(evaluation)
        if len(self._buffer) > _SPILL:
            self._spill()

    def _spill(self) -> None:
        with writable(self._path):
            write_all(self._descriptor, self._buffer)
        self._buffer = bytearray()

    def sync(self) -> None:
        """Make every line durable.

        Raises:
            RunError: the disk is full, ...; the end of the file may be broken, so nothing may be added.
        """
        if self._buffer:
            self._spill()
        with writable(self._path):
            os.fsync(self._descriptor)

    def replace(self, evaluations: Iterable[Evaluation]) -> None:
        """Hold only these from now on; see `write_journal`."""
        write_journal(self._path, evaluations)
        old, self._descriptor = self._descriptor, self._open()
        self._buffer = bytearray()
        os.close(old)

    def close(self) -> None:
        """Close the file; lines that were not synced may be lost."""
        os.close(self._descriptor)
