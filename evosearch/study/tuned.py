"""The data file of tuned references: for each task, what tuning found and how that does on fresh data.

`tuned.json` ships with evosearch. Every figure in it can be made again with `evosearch tune`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from evosearch.errors import StudyError
from evosearch.evaluation import Schedule, TaskPlan
from evosearch.evaluation.references import REFERENCES
from evosearch.json_text import from_json
from evosearch.records.files import write_atomically
from evosearch.regular_files import read_regular

SCHEMA = 1

MAX_BYTES = 100_000_000
"""Of a file of records; the shipped one has a hundredth of that."""

Score = FiniteFloat | None
"""A metric, or null where a training failed."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TunedScores(_Part):
    """Metrics of one setting over seeds.

    Attributes:
        mean: over the seeds that trained; null if none did.
        error: its standard error; null with fewer than two.
        scores: for each seed, null where training failed.
    """

    mean: Score
    error: Score
    scores: list[Score]


class ScheduleRecord(_Part):
    """The schedule of the learning rate; see `evaluation.Schedule`."""

    kind: str
    warmup: FiniteFloat


class TunedRecord(_Part):
    """One reference, tuned on one task.

    Attributes:
        task: a row of the table of tasks.
        knobs: what differs from its defaults, a preset other than tiny included.
        schedule: of the learning rate.
        clip: the global norm that gradients were scaled down to, or null.
        reference: a row of the table of references.
        repeat: which of the independent tunings, from 0; each has tuning seeds of its own.
        hyperparameters: the best setting, by name.
        settings: how many settings were tried.
        runs: how many trainings that took.
        edge: hyperparameters whose best value is the last of its grid.
        gap: by how much the second best finalist's mean was worse; null if there was none.
        tuning: the best setting's scores on the tuning seeds, split SEARCH.
        report: its scores on fresh seeds, split REPORT, which tuning never saw.
        steps: training steps of the task.
        seconds_per_step: median over the report's trainings, on `machine`.
        data: fingerprint of the task's data.
        versions: of jax, jaxlib, optax and evosearch.
        machine: the processor.
    """

    task: str
    knobs: dict[str, Any]
    schedule: ScheduleRecord
    clip: FiniteFloat | None
    reference: str
    repeat: int = Field(ge=0)
    hyperparameters: dict[str, FiniteFloat]
    settings: int = Field(ge=1)
    runs: int = Field(ge=1)
    edge: list[str]
    gap: Score
    tuning: TunedScores
    report: TunedScores
    steps: int = Field(ge=1)
    seconds_per_step: float = Field(gt=0)
    data: str
    versions: dict[str, str]
    machine: str

    @model_validator(mode="after")
    def _known(self) -> TunedRecord:
        if self.reference not in REFERENCES:
            raise ValueError(f"unknown reference {self.reference!r}")
        wanted = list(REFERENCES[self.reference].grids)
        if list(self.hyperparameters) != wanted:
            raise ValueError(
                f"{self.reference} has the hyperparameters {wanted}, found {list(self.hyperparameters)}"
            )
        return self

    @property
    def place(self) -> tuple[str, ...]:
        """What no two records of a file have in common."""
        schedule = Schedule(self.schedule.kind, self.schedule.warmup)
        return place_of(
            TaskPlan(self.task, tuple(self.knobs.items()), schedule, self.clip), self.reference, self.repeat
        )

    @property
    def values(self) -> tuple[float, ...]:
        """The hyperparameters in the order of the reference's grids."""
        return tuple(self.hyperparameters.values())


class _File(_Part):
    schema_version: Literal[1] = Field(alias="schema")
    records: list[TunedRecord]


def canonical_knobs(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs as records hold them: sorted, without the preset that is the default.

    >>> canonical_knobs({"steps": 5, "preset": "tiny", "batch": 8})
    {'batch': 8, 'steps': 5}
    """
    return {name: knobs[name] for name in sorted(knobs) if (name, knobs[name]) != ("preset", "tiny")}


def place_of(plan: TaskPlan, reference: str, repeat: int) -> tuple[str, ...]:
    """What the record of a reference on a task is found by; sorts as people expect."""
    setting = [canonical_knobs(dict(plan.knobs)), plan.schedule.kind, plan.schedule.warmup, plan.clip]
    return (plan.name, json.dumps(setting), reference, f"{repeat:06d}")


def shipped_file() -> Path:
    """The file that comes with evosearch."""
    return Path(str(resources.files("evosearch.study"))) / "tuned.json"


def read_tuned(path: Path) -> list[TunedRecord]:
    """The records of a file; none if there is no such file.

    Raises:
        StudyError: it can't be read, is of another version, or a record is wrong: where and why.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"can't read {path}: {error}") from error
    try:
        data = from_json(text)
    except ValueError as error:
        raise StudyError(f"{path}: this is not JSON: {error}") from None
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise StudyError(f"{path}: expected a file of tuned references with schema {SCHEMA}, found {found!r}")
    try:
        records = _File.model_validate(data).records
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise StudyError(f"{path}: {where}: {problem['msg']}, found {problem['input']!r:.80}") from None
    places = [record.place for record in records]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise StudyError(f"{path}: records.{number}: {' '.join(place)} is there twice")
    return records


def write_tuned(path: Path, records: Iterable[TunedRecord]) -> None:
    """Write a file of records, sorted, one a line; after a crash the old file or the new one is there."""
    lines = [
        json.dumps(record.model_dump(), allow_nan=False)
        for record in sorted(records, key=lambda record: record.place)
    ]
    text = '{"schema": %d, "records": [\n%s\n]}\n' % (SCHEMA, ",\n".join(lines))  # noqa: UP031
    write_atomically(path, text.encode())
