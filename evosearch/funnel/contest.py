"""The trainings of a stage: everybody tuned alike, then trained on the seeds that the contest wants.

Tuning is partly luck: with few settings two tunings of one optimizer end some percent apart, and the better
one would be promoted over the other for good reason, at its setting. So each seed of a contest may be tuned
anew (`tuning.anew`): then seeds differ by the luck of tuning, too, and what a stage says of a program holds
for tuning it so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evosearch.funnel.config import StageConfig
from evosearch.funnel.entrants import Entrant
from evosearch.study.ledger import Measured
from evosearch.study.trials import Steps, T, Training, Trials, Work, tune
from evosearch.study.tunable import Candidate
from evosearch.study.tuning import Optimum
from proxy_tasks import Split

TUNING, CONTEST, REPORT = "tuning", "contest", "report"
"""What a training is for."""


@dataclass(frozen=True)
class Noted:
    """A training that a stage used, for the record.

    Attributes:
        stage: its name.
        purpose: `TUNING`, `CONTEST` or `REPORT`.
        name: of the entrant or baseline.
        task: its label in the stage.
        split: where the metric is taken.
        seed: of the training.
        candidate: what was trained: the program with its settings, or a reference with its hyperparameters.
        measured: what it gave.
    """

    stage: str
    purpose: str
    name: str
    task: str
    split: str
    seed: int
    candidate: Candidate
    measured: Measured


Note = Callable[[Noted], None]
Optima = Mapping[tuple[str, int, int], Optimum]
"""What tunings found: by name, the task's index in the stage, and the number of the tuning."""


@dataclass(frozen=True)
class Place:
    """Where trainings are done, and who is told of them.

    Attributes:
        stage: of the funnel.
        seed: of the funnel.
        labels: of the stage's tasks.
        trials: of the stage's plan.
        note: is told every training that is used.
    """

    stage: StageConfig
    seed: int
    labels: tuple[str, ...]
    trials: Trials
    note: Note


def stage_seed(seed: int, stage: str, purpose: str, index: int) -> int:
    """A seed that no other stage or purpose uses, nor a funnel of another seed, but by a rare chance.

    Two funnels of one seed share those of stages of one name: tune the second and it is no fresh test.

    >>> stage_seed(0, "x10", "contest", 0) == stage_seed(0, "x100", "contest", 0)
    False
    """
    return random.Random(f"{seed} {stage} {purpose} {index}").randrange(2**31)


def tuning_number(stage: StageConfig, number: int) -> int:
    """Which of a name's tunings serves a seed of the contest."""
    return number if stage.tuned_anew else 0


def tuned(place: Place, wanted: Iterable[tuple[Entrant, int]]) -> dict[tuple[str, int, int], Optimum]:
    """Tune on every task of the stage.

    Args:
        place: where.
        wanted: who, and the number of the tuning; equal numbers have equal seeds, whoever is tuned.
    """
    stage, effort = place.stage, place.stage.tuning.effort()
    works: list[Work[Optimum]] = []
    keys: dict[int, tuple[str, int, int]] = {}
    for entrant, number in wanted:
        seeds = [stage_seed(place.seed, stage.name, f"{TUNING} {number}", k) for k in range(effort.seeds)]
        for task, label in enumerate(place.labels):
            rng = random.Random(f"{place.seed} {stage.name} {label} {entrant.name} {number}")
            steps = tune(entrant.tunable, effort, rng, task, seeds)
            which = f" ({number + 1})" if stage.tuned_anew else ""
            title = f"{stage.name}: tuning {entrant.name} on {label}{which}"
            work = Work(title, effort.trainings, _noting(steps, place, TUNING, entrant.name))
            keys[id(work)] = (entrant.name, task, number)
            works.append(work)
    found = {keys[id(work)]: optimum for work, optimum in place.trials.run(works)}
    return {key: found[key] for key in keys.values()}


def contested(
    place: Place,
    wanted: Iterable[tuple[Entrant, Sequence[int]]],
    optima: Optima,
    number_of: Callable[[str, int], int],
    purpose: str = CONTEST,
) -> dict[tuple[str, int], tuple[Measured, ...]]:
    """Train on every task of the stage, as tuned.

    Args:
        place: where.
        wanted: who, and on which of the stage's seeds.
        optima: what tunings found.
        number_of: which tuning serves a name on a seed.
        purpose: `CONTEST` on the selection split, or `REPORT` on the report split.

    Returns:
        By name and seed what each task gave.
    """
    width = len(place.labels)
    works: list[Work[list[Measured]]] = []
    keys: dict[int, tuple[str, Sequence[int]]] = {}
    for entrant, numbers in wanted:
        tunable = entrant.tunable
        trainings = [
            Training(
                task,
                tunable.at(optima[entrant.name, task, number_of(entrant.name, number)].place),
                Split.REPORT if purpose == REPORT else Split.SELECTION,
                stage_seed(place.seed, place.stage.name, purpose, number),
            )
            for number in numbers
            for task in range(width)
        ]
        steps = _noting(_all(trainings), place, purpose, entrant.name)
        work = Work(f"{place.stage.name}: {entrant.name}", len(trainings), steps)
        keys[id(work)] = (entrant.name, numbers)
        works.append(work)
    found: dict[tuple[str, int], tuple[Measured, ...]] = {}
    for work, results in place.trials.run(works):
        name, numbers = keys[id(work)]
        for index, number in enumerate(numbers):
            found[name, number] = tuple(results[index * width : (index + 1) * width])
    return found


def _all(trainings: Sequence[Training]) -> Steps[list[Measured]]:
    return list((yield trainings))


def _noting(steps: Steps[T], place: Place, purpose: str, name: str) -> Steps[T]:
    """The same steps; what they are sent is noted down."""
    try:
        trainings = next(steps)
        while True:
            results = yield trainings
            for training, measured in zip(trainings, results, strict=True):
                label, split = place.labels[training.task], training.split.name
                candidate = training.candidate
                place.note(
                    Noted(place.stage.name, purpose, name, label, split, training.seed, candidate, measured)
                )
            trainings = steps.send(results)
    except StopIteration as end:
        result: T = end.value
        return result
