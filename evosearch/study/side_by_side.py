"""Tests variants of a program side by side, on the same seeds, until each is settled.

Each variant is tested against the original and, where earlier changes were accepted, against what became of
it: a variant must pass both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evosearch.errors import StudyError
from evosearch.study.no_worse import Ablation, Book, Trainings, Variant, measure
from evosearch.study.sequential import UNTESTED, Decision, Design, Numbers, Verdict, judge, scaled
from evosearch.study.trials import Steps

Enough = Callable[[Sequence[Verdict]], bool]
"""Whether the verdicts so far will do, so that the tests that are open may stop."""


def every(verdicts: Sequence[Verdict]) -> bool:
    """All tests are to be finished."""
    return all(verdict.decision is not Decision.OPEN for verdict in verdicts)


def first_accepted(verdicts: Sequence[Verdict]) -> bool:
    """All tests are finished, or one was accepted and all before it are finished."""
    for verdict in verdicts:
        if verdict.decision is Decision.OPEN:
            return False
        if verdict.decision is Decision.ACCEPTED:
            return True
    return True


def try_variants(
    book: Book,
    original: Variant,
    variants: Sequence[Variant],
    stage: Trainings,
    error: float,
    enough: Enough = every,
    current: Variant | None = None,
) -> Steps[list[Verdict]]:
    """Test several variants side by side, on the same seeds.

    Args:
        book: where results are kept.
        original: what they are compared with.
        variants: who is tested.
        stage: where.
        error: the chance with which each test may accept a loss of the margin.
        enough: when to stop before all tests are finished.
        current: what earlier changes made of the original. A variant must pass against both: else one change
            could give back what another gained.

    Returns:
        A verdict against the original for each; `Decision.OPEN` where a test was stopped by `enough` or by
        the limit of trainings.

    Raises:
        StudyError: the original diverges.
    """
    design = book.ablation.design(error)
    verdicts = [UNTESTED] * len(variants)
    pairs = [_Pair(one_only=current in (None, original)) for _ in variants]
    bases = list(dict.fromkeys([original, current or original]))
    scales: list[float] = []
    for look in design.looks:
        under_way = [place for place, v in enumerate(verdicts) if v.decision is Decision.OPEN]
        if enough(verdicts):
            break
        seeds = stage.seeds(look)
        group = [*bases, *(variants[place] for place in under_way)]
        if not (yield from measure(book, group, stage.split, seeds)):
            break
        tables = [book.table(base, stage.split, seeds) for base in bases]
        scales = scales or _scales(book.ablation, original, tables[0])
        _check(book.ablation, original, tables[0], seeds)
        theirs = [scaled(table, scales) for table in tables]
        for place in under_way:
            ours = scaled(book.table(variants[place], stage.split, seeds), scales)
            pairs[place] = pairs[place].looked(design, ours, theirs[0], theirs[-1])
            verdicts[place] = pairs[place].verdict
    return verdicts


@dataclass(frozen=True)
class _Pair:
    """A variant's tests against the original and against what became of it; each ends at its own look.

    Attributes:
        one_only: whether both are the same.
        first: against the original.
        second: against what became of it.
    """

    one_only: bool
    first: Verdict = UNTESTED
    second: Verdict = UNTESTED

    def looked(self, design: Design, ours: Numbers, original: Numbers, current: Numbers) -> _Pair:
        """The pair after another look at the tests that are open."""
        first, second = self.first, self.second
        if first.decision is Decision.OPEN:
            first = judge(design, ours, original)
        # A program that diverges on later seeds has gained nothing that could be given back.
        gained = not self.one_only and bool(np.isfinite(current).all())
        if not gained:
            second = first
        elif second.decision is Decision.OPEN:
            second = judge(design, ours, current)
        return replace(self, first=first, second=second)

    @property
    def verdict(self) -> Verdict:
        """Against the original, accepted if both tests are; open until it is decided."""
        if self.first.decision is not Decision.ACCEPTED:
            undecided = self.first.decision is Decision.OPEN
            lost = undecided and self.second.decision not in (Decision.OPEN, Decision.ACCEPTED)
            return replace(self.first, decision=Decision.GIVES_BACK) if lost else self.first
        if self.second.decision in (Decision.ACCEPTED, Decision.OPEN):
            return replace(self.first, decision=self.second.decision)
        return replace(self.first, decision=Decision.GIVES_BACK)


def _scales(ablation: Ablation, original: Variant, metrics: Numbers) -> list[float]:
    """What the metrics of each task are divided by: the original's mean at the first look."""
    means = [float(row.mean()) for row in metrics]
    for task, factor, mean in zip(ablation.tasks, original.setting, means, strict=True):
        if mean <= 0:
            raise StudyError(
                f"the program's metric on {task.name} is {mean:g} at learning-rate factor {factor:g}; a "
                "margin as a share of it needs a metric above 0; leave this task out"
            )
    return means


def _check(ablation: Ablation, original: Variant, metrics: Numbers, seeds: range) -> None:
    for task, factor, row in zip(ablation.tasks, original.setting, metrics, strict=True):
        if not np.isfinite(row).all():
            seed = seeds[int(np.flatnonzero(~np.isfinite(row))[0])]
            raise StudyError(
                f"the program itself diverges on {task.name} with seed {seed} at learning-rate factor "
                f"{factor:g}, so nothing can be compared with it there; leave this task out, or raise the "
                f"tuning seeds above {ablation.tuning_seeds} so that a safer factor is found"
            )
