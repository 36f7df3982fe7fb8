"""One stage as trainings: everybody is tuned on each task alike, then seeds go where the decision is open.

Three things keep a stage apart from all that was before it: seeds that follow from the funnel's seed and the
stage's name, tuning on the search split with seeds of its own, and decisions on the selection split.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from evosearch.errors import StudyError
from evosearch.evaluation import Plan
from evosearch.evaluation.cost import shapes_of
from evosearch.evaluation.encode import Capacity
from evosearch.evaluation.settings import EXTRA_STATEMENTS
from evosearch.funnel.allocation import begin, finished, told, verdicts, wanted
from evosearch.funnel.config import ReportConfig, StageConfig
from evosearch.funnel.entrants import Entrant, of_reference
from evosearch.funnel.plan import Allocation, Score, State, usual_looks
from evosearch.funnel.verdict import Verdict
from evosearch.study.ledger import Measured
from evosearch.study.statistics import Mean, Paired, mean_of, paired
from evosearch.study.trials import Steps, T, Training, Trials, Work, tune
from evosearch.study.tunable import Candidate
from evosearch.study.tuning import Optimum
from proxy_tasks import Split, Task

CURVE = 12
"""Points of the learning curves."""

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
Looked = Callable[[State], None]
"""Told after each look."""


@dataclass(frozen=True)
class Reported:
    """A survivor, or a baseline, on fresh seeds and the report split.

    Attributes:
        name: of it.
        means: its metric on each task.
        differences: for each baseline the mean over tasks of (metric - the baseline's) / the baseline's mean,
            paired by seed; None where fewer than two seeds trained.
    """

    name: str
    means: tuple[Mean, ...]
    differences: Mapping[str, Paired | None]


@dataclass(frozen=True)
class Staged:
    """What a stage found.

    Attributes:
        name: of the stage.
        tasks: labels.
        metrics: what each task measures.
        baselines: who everybody is compared with.
        entrants: who went in.
        optima: by (name, task's index): what tuning found.
        verdicts: in the order of the entrants.
        means: by name: the mean metric on each task over the seeds it was given.
        curves: by name: on each task the mean learning curve over the seeds of the first look.
        seeds: by name: how many it was given.
        trainings: used by the stage, tuning included.
        equal: trainings that the contest would have taken with all seeds for everybody.
    """

    name: str
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    baselines: tuple[Entrant, ...]
    entrants: tuple[Entrant, ...]
    optima: Mapping[tuple[str, int], Optimum]
    verdicts: tuple[Verdict, ...]
    means: Mapping[str, tuple[Mean, ...]]
    curves: Mapping[str, tuple[tuple[float, ...], ...]]
    seeds: Mapping[str, int]
    trainings: int
    equal: int

    @property
    def survivors(self) -> tuple[Entrant, ...]:
        """Who goes on, best first."""
        promoted = {verdict.name: verdict for verdict in self.verdicts if verdict.promoted}

        def place(entrant: Entrant) -> tuple[float, float]:
            verdict = promoted[entrant.name]
            hardest = max((d.mean for d in verdict.differences), default=0.0)
            return (verdict.rank if verdict.rank is not None else 0.0, hardest)

        return tuple(sorted((e for e in self.entrants if e.name in promoted), key=place))


COMPILING_PAYS = 2.5e9
"""Weights times steps of a training that is as much quicker once compiled as the compilation takes.

A program with its settings written in is compiled on each worker. On two cores a compilation of the
hundredfold tasks takes 3 to 6 s and saves 20 to 30 % of a training, 2.5e-9 s for each weight and step."""


def way_of(stage: StageConfig) -> str:
    """How a stage's programs are run: as asked for, or as its largest task repays."""
    if stage.way != "auto":
        return stage.way
    tasks = [config.plan().build() for config in stage.tasks]
    work = max(task.steps * _weights(task) for task in tasks)
    return "compiled" if work > COMPILING_PAYS else "interpreter"


def _weights(task: Task) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes_of(task)))


def stage_plan(stage: StageConfig, entrants: Sequence[Entrant]) -> Plan:
    """What the evaluators of a stage need to know."""
    tasks = []
    for config in stage.tasks:
        plan = config.plan()
        steps = plan.build().steps
        tasks.append(replace(plan, curve=min(CURVE, steps)))
    longest = max((len(e.statements) for e in entrants if e.statements), default=0) + EXTRA_STATEMENTS
    capacity = Capacity(max(Capacity().statements, longest))
    return Plan(tuple(tasks), way=way_of(stage), capacity=capacity)


