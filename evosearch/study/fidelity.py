"""Does a small task say what a large one would? Candidates' ranks on one against their ranks on the other.

Each candidate is trained on each task at its own best learning rate there, since ranks at one shared rate say
nothing (small tasks want larger rates); what is correlated are means over fresh seeds on the report split.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from scipy import stats

from evosearch.errors import StudyError
from evosearch.evaluation import Plan, TaskPlan, Tuned
from evosearch.evaluation.references import REFERENCES, logarithmic
from evosearch.evaluation.settings import with_settings
from evosearch.language import builtin, builtin_names, parse, program_text
from evosearch.records.files import write_atomically
from evosearch.study.climb import climb
from evosearch.study.statistics import Interval, bootstrap
from evosearch.study.trials import Steps, Training, Trials, Work, versions
from evosearch.study.tunable import Candidate
from proxy_tasks import PRESETS, Split

SCHEMA = 1
SEEDS: Mapping[str, int] = {"tiny": 8, "x10": 3, "x100": 2}
"""Fresh seeds of each preset: what is dear gets fewer."""
TUNING_SEED = 9000
"""Learning rates are chosen with this seed and the search split."""

FACTORS = logarithmic(-3, 3, 2, 0)
"""Learning rates of programs: factors on what is written in them."""

Array = NDArray[np.float64]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Who(_Part):
    """A candidate.

    Attributes:
        name: unique.
        origin: where it comes from, in words.
        text: a program, or null.
        reference: a row of the table of references, or null.
        settings: its hyperparameters but for the learning rate, by name.
    """

    name: str
    origin: str
    text: str | None = None
    reference: str | None = None
    settings: dict[str, FiniteFloat] = Field(default_factory=dict)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, or factors, that it may be trained at; half a decade apart."""
        return FACTORS.values if self.reference is None else logarithmic(-4, 1.5, 2, -2).values

    def at(self, rate: float) -> Candidate:
        """What to train."""
        if self.reference is None:
            return with_settings(parse(self.text or "", self.name).statements, factor=rate)
        values = {"lr": rate, **self.settings}
        return Tuned(self.reference, tuple(values[name] for name in REFERENCES[self.reference].grids))


class Standing(_Part):
    """How a candidate does on a task at its best learning rate.

    Attributes:
        candidate: its name.
        task: a row of the table of tasks.
        preset: of the task.
        rate: the learning rate, or factor.
        scores: metrics on the report split, a seed each; null where training failed.
        seconds: of all its trainings here.
        data: fingerprint of the task's data.
    """

    candidate: str
    task: str
    preset: str
    rate: FiniteFloat
    scores: list[FiniteFloat | None]
    seconds: float
    data: str

    @property
    def mean(self) -> float:
        """Over the seeds; infinite if any failed."""
        scores = [score for score in self.scores if score is not None]
        return sum(scores) / len(scores) if len(scores) == len(self.scores) else float("inf")


Index: TypeAlias = Mapping[tuple[str, str, str], Standing]


class FidelityFile(_Part):
    """Everything that was measured; `fidelity.json` ships with evosearch."""

    schema_version: int = SCHEMA
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    candidates: list[Who] = Field(default_factory=list)
    standings: list[Standing] = Field(default_factory=list)

    @property
    def index(self) -> Index:
        """The standings by candidate, task and preset."""
        return {(s.candidate, s.task, s.preset): s for s in self.standings}


def read_fidelity(path: Path) -> FidelityFile:
    """The file, empty if there is none.

    Raises:
        StudyError: it is damaged or of another schema.
    """
    if not path.exists():
        return FidelityFile()
    try:
        return FidelityFile.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise StudyError(
            f"{path}: expected what `evosearch fidelity` wrote, found damage: {first}"
        ) from error


def write_fidelity(path: Path, file: FidelityFile) -> None:
    """Replace the file in one move."""
    rows = file.model_dump()
    lines = {name: "[\n" + ",\n".join(json.dumps(row) for row in rows[name]) + "\n]" for name in _LISTS}
    parts = [
        f'"{name}": {lines[name] if name in lines else json.dumps(value)}' for name, value in rows.items()
    ]
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


_LISTS = ("candidates", "standings")

# ------------------------------------------------------------------------------------------- candidates

_BETAS = {"adamw": ((0.1, 0.001), (0.1, 0.05), (0.2, 0.1)), "lion": ((0.1, 0.01), (0.1, 0.05), (0.2, 0.1))}


def known_candidates() -> list[Who]:
    """Every shipped program, and the references AdamW and Lion at several settings."""
    programs = [
        Who(name=name, origin="shipped", text=program_text(builtin(name).statements))
        for name in builtin_names()
    ]
    references = [
        Who(
            name=f"optax:{name} ({1 - a:g}, {1 - b:g})",
            origin="optax",
            reference=name,
            settings={"decay": 0.1, "one_minus_b1": a, "one_minus_b2": b},
        )
        for name, betas in _BETAS.items()
        for a, b in betas
    ]
    return [*programs, *references]


