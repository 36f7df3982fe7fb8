"""Compare optimizers on a task: all tuned with the same effort, then trained on fresh seeds, in pairs.

Reading order: `Contender`, `Comparison` (what is asked for), `comparison_works` (the trainings), `Standing`
and `standings` (what they say); then the sweeps.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evosearch.evaluation import Plan, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.references import REFERENCES
from evosearch.evaluation.settings import EXTRA_STATEMENTS, Statements
from evosearch.evaluation.training import curve_steps
from evosearch.language import program_text
from evosearch.study.campaign import tuning_seeds
from evosearch.study.ledger import Measured
from evosearch.study.speed import Speed, speed
from evosearch.study.statistics import Mean, Paired, mean_of, paired
from evosearch.study.surrogate import Place
from evosearch.study.trials import Steps, Training, Work, tune
from evosearch.study.tunable import Candidate, Tunable, tunable_program, tunable_reference
from evosearch.study.tuned import TunedRecord, place_of
from evosearch.study.tuning import Effort, values_at
from proxy_tasks import Split

POINTS = 40
"""Of a learning curve."""

BATCHES = (8, 16, 32, 64, 128, 256, 512)

LR_STEPS = 4
"""A sweep goes so many quarter-decades to either side of the tuned learning rate."""
DECAYS = 7
"""Weight decays in a sweep: neighbours on the grid, the tuned one in their middle where there is room."""
SWEEP_SEEDS = 4
"""Fresh seeds for each cell of a sweep over learning rate and weight decay, at most."""
WITHIN = 0.1
"""A cell is good if its mean metric is at most this share worse than the best cell's."""

TUNING, CURVE, FIRST_BATCH = 0, 1, 2
"""Places in a comparison's plan: the task as it is, with a learning curve, and at the first batch size."""


@dataclass(frozen=True)
class Contender:
    """Somebody to compare.

    Attributes:
        name: as people gave it; unique in a comparison.
        statements: of a valid program; None for a reference.
        reference: a row of the table of references; None for a program.
    """

    name: str
    statements: Statements | None = None
    reference: str | None = None

    @property
    def tunable(self) -> Tunable:
        """How it is tuned."""
        if self.statements is not None:
            return tunable_program(self.name, self.statements)
        return tunable_reference(self.reference or "")

    @property
    def text(self) -> str:
        """What its tuning is seeded with: equal optimizers are tuned alike, whatever they are called."""
        return self.reference or program_text(self.statements or ())


@dataclass(frozen=True)
class Chosen:
    """The setting a contender is compared at.

    Attributes:
        place: in its grids.
        settings: how many were tried to find it; 0 where none was.
        source: in words.
        edge: hyperparameters at the end of their grid.
    """

    place: Place
    settings: int
    source: str
    edge: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """What is asked for.

    Attributes:
        task: where.
        contenders: who; the baseline first.
        effort: of each tuning; None to tune nobody.
        seeds: fresh seeds.
        sweep_lr: whether to sweep learning rate and weight decay.
        batches: batch sizes to sweep; empty for none.
    """

    task: TaskPlan
    contenders: tuple[Contender, ...]
    effort: Effort | None = field(default_factory=Effort)
    seeds: int = 16
    sweep_lr: bool = False
    batches: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """Training steps of the task."""
        return self.task.build().steps

    @property
    def points(self) -> int:
        """Of each learning curve."""
        return min(POINTS, self.steps)

    @property
    def plan(self) -> Plan:
        """What its workers are made for; see `TUNING`, `CURVE` and `FIRST_BATCH`."""
        longest = max(len(c.statements or ()) for c in self.contenders) + EXTRA_STATEMENTS
        tasks = (self.task, replace(self.task, curve=self.points), *map(self.at_batch, self.batches))
        return Plan(tasks, capacity=Capacity(max(Capacity().statements, longest)))

    def at_batch(self, batch: int) -> TaskPlan:
        """The task at another batch size."""
        return replace(self.task, knobs=tuple({**dict(self.task.knobs), "batch": batch}.items()))


@dataclass(frozen=True)
class Raced:
    """What the trainings of one contender gave.

    Attributes:
        contender: who.
        chosen: its setting.
        fresh: on each fresh seed, with curves.
        sweep: mean metric on fresh seeds, [weight decay][learning rate]; None if it was not asked for.
    """

    contender: Contender
    chosen: Chosen
    fresh: Sequence[Measured]
    sweep: Sweep | None = None


@dataclass(frozen=True)
class Sweep:
    """A contender's metric around its tuned setting.

    Attributes:
        names: of the two hyperparameters: the rows', then the columns'.
        rows: weight decays, rising.
        columns: learning rates (or factors on a program's), rising.
        metrics: [row][column], means over fresh seeds; infinite if one failed.
        tuned: row and column of the tuned setting.
        best: row and column of the best cell; None if all failed.
        good: share of the cells that are at most 10 % worse than the best.
    """

    names: tuple[str, str]
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    metrics: tuple[tuple[float, ...], ...]
    tuned: tuple[int, int]
    best: tuple[int, int] | None
    good: float


