"""What the YAML of a search and that of a funnel have in common: tasks, schedules, workers, programs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from evosearch.config.reading import where
from evosearch.config.yaml_file import Document
from evosearch.errors import ConfigError, ProgramError, nearest
from evosearch.evaluation import Schedule, TaskPlan
from evosearch.language import Program, builtin, builtin_names, parse, read_program
from proxy_tasks import TaskError

Count = Annotated[int, Field(ge=1, strict=True)]
Many = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]
"""A count of things that are kept in memory."""
PoolSize = Annotated[int, Field(ge=1, le=100_000, strict=True)]
Share = Annotated[float, Field(gt=0, lt=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class Section(BaseModel):
    """A mapping of the YAML: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScheduleConfig(Section):
    """Learning-rate schedule."""

    kind: Literal["constant", "cosine", "linear"] = Field("cosine", description="What follows the warm-up.")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of the steps that the linear warm-up takes.")


class TaskConfig(Section):
    """A proxy task; every further key is a knob of the task, as `evosearch tasks` lists them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(description="A row of `evosearch tasks`.")
    schedule: ScheduleConfig = Field(ScheduleConfig(), description="Of the learning rate.")
    clip: Positive | None = Field(
        None, description="Gradients are scaled down to this global norm; by default never."
    )

    def plan(self) -> TaskPlan:
        """What an evaluator needs to know of this task."""
        knobs = dict(self.model_extra or {})
        if isinstance(knobs.get("path"), str):
            knobs["path"] = str(Path(knobs["path"]).absolute())
        schedule = Schedule(self.schedule.kind, self.schedule.warmup)
        return TaskPlan(self.name, tuple(knobs.items()), schedule, self.clip)


class SeededTaskConfig(TaskConfig):
    """A proxy task of a search; every further key is a knob of the task, as `evosearch tasks` lists them."""

    seeds: PoolSize | list[Seed] = Field(4, description="Pool of seeds: a list, or how many.")

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: int | list[int]) -> int | list[int]:
        if isinstance(seeds, list) and (not seeds or len(set(seeds)) < len(seeds)):
            raise ValueError(f"expected one or more different seeds, found {seeds}")
        return seeds

    @property
    def pool(self) -> tuple[int, ...]:
        """The seeds that candidates may be trained with."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else tuple(self.seeds)


class WorkersConfig(Section):
    """Who computes."""

    backend: Literal["ray", "in_process"] = Field("ray", description="`in_process` is for debugging.")
    count: Many | Literal["auto"] = Field(
        "auto", description="Workers; auto is one for each core, and more when nodes join the cluster."
    )
    address: str | None = Field(None, description="A Ray cluster to join; by default a local one.")


def check_data(
    tasks: Sequence[TaskConfig], document: Document, path: tuple[str | int, ...], source: str
) -> None:
    """Build each task's data once, so that what is wrong with it is told before anything is trained.

    Args:
        tasks: of one list of the YAML.
        document: where the list stands.
        path: the list's place in the document.
        source: the file's name, for messages.

    Raises:
        ConfigError: with the line of the first task that can't be built.
    """
    for index, task in enumerate(tasks):
        try:
            task.plan().build().data()
        except TaskError as error:
            raise ConfigError(f"{where(document, (*path, index), source)}: {error}") from None


def find_program(name: str) -> Program:
    """A program by its text, its shipped name, or the path of its file. Raises ProgramError."""
    if "\n" in name:
        return parse(name)
    if name in builtin_names():
        return builtin(name)
    with suppress(OSError):  # such as a name that is too long
        if Path(name).is_file():
            return read_program(Path(name))
    known = ", ".join(builtin_names())
    raise ProgramError(
        f"{name!r} is neither a file nor a shipped program{nearest(name, builtin_names())} (shipped: {known})"
    )
