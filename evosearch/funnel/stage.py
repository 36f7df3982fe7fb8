"""One stage: everybody is tuned on each task alike, and seeds go where the decision is open.

Three things keep a stage apart from all that was before it: seeds that follow from the funnel's seed and the
stage's name, tuning on the search split with seeds of its own, and decisions on the selection split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import jax
import numpy as np

from evosearch.errors import StudyError
from evosearch.evaluation import Plan
from evosearch.evaluation.cost import shapes_of
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.interpreters import choose
from evosearch.evaluation.settings import EXTRA_STATEMENTS
from evosearch.funnel.allocation import begin, finished, told, verdicts, wanted
from evosearch.funnel.config import ReportConfig, StageConfig
from evosearch.funnel.contest import REPORT, Note, Noted, Optima, Place, contested, tuned, tuning_number
from evosearch.funnel.decide import level_at
from evosearch.funnel.differences import differences
from evosearch.funnel.entrants import Entrant, of_reference
from evosearch.funnel.plan import Allocation, Score, State, usual_looks
from evosearch.funnel.rules import Better, Failures
from evosearch.funnel.verdict import Difference, Verdict
from evosearch.study.statistics import Mean, Paired, mean_of, paired
from evosearch.study.trials import Trials
from evosearch.study.tuning import Optimum
from proxy_tasks import Task

FRESH = 1_000_000
"""Tunings for the report are numbered from here; no contest has so many seeds."""

CURVE = 12
"""Points of the learning curves."""

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
        optima: what tunings found.
        verdicts: in the order of the entrants.
        differences: of each entrant from each baseline, for people: with `better` those of its verdict, whose
            bounds hold for all programs and looks together; with `best` with a 95 % interval each alone.
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
    optima: Optima
    verdicts: tuple[Verdict, ...]
    differences: Mapping[str, tuple[Difference, ...]]
    means: Mapping[str, tuple[Mean, ...]]
    curves: Mapping[str, tuple[tuple[float, ...], ...]]
    seeds: Mapping[str, int]
    trainings: int
    equal: int

    def settings(self, name: str, task: int) -> tuple[Optimum, ...]:
        """What each of a name's tunings on a task found."""
        return tuple(found for key, found in sorted(self.optima.items()) if key[:2] == (name, task))

    @property
    def survivors(self) -> tuple[Entrant, ...]:
        """Who goes on, best first."""
        promoted = {verdict.name: verdict for verdict in self.verdicts if verdict.promoted}

        def place(entrant: Entrant) -> tuple[float, float]:
            verdict = promoted[entrant.name]
            hardest = max((d.mean for d in verdict.differences), default=0.0)
            return (verdict.rank if verdict.rank is not None else 0.0, hardest)

        return tuple(sorted((e for e in self.entrants if e.name in promoted), key=place))

    @property
    def ranked(self) -> tuple[Verdict, ...]:
        """Who goes on, the best first; then the others by rank, or by their hardest difference."""
        order = {entrant.name: place for place, entrant in enumerate(self.survivors)}

        def place(verdict: Verdict) -> tuple[float, float, float]:
            hardest = max((d.mean for d in self.differences[verdict.name]), default=math.inf)
            rank = verdict.rank if verdict.rank is not None else 0.0
            return order.get(verdict.name, len(order)), rank, hardest

        return tuple(sorted(self.verdicts, key=place))


COMPILING_PAYS = 2.5e9
"""Weights times steps of a training that is as much quicker once compiled as the compilation takes, where
there is no machine code: that was as fast as compiled programs at all sizes measured.

A program with its settings written in is compiled on each worker. On two cores a compilation of the
hundredfold tasks takes 3 to 6 s and saves 20 to 30 % of a training, 2.5e-9 s for each weight and step."""


def way_of(stage: StageConfig) -> str:
    """How a stage's programs are run: as asked for, or as its largest task repays."""
    if stage.way != "auto":
        return stage.way
    if choose("auto").name != "xla":
        return "interpreter"
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


