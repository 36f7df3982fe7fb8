"""What a measured simplification may cost, and the trainings that it is measured with.

Three sets of trainings have nothing in common: learning-rate factors are found with some seeds of the search
split, variants are screened with others, and what came through is confirmed on the split for selection, which
nothing was chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from evosearch.errors import StudyError
from evosearch.evaluation import Plan, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.evaluation.settings import EXTRA_STATEMENTS, Statements, with_settings
from evosearch.study.campaign import tuning_seeds
from evosearch.study.climb import climb
from evosearch.study.sequential import Design, Numbers, doubling
from evosearch.study.trials import Steps, Training
from evosearch.study.tunable import PROGRAM_GRIDS
from proxy_tasks import Split

MOST_SEEDS = 1000
"""Seeds of a stage are numbered below this, from its first one on."""

DEFAULT_TASKS = (TaskPlan("char_mlp"), TaskPlan("char_transformer"))
"""Two language models. Their metrics differ by a percent from seed to seed, so that a loss of half a percent
shows within some ten seeds; the errors of the image tasks differ by a fifth, and need hundreds.

What goes depends on the tasks and the margin. Program 8 is 1.4 % better without arcsin and clip on these, and
14 % worse on digits_mlp, at the learning rate that suits it with them. With a margin of 1 % these let its
second memory go as well: 200 steps hardly use it."""

Setting = tuple[float, ...]
"""For each task, a factor on the program's updates."""


@dataclass(frozen=True)
class Ablation:
    """What a measured simplification may cost, and how it is measured.

    The loss is the mean over the tasks of (metric - the original's) / the original's mean metric: a task on
    which the variant is better makes up for one on which it is worse. Give one task to have it count alone.

    Attributes:
        tasks: where programs are trained.
        margin: the loss that is one too many.
        confidence: that a program which was confirmed loses less; see `ablation`.
        first: seeds at a test's first look; then twice as many, and so on.
        most: seeds at a test's last look.
        tuning_seeds: seeds for each learning-rate factor that is tried.
        factors: a variant may have the best of these on top of the original's factor, on each task. With
            more than 1.0 it costs tuning for each variant, and a step may need another learning rate.
        together: variants that are under test at once.
        budget: the most trainings in all, the original's included.

    Raises:
        StudyError: values that make no test.

    Example:
        Ablation((TaskPlan("char_mlp"), TaskPlan("char_transformer")), margin=0.005)
    """

    tasks: tuple[TaskPlan, ...] = DEFAULT_TASKS
    margin: float = 0.005
    confidence: float = 0.95
    first: int = 4
    most: int = 128
    tuning_seeds: int = 4
    factors: tuple[float, ...] = (1.0,)
    together: int = 4
    budget: int = 20_000

    def __post_init__(self) -> None:
        self.design(1 - self.confidence)
        if not self.tasks:
            raise StudyError("expected at least one task to measure on, found none; name one, as digits_vit")
        if self.most > MOST_SEEDS:
            raise StudyError(f"expected at most {MOST_SEEDS} seeds a test, found {self.most}")
        if not self.factors or not all(math.isfinite(f) and f > 0 for f in self.factors):
            raise StudyError(f"expected learning-rate factors above 0, found {list(self.factors)}")
        if self.tuning_seeds < 1 or self.together < 1:
            raise StudyError(
                f"expected at least 1 tuning seed and 1 variant at once, "
                f"found {self.tuning_seeds} and {self.together}"
            )
        if self.budget < self.reserve:
            raise StudyError(
                f"a budget of {self.budget} trainings does not pay for one full test; "
                f"expected at least {self.reserve}, or fewer seeds or tasks"
            )

    def design(self, error: float) -> Design:
        """A test that errs with this chance."""
        return Design(self.margin, error, doubling(self.first, self.most))

    @property
    def reserve(self) -> int:
        """Trainings that are kept back for a full test of two programs."""
        return 2 * self.most * len(self.tasks)

    @property
    def about(self) -> int:
        """How many trainings it usually takes; for progress bars."""
        return min(2 * self.reserve, self.budget)

    def plan(self, statements: Statements) -> Plan:
        """What workers are made for."""
        longest = len(statements) + EXTRA_STATEMENTS
        return Plan(self.tasks, capacity=Capacity(max(Capacity().statements, longest)))

    @property
    def names(self) -> str:
        """The tasks for people.

        >>> Ablation((TaskPlan("digits_vit"), TaskPlan("char_mlp"))).names
        'digits_vit and char_mlp'
        """
        *others, last = [task.name for task in self.tasks]
        return f"{', '.join(others)} and {last}" if others else last


@dataclass(frozen=True)
class Variant:
    """A program at a setting."""

    statements: Statements
    setting: Setting


@dataclass(frozen=True)
class Trainings:
    """The split and the seeds of one purpose.

    Attributes:
        split: where the metric is taken, and the family of seeds.
        first: its first seed.
    """

    split: Split
    first: int

    def seeds(self, count: int) -> range:
        """The first seeds of the stage."""
        return range(self.first, self.first + count)