def sampled_candidates(texts: Sequence[str], count: int, origin: str, seed: int = 0) -> list[Who]:
    """Some of a search's programs.

    Args:
        texts: programs with different hashes, the best first.
        count: how many; they are spread evenly over the ranks, one drawn from each stretch.
        origin: where they come from.
        seed: of the drawing.
    """
    rng = random.Random(f"fidelity {seed} {origin}")
    count = min(count, len(texts))
    edges = [round(i * len(texts) / count) for i in range(count + 1)]
    chosen = [rng.randrange(edges[i], edges[i + 1]) for i in range(count)]
    return [Who(name=f"{origin} rank {place + 1}", origin=origin, text=texts[place]) for place in chosen]


# ------------------------------------------------------------------------------------------ measuring


@dataclass(frozen=True)
class FidelityPlan:
    """What to measure.

    Attributes:
        candidates: these.
        tasks: rows of the table of tasks.
        presets: of `PRESETS`; the smaller first.
    """

    candidates: tuple[Who, ...]
    tasks: tuple[str, ...]
    presets: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """What workers are made for."""
        return Plan(tuple(TaskPlan(t, _knobs(p)) for p in self.presets for t in self.tasks))

    def index(self, task: str, preset: str) -> int:
        """Where a task stands in `plan`."""
        return self.presets.index(preset) * len(self.tasks) + self.tasks.index(task)


def _knobs(preset: str) -> tuple[tuple[str, object], ...]:
    return () if preset == PRESETS[0] else (("preset", preset),)


def measure(
    wanted: FidelityPlan, trials: Trials, path: Path, machine: str
) -> Iterator[tuple[Standing, FidelityFile]]:
    """Measure what the file does not hold; each standing is in the file when it is yielded.

    Smaller presets come first, since each says where the learning rate of the next may lie.
    """
    file = read_fidelity(path)
    names = {who.name for who in file.candidates}
    candidates = [*file.candidates, *(who for who in wanted.candidates if who.name not in names)]
    file = file.model_copy(update={"candidates": candidates, "versions": versions(), "machine": machine})
    for preset in wanted.presets:
        for task in wanted.tasks:
            index = file.index
            data = wanted.plan.tasks[wanted.index(task, preset)].build().data().fingerprint
            works = [
                Work(
                    f"{task} {preset}: {who.name}",
                    6 + SEEDS[preset],
                    _steps(wanted, index, who, task, preset),
                )
                for who in wanted.candidates
                if not _measured(index, who, task, preset, data)
            ]
            for _, standing in trials.run(works):
                standing = standing.model_copy(update={"data": data})
                place = (standing.candidate, standing.task, standing.preset)
                others = [s for s in file.standings if (s.candidate, s.task, s.preset) != place]
                file = file.model_copy(update={"standings": [*others, standing]})
                write_fidelity(path, file)
                yield standing, file


def open_standings(wanted: FidelityPlan, file: FidelityFile) -> int:
    """How many are not in the file yet."""
    every = (
        (who, task, preset) for who in wanted.candidates for task in wanted.tasks for preset in wanted.presets
    )
    index = file.index
    return sum((who.name, task, preset) not in index for who, task, preset in every)


def _measured(index: Index, who: Who, task: str, preset: str, data: str) -> bool:
    known = index.get((who.name, task, preset))
    return known is not None and known.data == data and len(known.scores) >= SEEDS[preset]


def _steps(wanted: FidelityPlan, known: Index, who: Who, task: str, preset: str) -> Steps[Standing]:
    index, rates = wanted.index(task, preset), who.rates
    seconds = 0.0
    search = climb(len(rates), _start(known, who, task, preset))
    place = next(search)
    while True:
        (measured,) = yield [Training(index, who.at(rates[place]), Split.SEARCH, TUNING_SEED)]
        seconds += measured.seconds
        try:
            place = search.send(measured.metric)
        except StopIteration as end:
            best: int = end.value
            break
    fresh = yield [Training(index, who.at(rates[best]), Split.REPORT, seed) for seed in range(SEEDS[preset])]
    scores = [m.metric if np.isfinite(m.metric) else None for m in fresh]
    return Standing(
        candidate=who.name,
        task=task,
        preset=preset,
        rate=rates[best],
        scores=scores,
        seconds=seconds + sum(m.seconds for m in fresh),
        data="",
    )


def _start(known: Index, who: Who, task: str, preset: str) -> int | None:
    """Half a decade below the best rate of the next smaller preset; None where that is not known."""
    for smaller in reversed(PRESETS[: PRESETS.index(preset)]):
        standing = known.get((who.name, task, smaller))
        if standing is not None:
            return max(0, who.rates.index(standing.rate) - 1)
    return None


