"""Tune references on tasks, and write what was found into the file of tuned references."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evosearch.evaluation import Plan, TaskPlan
from evosearch.evaluation.references import REFERENCES
from evosearch.runtime import processor
from evosearch.study.ledger import Measured
from evosearch.study.statistics import mean_of
from evosearch.study.trials import Steps, Trials, Work, report, tune, versions
from evosearch.study.tunable import tunable_reference
from evosearch.study.tuned import (
    ScheduleRecord,
    TunedRecord,
    TunedScores,
    canonical_knobs,
    place_of,
    read_tuned,
    write_tuned,
)
from evosearch.study.tuning import Effort, Optimum


@dataclass(frozen=True)
class Piece:
    """One record to be: which task of a campaign, which reference, which repeat."""

    task: int
    reference: str
    repeat: int


@dataclass(frozen=True)
class Campaign:
    """What to tune.

    Attributes:
        tasks: on these.
        references: rows of the table of references.
        repeats: independent tunings of each.
        effort: of each tuning.
        seeds: fresh seeds for the figures in the end.
    """

    tasks: tuple[TaskPlan, ...]
    references: tuple[str, ...] = tuple(REFERENCES)
    repeats: int = 2
    effort: Effort = field(default_factory=Effort)
    seeds: int = 16

    @property
    def plan(self) -> Plan:
        """What its workers are made for."""
        return Plan(self.tasks)

    def label(self, piece: Piece) -> str:
        """A piece for people."""
        again = f", repeat {piece.repeat + 1}" if self.repeats > 1 else ""
        return f"{self.tasks[piece.task].name}: {piece.reference}{again}"


def tuning_seeds(repeat: int, count: int) -> range:
    """The seeds of one of several independent tunings; no two share any, nor with a search's first seeds.

    >>> tuning_seeds(1, 3)
    range(2000, 2003)
    """
    return range(1000 * (repeat + 1), 1000 * (repeat + 1) + count)


def open_pieces(campaign: Campaign, known: Sequence[TunedRecord]) -> list[Piece]:
    """What is left to do, task by task: what no record answers with the same data and no less effort."""
    places = {record.place: record for record in known}
    pieces = [
        Piece(task, reference, repeat)
        for task in range(len(campaign.tasks))
        for repeat in range(campaign.repeats)
        for reference in campaign.references
    ]
    data = [plan.build().data().fingerprint for plan in campaign.tasks]
    return [piece for piece in pieces if not _answered(campaign, piece, data[piece.task], places)]


def _answered(
    campaign: Campaign, piece: Piece, data: str, places: Mapping[tuple[str, ...], TunedRecord]
) -> bool:
    record = places.get(place_of(campaign.tasks[piece.task], piece.reference, piece.repeat))
    return (
        record is not None
        and record.data == data
        and record.settings >= wanted_settings(piece.reference, campaign.effort)
        and len(record.report.scores) >= campaign.seeds
    )


def wanted_settings(reference: str, effort: Effort) -> int:
    """How many settings of a reference such an effort tries."""
    return min(effort.settings, math.prod(len(grid.values) for grid in REFERENCES[reference].grids.values()))


def run_campaign(campaign: Campaign, trials: Trials, file: Path) -> Iterator[TunedRecord]:
    """Tune what is not in the file yet; each record is in the file when it is yielded.

    Args:
        campaign: what to tune.
        trials: of a pool for `campaign.plan`.
        file: of tuned references.

    Raises:
        StudyError: the file is damaged, or a training gave no result.
    """
    trainings = campaign.effort.trainings + campaign.seeds
    works = [
        Work(campaign.label(piece), trainings, _steps(campaign, piece))
        for piece in open_pieces(campaign, read_tuned(file))
    ]
    for _, record in trials.run(works):
        # Read again: another process may have written records of its own meanwhile.
        others = [known for known in read_tuned(file) if known.place != record.place]
        write_tuned(file, [*others, record])
        yield record


def _steps(campaign: Campaign, piece: Piece) -> Steps[TunedRecord]:
    """Tune one reference on one task, then train it on fresh seeds."""
    tunable = tunable_reference(piece.reference)
    rng = random.Random(f"{piece.reference} {piece.repeat}")
    seeds = tuning_seeds(piece.repeat, campaign.effort.seeds)
    optimum = yield from tune(tunable, campaign.effort, rng, piece.task, seeds)
    fresh = yield from report(piece.task, tunable.at(optimum.place), campaign.seeds)
    return _record(campaign, piece, optimum, fresh)


def _record(campaign: Campaign, piece: Piece, optimum: Optimum, fresh: Sequence[Measured]) -> TunedRecord:
    plan = campaign.tasks[piece.task]
    task = plan.build()
    return TunedRecord(
        task=plan.name,
        knobs=canonical_knobs(dict(plan.knobs)),
        schedule=ScheduleRecord(kind=plan.schedule.kind, warmup=plan.schedule.warmup),
        clip=plan.clip,
        reference=piece.reference,
        repeat=piece.repeat,
        hyperparameters=dict(optimum.values),
        settings=optimum.settings,
        runs=optimum.runs,
        edge=list(optimum.edge),
        gap=_or_null(optimum.gap),
        tuning=_scores(optimum.scores),
        report=_scores([measured.metric for measured in fresh]),
        steps=task.steps,
        seconds_per_step=statistics.median(measured.seconds / measured.steps for measured in fresh),
        data=task.data().fingerprint,
        versions=versions(),
        machine=processor(),
    )


def _scores(scores: Sequence[float]) -> TunedScores:
    mean = mean_of(scores)
    return TunedScores(
        mean=_or_null(mean.mean), error=_or_null(mean.error), scores=[_or_null(score) for score in scores]
    )


def _or_null(value: float) -> float | None:
    return value if math.isfinite(value) else None