SCREENING = Trainings(Split.SEARCH, 3000)
"""`tuning_seeds` of repeat 0, which settings are found with, lie below."""
CONFIRMATION = Trainings(Split.SELECTION, 0)
ROUNDING_CONFIRMATION = Trainings(Split.SELECTION, MOST_SEEDS)
"""A second confirmation of one original sees fresh seeds."""


@dataclass
class Book:
    """What was measured so far; the only thing here that changes.

    Attributes:
        ablation: what is asked for.
        limit: the most trainings by now.
        metrics: by training.
        spent: whether something was left out because of the limit.
    """

    ablation: Ablation
    limit: int
    metrics: dict[Training, float] = field(default_factory=dict)
    spent: bool = False

    def trainings(self, variant: Variant, split: Split, seeds: Sequence[int]) -> list[list[Training]]:
        """A variant's trainings: [task][seed]."""
        return [
            [Training(task, with_settings(variant.statements, factor), split, seed) for seed in seeds]
            for task, factor in enumerate(variant.setting)
        ]

    def table(self, variant: Variant, split: Split, seeds: Sequence[int]) -> Numbers:
        """Its metrics once they are measured: (tasks, seeds) float64."""
        rows = self.trainings(variant, split, seeds)
        return np.array([[self.metrics[training] for training in row] for row in rows], np.float64)


def measure(book: Book, variants: Sequence[Variant], split: Split, seeds: Sequence[int]) -> Steps[bool]:
    """Train variants on all tasks, unless the book holds the result; False if the limit forbids it."""
    return (
        yield from _train(book, [t for v in variants for row in book.trainings(v, split, seeds) for t in row])
    )


def _train(book: Book, wanted: Sequence[Training]) -> Steps[bool]:
    new = [training for training in dict.fromkeys(wanted) if training not in book.metrics]
    if len(book.metrics) + len(new) > book.limit:
        book.spent = True
        return False
    if new:
        found = yield new
        book.metrics.update(zip(new, (one.metric for one in found), strict=True))
    return True


# ---------------------------------------------------------------- settings


def best_setting(book: Book, statements: Statements) -> Steps[Setting]:
    """The factor at which a program does best on each task, on the tuning seeds.

    A line search on the grid that programs are tuned on: every second factor, then the best one's neighbours.

    Raises:
        StudyError: it trains at no factor on some task, or the budget ends.
    """
    values = PROGRAM_GRIDS["factor"].values
    tasks = range(len(book.ablation.tasks))
    searches = [climb(len(values), None) for _ in tasks]
    places = {task: next(search) for task, search in enumerate(searches)}
    best: dict[int, int] = {}
    while places:
        wanted = [_tuning(book, task, statements, values[place]) for task, place in places.items()]
        if not (yield from _train(book, [training for row in wanted for training in row])):
            raise StudyError(
                f"the budget of {book.ablation.budget} trainings ended before the program's learning-rate "
                "factors were found; raise it, or give fewer tasks or tuning seeds"
            )
        for (task, _), row in zip(list(places.items()), wanted, strict=True):
            try:
                places[task] = searches[task].send(_mean(book, row))
            except StopIteration as end:
                best[task] = end.value
                del places[task]
    for task, place in best.items():
        if not math.isfinite(_mean(book, _tuning(book, task, statements, values[place]))):
            raise StudyError(
                f"the program diverges on {book.ablation.tasks[task].name} at every learning-rate factor "
                f"from {values[0]:g} to {values[-1]:g}, so nothing can be compared with it there; leave this "
                "task out"
            )
    return tuple(values[best[task]] for task in tasks)


def settings_for(
    book: Book, original: Variant, programs: Sequence[Statements]
) -> Steps[list[Variant] | None]:
    """Programs at the original's setting times the best of the factors that variants may have.

    None if the limit of trainings forbids it.
    """
    factors = book.ablation.factors
    if len(factors) == 1:
        setting = tuple(factor * factors[0] for factor in original.setting)
        return [Variant(program, setting) for program in programs]
    rows = {
        (number, task, factor): _tuning(book, task, program, factor * own)
        for number, program in enumerate(programs)
        for task, own in enumerate(original.setting)
        for factor in factors
    }
    if not (yield from _train(book, [training for row in rows.values() for training in row])):
        return None
    found = []
    for number, program in enumerate(programs):
        setting = tuple(
            own * min(factors, key=lambda factor: (_mean(book, rows[number, task, factor]), factor))
            for task, own in enumerate(original.setting)
        )
        found.append(Variant(program, setting))
    return found


def _tuning(book: Book, task: int, statements: Statements, factor: float) -> list[Training]:
    candidate = with_settings(statements, factor)
    seeds = tuning_seeds(0, book.ablation.tuning_seeds)
    return [Training(task, candidate, Split.SEARCH, seed) for seed in seeds]


def _mean(book: Book, trainings: Sequence[Training]) -> float:
    mean = sum(book.metrics[training] for training in trainings) / len(trainings)
    return mean if math.isfinite(mean) else math.inf
