"""Measured ablation: takes out of a program what it does without, as trainings on a few tasks show.

Reading order: `no_worse.Ablation` (what is asked for), `ablate`, `confirmed`, `Ablated` (what came of it).

1. The learning-rate factor at which the program does best is found on each task, and held fixed from then
   on: rates in published programs suit large networks.
2. Round by round, what may be taken out is tried, the largest saving first; what is accepted is taken out,
   and the next round begins with what is left. Every variant must pass a test against the *original*, so
   that small losses do not add up, and one against what is left so far, so that no change gives back what
   another gained.
3. What is left in the end is tested again, on a split and with seeds that nothing was chosen by.

Step 2 makes many tests, each with the stated chance of a wrong acceptance, so some of them may err. Step 3 is
what is promised: with at least the stated confidence the program that is returned loses less than the margin,
on average over these tasks at these learning rates and steps. If it fails, the last change is taken back and
the test is made again, with a smaller chance of error each time, so that all of them together keep the
promise. Nothing is promised of other tasks, of longer training, or of any single change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evosearch.evaluation.settings import Statements
from evosearch.language.abstract import live_statements
from evosearch.simplify.step import Exactness, Stage, Step
from evosearch.study.no_worse import (
    CONFIRMATION,
    SCREENING,
    Ablation,
    Book,
    Setting,
    Trainings,
    Variant,
    best_setting,
    settings_for,
)
from evosearch.study.removals import Removal, removals
from evosearch.study.sequential import UNTESTED, Decision, Verdict
from evosearch.study.side_by_side import first_accepted, try_variants
from evosearch.study.trials import Steps, Work

PARTS = ("ablation", "constants")
"""The parts of the simplifier that are measured."""

FIRST_SHARE = 0.8
"""The share of the chance of error that is left which each confirmation may spend."""


@dataclass(frozen=True)
class Tried:
    """A change that was tested.

    Attributes:
        name: what was changed, as "clip(g, lr) -> g".
        round: of the search, counted from 1.
        saved: live statements that it saves.
        verdict: what the test found; `Decision.OPEN` if it was left when a larger saving was accepted.
    """

    name: str
    round: int
    saved: int
    verdict: Verdict


@dataclass(frozen=True)
class Ablated:
    """What came of a measured simplification.

    Attributes:
        part: "ablation" or "constants".
        before: the live statements that it began with.
        statements: what is left: live statements of a valid program.
        steps: what was changed, in this order.
        tried: every change that was tested.
        setting: the original's learning-rate factor on each task.
        confirmed: the last test of what is left on fresh seeds; None if nothing was changed.
        withdrawn: names of the last changes that were taken back because their confirmation failed.
        trainings: how many results were used, those that a ledger knew included.
        stopped_early: whether the budget ended before everything was tried.
    """

    part: str
    before: Statements
    statements: Statements
    steps: tuple[Step, ...]
    tried: tuple[Tried, ...]
    setting: Setting
    confirmed: Verdict | None
    withdrawn: tuple[str, ...]
    trainings: int
    stopped_early: bool

    @property
    def stage(self) -> Stage:
        """The same for the simplifier, with what people must know as notes."""
        notes = []
        if self.stopped_early:
            notes.append(
                f"stopped after {self.trainings} trainings, before everything was tried; raise the budget"
            )
        if self.withdrawn:
            notes.append(f"taken back, since fresh seeds did not confirm it: {'; '.join(self.withdrawn)}")
        return Stage(self.part, self.before, self.statements, self.steps, tuple(notes))


@dataclass(frozen=True)
class Change:
    """A change that a screening accepted.

    Attributes:
        rule: what kind of change, for people.
        before: what stood there, as text.
        after: what stands there now; "" if nothing does.
        left: the program after it, at the setting it was tested at.
        verdict: of the screening.
    """

    rule: str
    before: str
    after: str
    left: Variant
    verdict: Verdict

    @property
    def name(self) -> str:
        """As "clip(g, lr) -> g"."""
        return f"{self.before} -> {self.after or 'nothing'}"


def ablation_work(statements: Statements, ablation: Ablation) -> Work[Ablated]:
    """The ablation of one program, for `Trials.run` with `ablation.plan(statements)`."""
    return Work("ablation", ablation.about, ablate(statements, ablation))


def ablate(statements: Statements, ablation: Ablation) -> Steps[Ablated]:
    """Take out of a program what it does without.

    Args:
        statements: a valid program.
        ablation: on which tasks, and what may be lost.

    Returns:
        What is left, never more live statements than the program has.

    Raises:
        StudyError: the program diverges on a task, or the budget ends before its settings are found.

    Example:
        ablation = Ablation()
        plan = ablation.plan(program.statements)
        with Ledger(folder) as ledger, study_pool(plan, "ray", "auto") as pool:
            work = ablation_work(program.statements, ablation)
            ((_, ablated),) = Trials(plan, pool, ledger).run([work])
    """
    original, book = yield from begun(statements, ablation)
    changes: list[Change] = []
    tried: list[Tried] = []
    left, number = original, 0
    while True:
        number += 1
        found = yield from _round(book, original, left, number)
        tried += found.tried
        if found.change is None:
            break
        changes.append(found.change)
        left = found.change.left
    return (yield from confirmed(book, original, changes, tried, CONFIRMATION))


def begun(statements: Statements, ablation: Ablation) -> Steps[tuple[Variant, Book]]:
    """A program's live statements at its best setting, and a book that keeps the reserve back."""
    book = Book(ablation, limit=ablation.budget - ablation.reserve)
    live = live_statements(statements)
    setting = yield from best_setting(book, live)
    return Variant(live, setting), book


