"""The YAML of a funnel as values: what goes in, and the stages that it passes.

Unknown keys are errors that name the nearest known one. Paths are resolved against the current folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from evosearch.config.reading import read_document, validated, where
from evosearch.config.sections import (
    Count,
    Section,
    Seed,
    TaskConfig,
    WorkersConfig,
    check_data,
    find_program,
)
from evosearch.config.yaml_file import Document
from evosearch.errors import ConfigError, ProgramError, nearest
from evosearch.evaluation.references import PREFIX, REFERENCES
from evosearch.funnel.rules import Best, Better, Rule
from evosearch.study.tuning import Effort


class TuningConfig(Section):
    """How much everybody is tuned on each task of the stage: programs and baselines alike."""

    settings: Count = Field(24, description="Settings of each; 1 leaves programs as they are.")
    finalists: Count = Field(3, description="Settings that get further seeds.")
    more: Count = Field(2, description="Those further seeds.")
    anew: Literal["auto", "stage", "seed"] = Field(
        "auto",
        description="Tune once for the stage, or anew for each seed of the contest, so that the luck of "
        "tuning counts as noise; auto: for each seed where the rule is `better`.",
    )

    def effort(self) -> Effort:
        """For the tuner."""
        finalists = min(self.finalists, self.settings)
        return Effort(self.settings, finalists=finalists, more=self.more if finalists > 1 else 0)


class SeedsConfig(Section):
    """Fresh seeds of the comparison."""

    first: int = Field(4, ge=3, le=1000, strict=True, description="Of everybody, before the first look.")
    most: int = Field(32, ge=3, le=1000, strict=True, description="Of whoever is undecided in the end.")

    @model_validator(mode="after")
    def _rising(self) -> SeedsConfig:
        if self.most < self.first:
            raise ValueError(f"expected most of at least first = {self.first}, found {self.most}")
        return self


class PromoteConfig(Section):
    """Who goes on to the next stage."""

    rule: Literal["better", "best"] = Field(
        "better", description="`better`: than all baselines, with confidence; `best`: the best `most`."
    )
    by: float = Field(0.0, ge=0, lt=1, description="Share of the baseline's metric that must be gained.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="That no program is promoted wrongly.")
    control: Literal["family", "discovery"] = Field(
        "family",
        description="What the error is: the chance of any wrong promotion, or their expected share of all.",
    )
    most: Count = Field(20, description="Survivors at most, the best first.")

    def of(self) -> Rule:
        """For the allocation of seeds."""
        if self.rule == "best":
            return Best(self.most)
        return Better(self.by, self.confidence, self.control)


class StageConfig(Section):
    """One stage: larger tasks, tuned baselines, fresh seeds, and a rule."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Names the stage's files.")
    tasks: list[TaskConfig] = Field(min_length=1)
    baselines: list[str] = Field(["adamw"], min_length=1, description="Optimizers of optax, tuned here.")
    tuning: TuningConfig = TuningConfig()
    seeds: SeedsConfig = SeedsConfig()
    promote: PromoteConfig = PromoteConfig()
    way: Literal["auto", "interpreter", "compiled"] = Field(
        "auto", description="Programs as data, or one compilation for each; auto: where a training repays it."
    )
    budget: Count | None = Field(None, description="Trainings at most, without the report's; by default any.")

    @property
    def tuned_anew(self) -> bool:
        """Whether each seed of the contest has a tuning of its own."""
        anew = self.tuning.anew
        return self.promote.rule == "better" if anew == "auto" else anew == "seed"

    @property
    def trainings_for_a_seed(self) -> int:
        """Of a name on a task, its tuning included where it has one of its own."""
        return 1 + (self.tuning.effort().trainings if self.tuned_anew else 0)

    @field_validator("baselines")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in REFERENCES:
                known = ", ".join(REFERENCES)
                raise ValueError(f"unknown reference {name!r}{nearest(name, REFERENCES)} (known: {known})")
        if len(set(names)) < len(names):
            raise ValueError(f"expected different baselines, found {names}")
        return names


class EntrantsConfig(Section):
    """Which programs of a run go in."""

    pick: Literal["score", "progress"] = Field(
        "score",
        description="`score`: the best ones; `progress`: who was best so far at `count` points of "
        "the run, so that a stage can pick the peak of meta-validation.",
    )
    count: Count = Field(50, description="At most so many programs of each run.")
    per_lineage: Count | None = Field(
        None, description="At most so many that share a parent of the last `relatives` steps; by default any."
    )
    relatives: Count = Field(10, description="Steps back within which programs count as relatives.")
    per_restart: Count | None = Field(None, description="At most so many of each restart; by default any.")
    planted: list[str] = Field(
        [], description="Programs that go in besides: shipped names, paths, or optax:NAME."
    )


class ReportConfig(Section):
    """What is told of the last stage's survivors: unbiased, on data that no stage has seen."""

    seeds: int = Field(16, ge=2, le=1000, strict=True, description="Fresh seeds on the report split.")
    most: Count = Field(5, description="Survivors that are reported, the best first.")


class FunnelConfig(Section):
    """A funnel. `sources` and `made_with` are what a funnel's own `config.yaml` adds; they are not read."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Names the funnel's folder.")
    seed: Seed = Field(0, description="Of all random numbers.")
    entrants: EntrantsConfig = EntrantsConfig()
    stages: list[StageConfig] = Field(min_length=1)
    report: ReportConfig = ReportConfig()
    workers: WorkersConfig = WorkersConfig()
    sources: list[str] | None = Field(None, exclude=True)
    made_with: dict[str, Any] | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _distinct(self) -> FunnelConfig:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"expected different names of stages, found {names}")
        return self


def load_funnel(path: Path, overrides: Sequence[str] = ()) -> FunnelConfig:
    """Read a funnel's YAML.

    Args:
        path: the file.
        overrides: `a.b.0.c=value`, applied before the check.

    Raises:
        ConfigError: `FILE:LINE: key: what was expected, what was found, what to do`.
    """
    return make_funnel(read_document(path, overrides), str(path))


def make_funnel(document: Document, source: str) -> FunnelConfig:
    """Check data against the schema, tasks and programs included; see `load_funnel`."""
    config = validated(FunnelConfig, document, source, "name and stages")
    for index, stage in enumerate(config.stages):
        check_data(stage.tasks, document, ("stages", index, "tasks"), source)
    for name in config.entrants.planted:
        at = where(document, ("entrants", "planted"), source)
        reference = name.removeprefix(PREFIX)
        if reference in REFERENCES and reference != name:
            continue
        if reference != name and not Path(name).exists():
            raise ConfigError(f"{at}: unknown reference {reference!r}{nearest(reference, REFERENCES)}")
        try:
            find_program(name)
        except ProgramError as error:
            raise ConfigError(f"{at}: {error}; optax's optimizers are named {PREFIX}NAME") from None
    return config