@dataclass(frozen=True)
class BatchPoint:
    """One contender at one batch size, tuned there.

    Attributes:
        contender: who.
        batch: the batch size.
        chosen: its setting there.
        scores: metrics on fresh seeds.
    """

    contender: Contender
    batch: int
    chosen: Chosen
    scores: tuple[float, ...]

    @property
    def mean(self) -> Mean:
        """Of the scores."""
        return mean_of(self.scores)


# ---------------------------------------------------------------- the trainings


def comparison_works(
    comparison: Comparison, records: Sequence[TunedRecord]
) -> list[Work[Raced | BatchPoint]]:
    """All that has to be trained, for `Trials.run` with the comparison's plan.

    Args:
        comparison: what is asked for.
        records: of tuned references; one that fits spares the tuning.
    """
    tuning = comparison.effort.trainings if comparison.effort else 0
    sweep = DECAYS * (2 * LR_STEPS + 1) * min(SWEEP_SEEDS, comparison.seeds) if comparison.sweep_lr else 0
    works: list[Work[Raced | BatchPoint]] = []
    for contender in comparison.contenders:
        record = find_record(records, comparison.task, contender, comparison.effort)
        total = (0 if record else tuning) + comparison.seeds + sweep
        works.append(Work(contender.name, total, _race(comparison, contender, record)))
    for index, batch in enumerate(comparison.batches):
        for contender in comparison.contenders:
            at = find_record(records, comparison.at_batch(batch), contender, comparison.effort)
            if comparison.effort is None:
                at = find_record(records, comparison.task, contender, None)
            total = (0 if at else tuning) + comparison.seeds
            steps = _at_batch(comparison, contender, index, at)
            works.append(Work(f"{contender.name}, batch {batch}", total, steps))
    return works


def find_record(
    records: Sequence[TunedRecord], task: TaskPlan, contender: Contender, effort: Effort | None
) -> TunedRecord | None:
    """The record of a reference on this very task, found with no less effort.

    The first of several independent tunings: the best of them would have had more settings than others get.
    """
    if contender.reference is None:
        return None
    wanted = place_of(task, contender.reference, 0)
    settings = _most_settings(contender.tunable, effort.settings if effort else 0)
    for record in records:
        same = record.place == wanted and record.data == task.build().data().fingerprint
        if same and record.settings >= settings and _on_grids(record):
            return record
    return None


def _most_settings(tunable: Tunable, settings: int) -> int:
    return min(settings, math.prod(len(grid.values) for grid in tunable.grids.values()))


def _on_grids(record: TunedRecord) -> bool:
    """Whether the grids still hold the record's values."""
    grids = REFERENCES[record.reference].grids
    return all(value in grids[name].values for name, value in record.hyperparameters.items())


def _choose(
    comparison: Comparison, contender: Contender, record: TunedRecord | None, task: int
) -> Steps[Chosen]:
    """A contender's setting: as recorded, as it is, or tuned now."""
    tunable, effort = contender.tunable, comparison.effort
    if record is not None:
        grids = tunable.grids
        place = tuple(grids[n].values.index(value) for n, value in record.hyperparameters.items())
        return Chosen(place, record.settings, "recorded", tuple(record.edge))
    if effort is None:
        source = "as it is" if contender.statements is not None else "where its grids start"
        return Chosen(tuple(grid.start for grid in tunable.grids.values()), 0, source)
    rng = random.Random(f"{contender.text} 0")
    optimum = yield from tune(tunable, effort, rng, task, tuning_seeds(0, effort.seeds))
    return Chosen(optimum.place, optimum.settings, "tuned now", optimum.edge)


def _race(
    comparison: Comparison, contender: Contender, record: TunedRecord | None
) -> Steps[Raced | BatchPoint]:
    """Choose a setting, train it on fresh seeds, and sweep around it."""
    chosen = yield from _choose(comparison, contender, record, TUNING)
    candidate = contender.tunable.at(chosen.place)
    fresh = yield [Training(CURVE, candidate, Split.REPORT, seed) for seed in range(comparison.seeds)]
    sweep = None
    if comparison.sweep_lr:
        sweep = yield from _sweep(comparison, contender, chosen)
    return Raced(contender, chosen, fresh, sweep)


def _at_batch(
    comparison: Comparison, contender: Contender, index: int, record: TunedRecord | None
) -> Steps[Raced | BatchPoint]:
    task = FIRST_BATCH + index
    chosen = yield from _choose(comparison, contender, record, task)
    candidate = contender.tunable.at(chosen.place)
    fresh = yield [Training(task, candidate, Split.REPORT, seed) for seed in range(comparison.seeds)]
    scores = tuple(measured.metric for measured in fresh)
    return BatchPoint(contender, comparison.batches[index], chosen, scores)


