"""The YAML of a search as values: every key, its default, its limits.

Unknown keys are errors that name the nearest known one. Paths are resolved against the current folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from evosearch.config.reading import read_document, validated, where
from evosearch.config.sections import (
    Count,
    Many,
    Positive,
    Section,
    Seed,
    SeededTaskConfig,
    Share,
    Weight,
    WorkersConfig,
    check_data,
    find_program,
)
from evosearch.config.yaml_file import Document
from evosearch.errors import ConfigError, ProgramError
from evosearch.evaluation import Plan
from evosearch.evaluation.flow import Capacity
from evosearch.evolution import Budget, HurdleRules, Restarts, Rules, SeedRules
from evosearch.language import Program, analyze, builtin_names
from evosearch.language.mutation import ConstantRules, MutationRules
from evosearch.language.vocabulary import vocabulary


class ConstantsConfig(Section):
    """How mutation draws constants."""

    share: float = Field(0.3, ge=0, le=1, description="Chance that a random argument is a constant.")
    std: Positive = Field(1.0, description="A new constant is normal with this standard deviation.")
    scale_share: float = Field(
        0.5, ge=0, le=1, description="Chance that a change to a constant multiplies it by 2**a."
    )
    scale_std: Positive = Field(1.0, description="Standard deviation of a.")


class MutationConfig(Section):
    """Weights of the kinds of mutation, and limits."""

    insert: Weight = Field(1.0, description="Weight of inserting a statement.")
    modify: Weight = Field(1.0, description="Weight of changing one argument of a statement.")
    delete: Weight = Field(1.0, description="Weight of deleting a statement.")
    max_statements: int = Field(40, ge=1, le=1000, strict=True, description="No program grows beyond this.")
    constants: ConstantsConfig = ConstantsConfig()

    @model_validator(mode="after")
    def _some_weight(self) -> MutationConfig:
        if self.insert + self.modify + self.delete <= 0:
            raise ValueError("expected at least one of insert, modify, delete above 0")
        return self


class RestartsConfig(Section):
    """Rounds of runs; the first round starts from the warm start, the others from the best so far."""

    rounds: Count = Field(1, description="How many rounds.")
    runs: Count = Field(1, description="Independent runs in each round.")
    programs: Count | None = Field(
        None, description="Programs in each run; by default budget.programs / (rounds x runs)."
    )
    patience: Count | None = Field(
        None, description="End a run when its best has not improved for so many programs."
    )


class BudgetConfig(Section):
    """When the search ends: whichever limit is reached first."""

    programs: Count | None = Field(None, description="Programs generated.")
    evaluations: Count | None = Field(None, description="Programs (or further seeds of one) evaluated.")
    steps: Count | None = Field(None, description="Training steps done.")
    minutes: Positive | None = Field(None, description="Wall-clock time.")

    @model_validator(mode="after")
    def _some_limit(self) -> BudgetConfig:
        if all(limit is None for limit in (self.programs, self.evaluations, self.steps, self.minutes)):
            raise ValueError("expected a limit: one of programs, evaluations, steps, minutes")
        return self


class SearchSection(Section):
    """How programs are generated and selected."""

    method: Literal["evolution", "constants", "random"] = Field(
        "evolution", description="`constants` tunes the warm start's constants; `random` draws programs."
    )
    population: Many = Field(200, description="Programs alive.")
    tournament: Many = Field(
        2, description="Programs drawn, the best of whom is the parent; 1: no selection."
    )
    lag: Many = Field(
        128, description="Child k is bred from the population after children up to k - lag: 1 is sequential."
    )
    mutation: MutationConfig = MutationConfig()
    restarts: RestartsConfig = RestartsConfig()
    budget: BudgetConfig
    fingerprint: bool = Field(True, strict=True, description="Programs that behave alike share a score.")
    cache: Many = Field(
        20_000,
        description="Distinct programs whose scores are remembered at least, the latest ones; at most twice "
        "as many. A forgotten program is scored again if it is bred again.",
    )


class SeedsConfig(Section):
    """Which seeds of the pools a candidate is trained with."""

    policy: Literal["fixed", "fresh", "accumulating"] = Field(
        "fixed", description="All of the pool; some drawn for each; or one more each time it is bred again."
    )
    start: Many = Field(1, description="Seeds of a new candidate (fresh, accumulating).")
    most: Many | None = Field(None, description="Most seeds (accumulating); by default the whole pool.")
    penalty: Weight = Field(
        0.0, description="n seeds score worse by penalty / sqrt(n) of the warm start's score (accumulating)."
    )


class HurdlesConfig(Section):
    """Training is cut where it is clearly worse than the population."""

    at: list[Share] = Field([0.25, 0.5], description="After which shares of the steps; may be empty.")
    seeds: bool = Field(
        True, strict=True, description="Whether each seed's metric is a hurdle before the next seed or task."
    )
    quantile: float = Field(0.5, ge=0, le=1, description="Of the population's running losses there.")
    slack: Weight = Field(0.05, description="The threshold is that quantile times 1 + slack.")


class EvaluationSection(Section):
    """How a candidate is scored."""

    way: Literal["interpreter", "compiled"] = Field(
        "interpreter", description="Programs as data, or one compilation for each (large tasks)."
    )
    interpreter: Literal["auto", "native", "xla", "batched"] = Field(
        "auto",
        description="Machine code (needs a C compiler), XLA alone, or many trainings at once (GPUs); "
        "`auto`: batched on a GPU, else native where possible.",
    )
    batch: int = Field(
        64,
        ge=2,
        le=4096,
        strict=True,
        description="Trainings at once (batched). A search.lag of 20 to 40 times as many keeps batches full. "
        "Another number may round the last digits otherwise, and so be another history.",
    )
    lr_factors: list[Positive] = Field(
        [1.0], min_length=1, description="Each candidate is trained at each factor and scored at its best."
    )
    factor_slack: Weight | None = Field(
        None, description="Share by which a factor may be worse than the best and still get further seeds."
    )
    seeds: SeedsConfig = SeedsConfig()
    hurdles: HurdlesConfig | None = Field(HurdlesConfig(), description="null: no training is cut.")
    timeout: Positive = Field(300.0, description="Seconds after which a candidate is stopped (Ray).")
    retries: int = Field(2, ge=0, strict=True, description="Retries of a candidate whose worker died.")


class ReportSection(Section):
    """What happens after the search: references tuned on the same seeds, and everyone on fresh seeds."""

    references: bool = Field(True, strict=True, description="Whether to tune AdamW and Lion.")
    settings: Many = Field(200, description="Settings tried for each reference.")
    seeds: int = Field(16, ge=2, le=100_000, strict=True, description="Fresh seeds for the final comparison.")


class VocabularyConfig(Section):
    """The primitives that mutation may insert."""

    base: str = Field("paper", description="`paper` (43) or `all` (45).")
    include: list[str] = Field([], description="Primitives to add.")
    exclude: list[str] = Field([], description="Primitives to leave out.")


class Config(Section):
    """A search. `made_with` is what a run's own `config.yaml` adds; it is not read."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Names the run's folder.")
    seed: Seed = Field(0, description="Of all random numbers.")
    warm_start: str = Field("adamw", description="A shipped program, a path, or a program's text.")
    vocabulary: str | VocabularyConfig = Field("paper", description="`paper`, `all`, or the keys below.")
    tasks: list[SeededTaskConfig] = Field(min_length=1)
    search: SearchSection
    evaluation: EvaluationSection = EvaluationSection()
    workers: WorkersConfig = WorkersConfig()
    report: ReportSection = ReportSection()
    made_with: dict[str, Any] | None = Field(None, exclude=True)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        seeds = self.evaluation.seeds
        smallest = min(len(task.pool) for task in self.tasks)
        wanted = max(seeds.start, seeds.most or 1)
        if seeds.policy != "fixed" and wanted > smallest:
            raise ValueError(
                f"evaluation.seeds asks for {wanted} seeds, but the smallest pool of a task has {smallest}: "
                "raise tasks[].seeds"
            )
        if seeds.policy == "fixed" and len({len(task.pool) for task in self.tasks}) > 1:
            raise ValueError("with evaluation.seeds.policy fixed all tasks need equally many seeds")
        restarts, budget = self.search.restarts, self.search.budget
        several = restarts.rounds * restarts.runs > 1
        if several and not (restarts.programs or restarts.patience or budget.programs):
            raise ValueError(
                "several runs need search.restarts.programs or patience, or search.budget.programs"
            )
        return self

    # -------------------------------------------------------------- what the parts need

    def program(self) -> Program:
        """The warm start. Raises ProgramError."""
        return find_program(self.warm_start)

    def primitives(self) -> tuple[str, ...]:
        """Canonical names of the vocabulary. Raises ConfigError."""
        if isinstance(self.vocabulary, str):
            return vocabulary(self.vocabulary)
        return vocabulary(self.vocabulary.base, self.vocabulary.include, self.vocabulary.exclude)

    def plan(self) -> Plan:
        """What evaluators need to know."""
        hurdles = self.evaluation.hurdles
        return Plan(
            tasks=tuple(task.plan() for task in self.tasks),
            factors=tuple(self.evaluation.lr_factors),
            factor_slack=self.evaluation.factor_slack,
            hurdles=tuple(hurdles.at) if hurdles else (),
            way=self.evaluation.way,
            capacity=Capacity(max(self.search.mutation.max_statements, 40)),
            interpreter=self.evaluation.interpreter,
            batch=self.evaluation.batch,
        )

    def rules(self) -> Rules:
        """What the history follows from."""
        section, seeds, hurdles = self.search, self.evaluation.seeds, self.evaluation.hurdles
        pools = tuple(task.pool for task in self.tasks)
        mutation, restarts = section.mutation, section.restarts
        constants_only = section.method == "constants"
        per_run = restarts.programs
        runs = restarts.rounds * restarts.runs
        if per_run is None and runs > 1 and section.budget.programs is not None:
            per_run = max(1, section.budget.programs // runs)
        return Rules(
            seed=self.seed,
            method=section.method,
            population=section.population,
            tournament=section.tournament,
            lag=section.lag,
            mutation=MutationRules(
                weights=(("modify", 1.0),)
                if constants_only
                else (
                    ("insert", mutation.insert),
                    ("modify", mutation.modify),
                    ("delete", mutation.delete),
                ),
                primitives=self.primitives(),
                max_statements=mutation.max_statements,
                constants=ConstantRules(**mutation.constants.model_dump()),
                constants_only=constants_only,
            ),
            restarts=Restarts(restarts.rounds, restarts.runs, per_run, restarts.patience),
            budget=Budget(section.budget.programs, section.budget.evaluations, section.budget.steps),
            seeds=SeedRules(
                policy=seeds.policy,
                pools=pools,
                start=seeds.start,
                most=seeds.most or min(len(pool) for pool in pools),
                penalty=seeds.penalty,
            ),
            hurdles=HurdleRules(len(hurdles.at), hurdles.quantile, hurdles.slack, hurdles.seeds)
            if hurdles
            else HurdleRules(),
            fingerprint=section.fingerprint,
            factor_slack=self.evaluation.factor_slack,
            cache=section.cache,
        )


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a search's YAML.

    Args:
        path: the file.
        overrides: `a.b.0.c=value`, applied before the check.

    Raises:
        ConfigError: `FILE:LINE: key: what was expected, what was found, what to do`.
    """
    return make_config(read_document(path, overrides), str(path))


def make_config(document: Document, source: str) -> Config:
    """Check data against the schema, tasks and programs included; see `load_config`."""
    return _checked(parsed_config(document, source), document, source)


def parsed_config(document: Document, source: str) -> Config:
    """Check data against the schema alone: no file that it names is looked at, nothing is built.

    Raises:
        ConfigError: as in `load_config`.
    """
    return validated(Config, document, source, "name, tasks and search")


def _checked(config: Config, document: Document, source: str) -> Config:
    """Look at what the schema can't know: tasks and their data, programs, primitives."""
    check_data(config.tasks, document, ("tasks",), source)
    try:
        config.primitives()
    except ConfigError as error:
        raise ConfigError(f"{where(document, ('vocabulary',), source)}: {error}") from None
    try:
        program = config.program()
    except ProgramError as error:
        raise ConfigError(f"{where(document, ('warm_start',), source)}: {error}") from None
    refusal = analyze(program.statements).refusal
    longest = config.search.mutation.max_statements
    if refusal is not None or len(program) > longest:
        at = "" if refusal is None or refusal.statement is None else f" (statement {refusal.statement + 1})"
        why = f"it has {len(program)} statements, more than search.mutation.max_statements = {longest}"
        why = f"{refusal.reason}{at}" if refusal else why
        at_line = where(document, ("warm_start",), source)
        raise ConfigError(f"{at_line}: the warm start can't be used: {why}")
    if config.warm_start not in builtin_names():
        config = config.model_copy(update={"warm_start": str(program)})
    tasks = [
        task.model_copy(update=dict(task.plan().knobs)) if task.model_extra else task for task in config.tasks
    ]
    return config.model_copy(update={"tasks": tasks})


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as plain data with every default written out."""
    return config.model_dump(mode="json")


__all__ = ["Config", "find_program", "load_config", "make_config", "parsed_config", "resolved"]
