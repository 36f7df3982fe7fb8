"""Writing a run: the one process that searches."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome
from evosearch.records.columns import Columns
from evosearch.records.files import Lock, make_folder, read_text, remove, write_atomically
from evosearch.records.gathered import Gathered
from evosearch.records.journal import Journal, read_journal, write_journal
from evosearch.records.layout import SCHEMA_TEXT, Layout, parts_in
from evosearch.records.outcomes import OutcomeReader
from evosearch.records.parts import read_candidates, read_parts, write_part
from evosearch.records.row import Evaluation, Row

ROWS_PER_PART = 20_000


class RunWriter:
    """Records a search. Made by `create` or `resume`; a context manager that closes itself.

    The search acknowledges a job's outcome, syncs when it pleases, and adds each candidate's row, in the
    order of ids, after the outcome that the row tells of. On resume it does all that again from the
    beginning, with the outcomes that `outcomes` hands out instead of acknowledging them: rows that are on
    disk already are skipped.

    After an error of the disk the writer refuses everything but `close`; `resume` goes on from there.

    Attributes:
        path: the run's folder.
        config_text: the content of `config.yaml`.
    """

    def __init__(self, layout: Layout, lock: Lock, rows_per_part: int) -> None:
        """Open a run whose lock is held; see `create` and `resume`."""
        self.path = layout.root
        self.config_text = read_text(layout.config)
        self._layout = layout
        self._lock = lock
        self._rows_per_part = rows_per_part
        self._failure = ""
        self._closed = False
        self._gathered = Gathered()
        self._next = 0
        self._parts = read_parts(layout)
        self._set_durable()
        found, broken = read_journal(layout.journal)
        self._pending: dict[int, Evaluation] = {}
        for evaluation in found:
            if not 0 <= evaluation.id < self._durable:
                self._pending.setdefault(evaluation.id, evaluation)
        if broken or len(self._pending) < len(found):
            write_journal(layout.journal, self._pending.values())
        self._clear_leftovers()
        self._journal = Journal(layout.journal)

    @classmethod
    def create(cls, path: Path | str, config_text: str, *, rows_per_part: int = ROWS_PER_PART) -> Self:
        """Start a run in a new or empty folder.

        Args:
            path: the folder; those above it are made if they are missing.
            config_text: the content of `config.yaml`.
            rows_per_part: how many rows are gathered before they are written.

        Raises:
            RunError: the folder is not empty, in use, or can't be written.
        """
        layout = Layout(Path(path))
        layout.check_free()
        make_folder(layout.root)
        lock = Lock(layout.lock)
        with _released_on_error(lock):
            layout.check_free()
            make_folder(layout.candidates)
            make_folder(layout.evaluations)
            write_atomically(layout.journal, b"")
            write_atomically(layout.schema, SCHEMA_TEXT.encode())
            write_atomically(layout.config, config_text.encode())
            return cls(layout, lock, rows_per_part)

    @classmethod
    def resume(cls, path: Path | str, *, rows_per_part: int = ROWS_PER_PART) -> Self:
        """Go on with a run, however it ended.

        Raises:
            RunError: there is no run, it is in use, damaged, or of another schema.
        """
        layout = Layout(Path(path))
        layout.check_run(write=True)
        lock = Lock(layout.lock)
        with _released_on_error(lock):
            writer = cls(layout, lock, rows_per_part)
            for part in writer._parts:
                read_candidates(part)  # nobody needs these rows, but damage should be heard of now
            return writer

    @property
    def durable_rows(self) -> int:
        """How many rows are in `candidates/`; the replay's rows below this are not written again."""
        return self._durable

    def outcomes(self) -> OutcomeReader:
        """The outcomes recorded so far."""
        return OutcomeReader(self._parts, self._pending.values())

    def acknowledge(self, id: int, seeds: Sequence[Sequence[int]], outcome: Outcome) -> None:
        """Record what came out of a candidate's job; it is durable after the next `sync` or `flush`.

        Args:
            id: the candidate's; negative for the warm start's jobs.
            seeds: that it was trained with [task][seed].
            outcome: of the job.

        Raises:
            ValueError: that id has an outcome already, or its row is on disk.
            RunError: the disk is full, ...
        """
        if self._failure:
            raise RunError(self._failure)
        if id in self._pending or 0 <= id < self._durable:
            raise ValueError(f"the outcome of candidate {id} was recorded before")
        evaluation = Evaluation(id, tuple(map(tuple, seeds)), outcome)
        self._pending[id] = evaluation
        try:
            self._journal.append(evaluation)
        except RunError as error:
            self._failure = str(error)
            raise

    def sync(self) -> None:
        """Make every acknowledged outcome durable: it survives a power loss from here on.

        Raises:
            RunError: the disk is full, ...
        """
        with self._guarded():
            self._journal.sync()

    def add(self, row: Row) -> None:
        """Record the next row of the history; every `rows_per_part` rows this writes a part.

        Raises:
            ValueError: it is not the next id.
            RunError: the row is on disk already and was another program; or the disk is full, ...
        """
        if row.id != self._next:
            raise ValueError(f"rows come in order: expected id {self._next}, found {row.id}")
        self._next += 1
        if row.id < self._durable:
            self._compare(row.id, row.hash)
            return
        self._gathered.add(row)
        if self._gathered.count >= self._rows_per_part:
            self.flush()

    def add_columns(self, columns: Columns) -> None:
        """Record many rows at once; the same as `add` of each.

        Raises:
            ValueError: they do not begin with the next id.
            RunError: as of `add`.
        """
        if columns.first != self._next:
            raise ValueError(f"rows come in order: expected id {self._next}, found {columns.first}")
        end = columns.first + columns.count
        hashes = columns.columns["hash"]
        assert isinstance(hashes, np.ndarray), "a hash is bytes"
        for number in self._known:
            if columns.first <= number < min(end, self._durable):
                self._compare(number, hashes[number - columns.first].tobytes())
        place = max(0, self._durable - columns.first)
        self._next = end if place >= columns.count else columns.first + place
        while self._next < end:
            room = self._rows_per_part - self._gathered.count
            stop = min(columns.count, place + room)
            self._gathered.extend(columns, place, stop)
            self._next, place = columns.first + stop, stop
            if self._gathered.count >= self._rows_per_part:
                self.flush()

    def flush(self) -> None:
        """Write what was added as a part now, for readers; each call leaves a part, so not too often.

        Raises:
            RunError: the disk is full, ...
        """
        with self._guarded():
            self._journal.sync()
            if not self._gathered.count:
                return
            end = self._next
            done = [e for e in sorted(self._pending.values()) if 0 <= e.id < end]
            part = write_part(self._layout, self._gathered.take(), done)
            self._journal.replace(e for e in self._pending.values() if not 0 <= e.id < end)
            self._parts.append(part)
            self._set_durable()
            for evaluation in done:
                del self._pending[evaluation.id]

    def write_config(self, text: str) -> None:
        """Replace `config.yaml`.

        Raises:
            RunError: the disk is full, ...
        """
        with self._guarded():
            write_atomically(self._layout.config, text.encode())
            self.config_text = text

    def write_best(self, text: str) -> None:
        """Replace `best.py`.

        Raises:
            RunError: the disk is full, ...
        """
        with self._guarded():
            write_atomically(self._layout.best, text.encode())

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace `summary.json`; infinite numbers are not JSON, so leave them out.

        Raises:
            ValueError: there is a number that is not finite.
            RunError: the disk is full, ...
        """
        with self._guarded():
            write_atomically(self._layout.summary, _json(summary))

    def close(self) -> None:
        """Sync the journal and let go of the run. Rows since the last `flush` are left to the replay."""
        if self._closed:
            return
        try:
            if not self._failure:
                self.sync()
        finally:
            self._failure = f"{self.path} is closed"
            self._closed = True
            self._journal.close()
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """After a failed write the end of the journal may be broken: nothing may be added to it any more."""
        if self._failure:
            raise RunError(self._failure)
        try:
            yield
        except RunError as error:
            self._failure = str(error)
            raise

    def _set_durable(self) -> None:
        self._durable = self._parts[-1].end if self._parts else 0
        self._known = {part.end - 1: part.last_hash for part in self._parts}

    def _clear_leftovers(self) -> None:
        covered = {part.first for part in self._parts}
        orphans = [path for first, path in parts_in(self._layout.evaluations).items() if first not in covered]
        for path in self._layout.leftovers() + orphans:
            remove(path)

    def _compare(self, number: int, digest: bytes) -> None:
        """Whether a row that is on disk is what it was; the last of each part is looked at.

        Raises:
            RunError: it was another program.
        """
        known = self._known.get(number, digest)
        if known != digest:
            raise RunError(
                f"{self.path} can't be continued: candidate {number} is another program now (hash "
                f"{digest.hex()}) than in the run ({known.hex()}). The run was made by another version of "
                "evosearch or on another kind of machine: go on there, or take another --out"
            )


@contextlib.contextmanager
def _released_on_error(lock: Lock) -> Iterator[None]:
    try:
        yield
    except BaseException:
        lock.release()
        raise


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