def _sweep(comparison: Comparison, contender: Contender, chosen: Chosen) -> Steps[Sweep]:
    tunable = contender.tunable
    (lr, decay), (lr_grid, decay_grid) = chosen.place[:2], list(tunable.grids.values())[:2]
    begin = max(0, min(decay - DECAYS // 2, len(decay_grid.values) - DECAYS))
    rows = decay_grid.values[begin : begin + DECAYS]
    quarters = round(4 * math.log10(lr_grid.values[lr]))
    columns = tuple(float(f"{10 ** ((quarters + step) / 4):.3g}") for step in range(-LR_STEPS, LR_STEPS + 1))
    others = list(values_at(tunable.grids, chosen.place).values())[2:]
    seeds = range(min(SWEEP_SEEDS, comparison.seeds))
    found = yield [
        Training(TUNING, tunable.candidate([column, row, *others]), Split.REPORT, seed)
        for row in rows
        for column in columns
        for seed in seeds
    ]
    metrics = np.array([measured.metric for measured in found]).reshape(len(rows), len(columns), len(seeds))
    means = metrics.mean(axis=2)
    names = list(tunable.grids)
    return sweep_of((names[1], names[0]), rows, columns, means.tolist(), (decay - begin, LR_STEPS))


def sweep_of(
    names: tuple[str, str],
    rows: Sequence[float],
    columns: Sequence[float],
    metrics: Sequence[Sequence[float]],
    tuned: tuple[int, int],
) -> Sweep:
    """A sweep with its best cell and the share of good ones; see `Sweep`."""
    table = np.asarray(metrics, np.float64)
    finite = np.isfinite(table)
    best, good = None, 0.0
    if finite.any():
        row, column = np.unravel_index(int(np.argmin(np.where(finite, table, np.inf))), table.shape)
        best = int(row), int(column)
        good = float((table <= (1 + WITHIN) * table[best]).mean())
    return Sweep(names, tuple(rows), tuple(columns), tuple(map(tuple, table.tolist())), tuned, best, good)


# ---------------------------------------------------------------- what they say


@dataclass(frozen=True)
class Standing:
    """How a contender did on fresh seeds. Lower metrics are better.

    Attributes:
        name: who.
        settings: how many settings were tried to find its own.
        source: where its setting comes from.
        hyperparameters: the setting.
        edge: hyperparameters at the end of their grid, beyond which a better value may lie.
        program: the tuned program's text; None for a reference.
        scores: metric on each fresh seed; infinite where training failed.
        mean: of those.
        difference: ours - the baseline's, paired; None for the baseline itself.
        speed: how soon it gets where the baseline ends; None if too few trained.
        curve: mean metric along the training, over the seeds that trained.
        state_bytes: memory of its state, for each weight.
        microseconds: of a training step, compiled; None if it was not measured.
        ratio: of that to the baseline's.
    """

    name: str
    settings: int
    source: str
    hyperparameters: Mapping[str, float]
    edge: tuple[str, ...]
    program: str | None
    scores: tuple[float, ...]
    mean: Mean
    difference: Paired | None
    speed: Speed | None
    curve: tuple[float, ...]
    state_bytes: float
    microseconds: float | None
    ratio: float | None


def candidate_of(raced: Raced) -> Candidate:
    """What was trained on the fresh seeds."""
    return raced.contender.tunable.at(raced.chosen.place)


def standings(
    raced: Sequence[Raced], steps: int, state: Sequence[float], seconds: Sequence[float] | None
) -> list[Standing]:
    """What the trainings say.

    Args:
        raced: the baseline first.
        steps: of the task.
        state: bytes of state for each weight, of each contender.
        seconds: of a training step, of each; None if they were not measured.
    """
    baseline = raced[0]
    rows = []
    for number, one in enumerate(raced):
        candidate = candidate_of(one)
        curves, base = _curves(one), _curves(baseline)
        places = curve_steps(steps, curves.shape[1])
        trained = curves[np.isfinite(curves).all(axis=1)]
        rows.append(
            Standing(
                name=one.contender.name,
                settings=one.chosen.settings,
                source=one.chosen.source,
                hyperparameters=values_at(one.contender.tunable.grids, one.chosen.place),
                edge=one.chosen.edge,
                program=None if one.contender.reference else program_text(candidate),  # type: ignore[arg-type]
                scores=tuple(measured.metric for measured in one.fresh),
                mean=mean_of([measured.metric for measured in one.fresh]),
                difference=paired([m.metric for m in one.fresh], [m.metric for m in baseline.fresh])
                if number
                else None,
                speed=speed(curves, base, places),
                curve=tuple(trained.mean(axis=0).tolist()) if len(trained) else (),
                state_bytes=state[number],
                microseconds=1e6 * seconds[number] if seconds else None,
                ratio=seconds[number] / seconds[0] if seconds else None,
            )
        )
    return rows


def _curves(raced: Raced) -> Any:
    return np.array([measured.curve for measured in raced.fresh], np.float64)


def interval_of_curve(raced: Raced) -> Iterator[Mean]:
    """Mean and interval of the metric at each point of the learning curve."""
    for column in _curves(raced).T:
        yield mean_of(column)