def task_labels(stage: StageConfig) -> tuple[str, ...]:
    """What a stage's tasks are called: the name, its preset, and a number where that is not enough."""
    labels: list[str] = []
    for config in stage.tasks:
        knobs = dict(config.plan().knobs)
        label = f"{config.name} {knobs['preset']}" if "preset" in knobs else config.name
        same = sum(known == label or known.startswith(f"{label} #") for known in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return tuple(labels)


def _passable(stage: StageConfig, entrants: int, seeds: int) -> bool:
    """Whether the last look can promote: with few seeds any difference may have come by luck."""
    rule, looks = stage.promote.of(), usual_looks(min(stage.seeds.first, seeds), seeds)
    assert isinstance(rule, Better)
    return level_at(looks, looks[-1], rule.share(1, max(1, entrants))) >= 2.0 ** -looks[-1]


def check_stage(stage: StageConfig, entrants: int) -> None:
    """Refuse a budget that does not pay for tuning and the first look, and a test that nobody can pass.

    Raises:
        StudyError: how much it has to be.
    """
    if stage.promote.rule == "better" and not _passable(stage, entrants, stage.seeds.most):
        enough = next(seeds for seeds in count(stage.seeds.most) if _passable(stage, entrants, seeds))
        raise StudyError(
            f"stage {stage.name}: with {stage.seeds.most} seeds at most nobody of {entrants} can be promoted "
            f"at confidence {stage.promote.confidence:g}; expected seeds.most of at least {enough}, or fewer "
            "entrants"
        )
    if stage.budget is None:
        return
    people = entrants + len(stage.baselines)
    once = 0 if stage.tuned_anew else stage.tuning.effort().trainings
    least = people * len(stage.tasks) * (once + stage.seeds.first * stage.trainings_for_a_seed)
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

    place = Place(stage, seed, labels, trials, counted)
    optima = {} if stage.tuned_anew else tuned(place, [(entrant, 0) for entrant in everyone.values()])
    plan = Allocation(
        rule=stage.promote.of(),
        tasks=labels,
        looks=usual_looks(stage.seeds.first, max(stage.seeds.first, stage.seeds.most)),
        baselines=tuple(baseline.name for baseline in baselines),
        most=stage.promote.most,
        budget=None if stage.budget is None else (stage.budget - used) // stage.trainings_for_a_seed,
    )
    state = begin(plan, [entrant.name for entrant in entrants])
    curves: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    while not finished(state):
        asked = [(everyone[name], numbers) for name, numbers in wanted(state)]
        if stage.tuned_anew:
            optima |= tuned(place, [(entrant, number) for entrant, numbers in asked for number in numbers])
        found = contested(place, asked, optima, lambda _, number: tuning_number(stage, number))
        for (name, number), results in found.items():
            for task, measured in enumerate(results):
                if number < stage.seeds.first:
                    curves.setdefault((name, task), []).append(measured.curve)
        state = told(state, [Score(*key, tuple(m.metric for m in results)) for key, results in found.items()])
        looked(state)
    return Staged(
        name=stage.name,
        tasks=labels,
        metrics=tuple(config.plan().build().metric for config in stage.tasks),
        baselines=baselines,
        entrants=tuple(entrants),
        optima=optima,
        verdicts=verdicts(state),
        differences={verdict.name: _differences(state, verdict) for verdict in verdicts(state)},
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
    stage: StageConfig, staged: Staged, report: ReportConfig, seed: int, trials: Trials, note: Note
) -> tuple[Reported, ...]:
    """The best survivors and the baselines on fresh seeds and a split that no stage has decided on.

    Where each seed was tuned anew, so are those of the report: a setting by which somebody was promoted would
    be the luckier one.

    Args:
        stage: the last one.
        staged: what it found.
        report: how many survivors and seeds.
        seed: of the funnel.
        trials: of that stage's plan.
        note: is told every training.

    Returns:
        Baselines first, then survivors, the best first; empty without survivors.
    """
    if not staged.survivors:
        return ()
    who = [*staged.baselines, *staged.survivors[: report.most]]
    place, optima = Place(stage, seed, staged.tasks, trials, note), staged.optima
    if stage.tuned_anew:
        optima = tuned(place, [(entrant, FRESH + k) for entrant in who for k in range(report.seeds)])
    found = contested(
        place,
        [(entrant, range(report.seeds)) for entrant in who],
        optima,
        lambda _, number: tuning_number(stage, FRESH + number),
        REPORT,
    )
    metrics = {
        entrant.name: [
            [found[entrant.name, number][task].metric for number in range(report.seeds)]
            for task in range(len(staged.tasks))
        ]
        for entrant in who
    }
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


def _differences(state: State, verdict: Verdict) -> tuple[Difference, ...]:
    """See `Staged.differences`; a baseline is left out where fewer than two seeds trained."""
    if verdict.differences:
        return verdict.differences
    found = []
    for baseline in state.plan.baselines:
        seeds = [seed for name, seed in state.scores if name == verdict.name]
        ours, theirs = (
            list(zip(*(state.scores[name, seed] for seed in seeds), strict=True))
            for name in (verdict.name, baseline)
        )
        pair = _difference(ours, theirs)
        if pair is not None:
            found.append(Difference(baseline, pair.difference, *pair.interval))
    return tuple(found)


def _difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Paired | None:
    """Mean over tasks of the relative difference, paired by seed; see `differences`.

    A few failures of the other's count as its mean, so that nobody gains by them.
    """
    base = np.array(theirs)
    finite = np.isfinite(base)
    if base.shape[1] < 2 or not finite.any(axis=1).all():
        return None
    means = np.where(finite, base, 0.0).sum(axis=1, keepdims=True) / finite.sum(axis=1, keepdims=True)
    if not (means > 0).all():
        return None
    shares = differences(np.array(ours)[None], np.where(finite, base, means), Failures().loss)[0]
    return paired(shares, np.zeros_like(shares))