# ----------------------------------------------------------------------------------------- correlating


@dataclass(frozen=True)
class Agreement:
    """How well the ranks on one task agree with those on another.

    Attributes:
        first: task and preset.
        second: task and preset.
        rho: Spearman's rank correlation; NaN where one of them ranks nobody.
        interval: of rho, bootstrap over the candidates.
        candidates: how many.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    rho: float
    interval: Interval | None
    candidates: int


def means(index: Index, candidates: Sequence[str], task: str, preset: str) -> Array:
    """The mean metric of each candidate, infinite where training failed, NaN where it was not measured."""
    found = [index.get((name, task, preset)) for name in candidates]
    return np.array([np.nan if standing is None else standing.mean for standing in found])


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation; those who failed share the last rank; NaN if all are equal on one side."""
    if np.ptp(stats.rankdata(a)) == 0 or np.ptp(stats.rankdata(b)) == 0:
        return float("nan")
    return float(stats.spearmanr(stats.rankdata(a), stats.rankdata(b)).statistic)


def agreement(
    file: FidelityFile, first: tuple[str, str], second: tuple[str, str], resamples: int = 1000
) -> Agreement | None:
    """Over the candidates that were measured on both; None with fewer than five."""
    index, names = file.index, [who.name for who in file.candidates]
    a, b = means(index, names, *first), means(index, names, *second)
    both = ~np.isnan(a) & ~np.isnan(b)
    if np.count_nonzero(both) < 5:
        return None
    a, b = a[both], b[both]
    interval = bootstrap([a, b], spearman, seed=0, resamples=resamples) if resamples else None
    return Agreement(first, second, spearman(a, b), interval, int(np.count_nonzero(both)))


@dataclass(frozen=True)
class Portfolio:
    """A set of small tasks, and how well they predict.

    Attributes:
        tasks: in the order in which they were chosen.
        rho: correlation of the mean rank on them with the mean rank on the large tasks.
        seconds: of one training on each.
    """

    tasks: tuple[str, ...]
    rho: float
    seconds: float


def portfolios(file: FidelityFile, large: Sequence[tuple[str, str]], most: int = 5) -> list[Portfolio]:
    """The best portfolio of one small task, of two, ..., each the one before and one more task.

    Args:
        file: measurements.
        large: what is to be predicted: tasks and presets.
        most: tasks in the largest.
    """
    index, names = file.index, [who.name for who in file.candidates]
    small = sorted({s.task for s in file.standings if s.preset == PRESETS[0]})
    ranks = {task: _ranks(means(index, names, task, PRESETS[0])) for task in small}
    target = np.nanmean([_ranks(means(index, names, *place)) for place in large], axis=0)
    seconds = {task: _seconds(file, task) for task in small}
    chosen: list[str] = []
    found: list[Portfolio] = []
    while small and len(chosen) < min(most, len(ranks)):
        score = partial(_predicts, ranks, target, chosen)
        best = max((task for task in small if task not in chosen), key=score)
        rho = score(best)
        chosen.append(best)
        found.append(Portfolio(tuple(chosen), rho, sum(seconds[task] for task in chosen)))
    return found


def _predicts(ranks: Mapping[str, Array], target: Array, chosen: Sequence[str], more: str) -> float:
    mean = np.mean([ranks[task] for task in (*chosen, more)], axis=0)
    known = ~np.isnan(mean) & ~np.isnan(target)
    return spearman(mean[known], target[known])


def _ranks(values: Array) -> Array:
    """Ranks of those that were measured, NaN for the others."""
    ranks = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    ranks[known] = stats.rankdata(values[known])
    return ranks


def _seconds(file: FidelityFile, task: str) -> float:
    """Median seconds of a training of the small form."""
    rows = [s for s in file.standings if s.task == task and s.preset == PRESETS[0]]
    return float(np.median([s.seconds / (len(s.scores) + 6) for s in rows]))


def summary(file: FidelityFile, resamples: int = 1000) -> dict[str, Any]:
    """Everything that can be said, as plain data."""
    tasks = sorted({s.task for s in file.standings})
    sizes = [
        found
        for task in tasks
        for a, b in (("tiny", "x10"), ("tiny", "x100"), ("x10", "x100"))
        if (found := agreement(file, (task, a), (task, b), resamples)) is not None
    ]
    across = [
        found
        for first in tasks
        for second in tasks
        if (found := agreement(file, (first, "tiny"), (second, "x10"), 0)) is not None
    ]
    large = sorted({(s.task, s.preset) for s in file.standings if s.preset != PRESETS[0]})
    return {"tasks": tasks, "sizes": sizes, "across": across, "portfolios": portfolios(file, large)}