def stage_seed(seed: int, stage: str, purpose: str, index: int) -> int:
    """A seed that no other stage, purpose or funnel uses, but by a chance of one in thousands of millions.

    >>> stage_seed(0, "x10", "contest", 0) == stage_seed(0, "x100", "contest", 0)
    False
    """
    return random.Random(f"{seed} {stage} {purpose} {index}").randrange(2**31)


def task_labels(stage: StageConfig) -> tuple[str, ...]:
    """What a stage's tasks are called: the name, its preset, and a number where that is not enough."""
    labels: list[str] = []
    for config in stage.tasks:
        knobs = dict(config.plan().knobs)
        label = f"{config.name} {knobs['preset']}" if "preset" in knobs else config.name
        same = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return tuple(labels)


def check_stage(stage: StageConfig, entrants: int) -> None:
    """Refuse a budget that does not pay for tuning and the first look.

    Raises:
        StudyError: how much it has to be.
    """
    if stage.budget is None:
        return
    people = entrants + len(stage.baselines)
    least = people * len(stage.tasks) * (stage.tuning.effort().trainings + stage.seeds.first)
    if stage.budget < least:
        raise StudyError(
            f"stage {stage.name}: a budget of {stage.budget:,} trainings does not pay for tuning {people} "
            f"programs and a first look at them; expected at least {least:,}, or fewer entrants, settings or "
            "seeds"
        )


def run_stage(
    stage: StageConfig,
    seed: int,
    entrants: Sequence[Entrant],
    trials: Trials,
    note: Note,
    looked: Looked,
) -> Staged:
    """Tune everybody, then look by look until nothing is open.

    Args:
        stage: what is asked for.
        seed: of the funnel.
        entrants: who goes in; their scores are not looked at.
        trials: of `stage_plan(stage, entrants)`.
        note: is told every training that was used.
        looked: is told the state after each look.

    Raises:
        StudyError: a baseline that fails, or whose metric is not above 0.
    """
    labels = task_labels(stage)
    baselines = tuple(map(of_reference, stage.baselines))
    everyone = {entrant.name: entrant for entrant in (*baselines, *entrants)}
    used = 0

    def counted(noted: Noted) -> None:
        nonlocal used
        used += 1
        note(noted)

    optima = _tuned(stage, seed, list(everyone.values()), labels, trials, counted)
    plan = Allocation(
        rule=stage.promote.of(),
        tasks=labels,
        looks=usual_looks(stage.seeds.first, max(stage.seeds.first, stage.seeds.most)),
        baselines=tuple(baseline.name for baseline in baselines),
        most=stage.promote.most,
        budget=None if stage.budget is None else stage.budget - used,
    )
    state = begin(plan, [entrant.name for entrant in entrants])
    curves: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    while not finished(state):
        works = []
        for name, numbers in wanted(state):
            steps = _contested(stage.name, seed, everyone[name], optima, labels, numbers, counted)
            works.append(Work(f"{stage.name}: {name}", len(numbers) * len(labels), steps))
        scores: list[Score] = []
        for _, of_name in trials.run(works):
            for number, results in of_name.items():
                name = results.name
                scores.append(Score(name, number, tuple(m.metric for m in results.measured)))
                for task, measured in enumerate(results.measured):
                    if number < stage.seeds.first:
                        curves.setdefault((name, task), []).append(measured.curve)
        state = told(state, scores)
        looked(state)
    return Staged(
        name=stage.name,
        tasks=labels,
        metrics=tuple(config.plan().build().metric for config in stage.tasks),
        baselines=baselines,
        entrants=tuple(entrants),
        optima=optima,
        verdicts=verdicts(state),
        means=_means(state, list(everyone)),
        curves={
            name: tuple(_mean_curve(curves.get((name, task), [])) for task in range(len(labels)))
            for name in everyone
        },
        seeds={name: sum(who == name for who, _ in state.scores) for name in everyone},
        trainings=used,
        equal=len(everyone) * plan.looks[-1] * len(labels),
    )


