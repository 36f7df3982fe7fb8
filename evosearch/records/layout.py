"""Where things are in a run folder, and whether a folder is a run at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from evosearch.errors import RunError
from evosearch.json_text import from_json
from evosearch.records.files import TEMPORARY, read_text, readable
from evosearch.regular_files import read_regular

SCHEMA = 1
"""Version of the folder's layout and of the columns; a newer one is refused, an older one is only read."""

SCHEMA_TEXT = f'{{"schema": {SCHEMA}}}\n'
"""What `schema.json` says."""

_MAX_SCHEMA = 10_000

_PART = re.compile(r"part-([0-9]{9,})\.parquet")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of a run folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved YAML; the folder is a run once it is there."""
        return self.root / "config.yaml"

    @property
    def schema(self) -> Path:
        """The version of the layout."""
        return self.root / "schema.json"

    @property
    def journal(self) -> Path:
        """Outcomes not yet in parts."""
        return self.root / "journal"

    @property
    def lock(self) -> Path:
        """Held by the writer."""
        return self.root / "lock"

    @property
    def best(self) -> Path:
        """The best program so far, as text."""
        return self.root / "best.py"

    @property
    def summary(self) -> Path:
        """Totals of the run."""
        return self.root / "summary.json"

    @property
    def candidates(self) -> Path:
        """The folder of the history's parts."""
        return self.root / "candidates"

    @property
    def evaluations(self) -> Path:
        """The folder of the outcomes' parts."""
        return self.root / "evaluations"

    def leftovers(self) -> list[Path]:
        """Temporary files that a crash left behind."""
        whole = (self.config, self.schema, self.journal, self.best, self.summary)
        named = [path.with_name(path.name + TEMPORARY) for path in whole]
        parts = [
            path
            for folder in (self.candidates, self.evaluations)
            for path in folder.glob(f"part-*.parquet{TEMPORARY}")
        ]
        return [path for path in named if path.exists() or path.is_symlink()] + parts

    def check_own(self) -> None:
        """Refuse to write where something of the run is a symbolic link: what it points to is not the run's.

        The folder itself may be one. Reading follows links: data sets are often kept behind them.

        Raises:
            RunError: which one.
        """
        single = (self.config, self.schema, self.journal, self.lock, self.best, self.summary)
        for path in (*single, self.candidates, self.evaluations):
            if path.is_symlink():
                raise RunError(
                    f"{path} is a symbolic link, and nothing is written through one: put what it points to "
                    "in its place, or take another --out"
                )

    def check_free(self) -> None:
        """Refuse to start a run in a folder that holds anything but what a broken-off start leaves.

        Raises:
            RunError: it holds something else, which may be a run.
        """
        with readable(self.root):
            if not self.root.exists():
                return
            if not self.root.is_dir():
                raise RunError(f"{self.root} is a file, expected a folder: take another --out")
            self.check_own()
            ours = {path.name for path in self.leftovers()} | {self.lock.name}
            others = [path for path in sorted(self.root.iterdir()) if path.name not in ours]
            for path in others:
                if path == self.schema and read_regular(path, _MAX_SCHEMA) == SCHEMA_TEXT.encode():
                    continue
                empty = not (any(path.iterdir()) if path.is_dir() else path.stat().st_size)
                if path not in (self.candidates, self.evaluations, self.journal) or not empty:
                    raise RunError(
                        f"{self.root} is not empty (it holds {path.name}): "
                        "use --resume to go on with the run there, or another --out"
                    )

    def check_run(self, *, write: bool = False) -> None:
        """Refuse what is not a run, or one of a newer schema; to `write`, also one of an older schema.

        Raises:
            RunError: with what is missing and what to do.
        """
        with readable(self.root):
            exists, made = self.root.exists(), self.config.is_file()
        if not exists:
            raise RunError(f"there is no run at {self.root}: check the path, or start one without --resume")
        if not made:
            raise RunError(f"{self.root} is not a run: it has no {self.config.name}")
        try:
            found = from_json(read_text(self.schema, _MAX_SCHEMA))["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f'{self.schema} is damaged: expected {{"schema": {SCHEMA}}} or lower; restore it from a copy'
            ) from error
        if type(found) is not int or not 1 <= found <= SCHEMA:
            raise RunError(
                f"{self.root} has schema {found!r}, and this evosearch knows 1 to {SCHEMA}: "
                "open it with the version that made it, or a newer one"
            )
        if write:
            self.check_own()
        if write and found < SCHEMA:
            raise RunError(
                f"{self.root} has schema {found}, and this evosearch writes {SCHEMA}: it opens read-only "
                "here (inspect, export, funnel); go on with the version that made it, or start a new run"
            )


def part_name(first: int) -> str:
    """The name of the part whose first candidate has this id.

    >>> part_name(20000)
    'part-000020000.parquet'
    """
    return f"part-{first:09d}.parquet"


def parts_in(folder: Path) -> dict[int, Path]:
    """The parts in a folder, by first id, in order.

    Raises:
        RunError: the folder can't be read.
    """
    with readable(folder):
        found = {int(match[1]): path for path in folder.iterdir() if (match := _PART.fullmatch(path.name))}
    return dict(sorted(found.items()))