# ---------------------------------------------------------------- rounds


@dataclass(frozen=True)
class _Round:
    """A round's tests, and the change that it accepted; None if none."""

    change: Change | None
    tried: tuple[Tried, ...]


def _round(book: Book, original: Variant, left: Variant, number: int) -> Steps[_Round]:
    """Try everything that may be taken out of what is left until something is accepted."""
    candidates = removals(left.statements)
    tried: list[Tried] = []
    for begin in range(0, len(candidates), book.ablation.together):
        some = candidates[begin : begin + book.ablation.together]
        variants = yield from settings_for(book, original, [removal.statements for removal in some])
        if variants is None:
            break
        error = 1 - book.ablation.confidence
        verdicts = yield from try_variants(book, original, variants, SCREENING, error, first_accepted, left)
        tried += [_tried(removal, number, verdict) for removal, verdict in zip(some, verdicts, strict=True)]
        accepted = _first_accepted(verdicts)
        if accepted is not None:
            gone = some[accepted]
            change = Change(
                "measured removal", gone.before, gone.after, variants[accepted], verdicts[accepted]
            )
            return _Round(change, tuple(tried))
        if book.spent:
            break
    return _Round(None, tuple(tried))


def _tried(removal: Removal, number: int, verdict: Verdict) -> Tried:
    return Tried(removal.name, number, removal.saved, verdict)


def _first_accepted(verdicts: Sequence[Verdict]) -> int | None:
    accepted = (place for place, v in enumerate(verdicts) if v.decision is Decision.ACCEPTED)
    return next(accepted, None)


# ---------------------------------------------------------------- confirmation


def confirmed(
    book: Book,
    original: Variant,
    changes: Sequence[Change],
    tried: Sequence[Tried],
    stage: Trainings,
    start: Statements | None = None,
    part: str = PARTS[0],
) -> Steps[Ablated]:
    """What is left of a chain of changes once its end is confirmed on fresh seeds.

    The last program that passes is taken. The first test may spend `FIRST_SHARE` of the chance of error, the
    next one that share of the rest, and so on.

    Args:
        book: where results are kept; what it held back may be spent now.
        original: what everything is compared with.
        changes: accepted by a screening, each on top of those before it.
        tried: for the result.
        stage: seeds that nothing was chosen by.
        start: what the changes began with; the original's statements if None.
        part: of the simplifier.
    """
    start = original.statements if start is None else start
    early = book.spent
    book.limit, book.spent = book.ablation.budget, False
    error, verdict, kept = 1 - book.ablation.confidence, UNTESTED, len(changes)
    while kept:
        (verdict,) = yield from try_variants(
            book, original, [changes[kept - 1].left], stage, FIRST_SHARE * error
        )
        if verdict.decision is Decision.ACCEPTED:
            break
        error *= 1 - FIRST_SHARE
        kept -= 1
    chain = changes[:kept]
    return Ablated(
        part=part,
        before=start,
        statements=chain[-1].left.statements if chain else start,
        steps=_steps(book.ablation, part, original, chain, verdict),
        tried=tuple(tried),
        setting=original.setting,
        confirmed=verdict if changes else None,
        withdrawn=tuple(change.name for change in changes[kept:]),
        trainings=len(book.metrics),
        stopped_early=early or book.spent,
    )


def _steps(
    ablation: Ablation, part: str, original: Variant, chain: Sequence[Change], verdict: Verdict
) -> tuple[Step, ...]:
    steps = []
    for change in chain:
        reason = f"on {ablation.names}: {told(ablation, change.verdict)}{_factors(original, change.left)}"
        if change is chain[-1]:
            reason += f"; with all before it, on fresh seeds and other data: {told(ablation, verdict)}"
        steps.append(Step(part, change.rule, change.before, change.after, reason, Exactness.MEASURED))
    return tuple(steps)


def told(ablation: Ablation, verdict: Verdict) -> str:
    """A verdict for people.

    >>> from evosearch.evaluation import TaskPlan
    >>> verdict = Verdict(Decision.ACCEPTED, 32, -0.039, 0.012, -0.09)
    >>> told(Ablation((TaskPlan("digits_vit"),), margin=0.05), verdict)
    'loss -3.9 %, at most +1.2 % (32 seeds; margin 5 %)'
    """
    return (
        f"loss {100 * verdict.loss:+.1f} %, at most {100 * verdict.upper:+.1f} % "
        f"({verdict.seeds} seeds; margin {100 * ablation.margin:g} %)"
    )


def _factors(original: Variant, variant: Variant) -> str:
    """What the variant's learning rate was, where it was not the original's."""
    ratios = [ours / own for ours, own in zip(variant.setting, original.setting, strict=True)]
    if all(ratio == 1 for ratio in ratios):
        return ""
    return f" at {', '.join(f'{ratio:g}' for ratio in ratios)} times the original's learning rates"
