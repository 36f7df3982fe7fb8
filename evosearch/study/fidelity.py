"""Measures candidates on tasks of several sizes, each at its own best learning rate there.

Ranks at one shared rate say nothing: small tasks want larger rates than large ones. What is kept are metrics
of fresh seeds on the report split.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evosearch.evaluation import Plan, TaskPlan
from evosearch.study.climb import climb
from evosearch.study.standings import FidelityFile, Index, Standing, Who, read_fidelity, write_fidelity
from evosearch.study.trials import Steps, Training, Trials, Work, versions
from proxy_tasks import PRESETS, Split

SEEDS: Mapping[str, int] = {"tiny": 8, "x10": 3, "x100": 2}
"""Fresh seeds of each preset: what is dear gets fewer."""
TUNING_SEED = 9000
"""Learning rates are chosen with this seed and the search split."""


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