def report_stage(
    staged: Staged, report: ReportConfig, seed: int, trials: Trials, note: Note
) -> tuple[Reported, ...]:
    """The best survivors and the baselines on fresh seeds and a split that no stage has decided on.

    Args:
        staged: the last stage.
        report: how many survivors and seeds.
        seed: of the funnel.
        trials: of that stage's plan.
        note: is told every training.

    Returns:
        Baselines first, then survivors, the best first; empty without survivors.
    """
    who = [*staged.baselines, *staged.survivors[: report.most]]
    if len(who) == len(staged.baselines):
        return ()
    works = [
        Work(
            f"report: {entrant.name}",
            report.seeds * len(staged.tasks),
            _contested(
                staged.name,
                seed,
                entrant,
                staged.optima,
                staged.tasks,
                range(report.seeds),
                note,
                REPORT,
            ),
        )
        for entrant in who
    ]
    metrics: dict[str, list[list[float]]] = {}
    for _, of_name in trials.run(works):
        for results in of_name.values():
            rows = metrics.setdefault(results.name, [[] for _ in staged.tasks])
            for row, measured in zip(rows, results.measured, strict=True):
                row.append(measured.metric)
    return tuple(
        Reported(
            entrant.name,
            tuple(mean_of(row) for row in metrics[entrant.name]),
            {
                b.name: _difference(metrics[entrant.name], metrics[b.name])
                for b in staged.baselines
                if b.name != entrant.name
            },
        )
        for entrant in who
    )


# ---------------------------------------------------------------- trainings


def _tuned(
    stage: StageConfig,
    seed: int,
    everyone: Sequence[Entrant],
    labels: tuple[str, ...],
    trials: Trials,
    note: Note,
) -> dict[tuple[str, int], Optimum]:
    effort = stage.tuning.effort()
    seeds = [stage_seed(seed, stage.name, TUNING, k) for k in range(effort.seeds)]
    works: list[Work[Optimum]] = []
    places: dict[int, tuple[str, int]] = {}
    for task, label in enumerate(labels):
        for entrant in everyone:
            rng = random.Random(f"{seed} {stage.name} {label} {entrant.text}")
            steps = tune(entrant.tunable, effort, rng, task, seeds)
            noted = _noting(steps, stage.name, TUNING, entrant.name, labels, note)
            work = Work(f"{stage.name}: tuning {entrant.name} on {label}", effort.trainings, noted)
            places[id(work)] = (entrant.name, task)
            works.append(work)
    found = {places[id(work)]: optimum for work, optimum in trials.run(works)}
    return {place: found[place] for place in places.values()}


@dataclass(frozen=True)
class _Results:
    """What one name's trainings on one seed gave, task by task."""

    name: str
    measured: tuple[Measured, ...]


def _contested(
    stage: str,
    seed: int,
    entrant: Entrant,
    optima: Mapping[tuple[str, int], Optimum],
    labels: Sequence[str],
    numbers: Sequence[int],
    note: Note,
    purpose: str = CONTEST,
) -> Steps[dict[int, _Results]]:
    """Train a name on every task with so many of the stage's seeds."""
    split = Split.REPORT if purpose == REPORT else Split.SELECTION
    tunable = entrant.tunable
    candidates = [tunable.at(optima[entrant.name, task].place) for task in range(len(labels))]
    trainings = [
        Training(task, candidate, split, stage_seed(seed, stage, purpose, number))
        for number in numbers
        for task, candidate in enumerate(candidates)
    ]

    def steps() -> Steps[list[Measured]]:
        return list((yield trainings))

    results = yield from _noting(steps(), stage, purpose, entrant.name, labels, note)
    width = len(labels)
    return {
        number: _Results(entrant.name, tuple(results[place * width : (place + 1) * width]))
        for place, number in enumerate(numbers)
    }


def _noting(
    steps: Steps[T], stage: str, purpose: str, name: str, labels: Sequence[str], note: Note
) -> Steps[T]:
    """The same steps; what they are sent is noted down."""
    try:
        trainings = next(steps)
        while True:
            results = yield trainings
            for training, measured in zip(trainings, results, strict=True):
                label, split = labels[training.task], training.split.name
                note(Noted(stage, purpose, name, label, split, training.seed, training.candidate, measured))
            trainings = steps.send(results)
    except StopIteration as end:
        result: T = end.value
        return result


# ---------------------------------------------------------------- what came of it


def _means(state: State, names: Sequence[str]) -> dict[str, tuple[Mean, ...]]:
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for (name, _), metrics in sorted(state.scores.items()):
        rows[name].append(metrics)
    return {
        name: tuple(mean_of(column) for column in zip(*of_name, strict=True))
        for name, of_name in rows.items()
    }


def _mean_curve(curves: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Mean over seeds; infinite from where one failed."""
    return tuple(map(float, np.mean(curves, axis=0))) if curves else ()


def _difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Paired | None:
    """Mean over tasks of the difference as a share of the other's mean metric, paired by seed."""
    scales = np.array([[mean_of(row).mean] for row in theirs])
    return paired((np.array(ours) / scales).mean(axis=0), (np.array(theirs) / scales).mean(axis=0))
