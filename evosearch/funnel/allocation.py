"""Which seeds a stage trains next: more for whom the decision is open, none for whom it is made.

    plan = Allocation(Better(by=0.01), tasks=("mnist_vit",), looks=usual_looks(4, 64), baselines=("adamw",))
    state = begin(plan, ["a", "b", "c"])
    while not finished(state):
        state = told(state, [train(name, seed) for name, seeds in wanted(state) for seed in seeds])
    verdicts(state)

All who are open are trained on the same seeds up to the next look, the baselines too; then the look decides.
Seeds are numbered from 0 within a stage; which fresh seeds these are is for the caller to say. A look waits
until everything it wants is there, so that no decision depends on the order of arrival.

A budget may not pay for a look of all who are open. Then the best by estimated difference are given it, as
many as it pays for, and the others end undecided. To leave candidates out can only lower the chance of a
false promotion, however they are picked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evosearch.errors import StudyError, nearest
from evosearch.funnel.looks import looked
from evosearch.funnel.plan import Allocation, Score, State, Wanted
from evosearch.funnel.verdict import Decision, Finding, Verdict, chosen, verdict


def begin(plan: Allocation, names: Sequence[str]) -> State:
    """A stage before its first training.

    Args:
        plan: of the stage.
        names: of the candidates; all different, none a baseline's.

    Raises:
        StudyError: names that are none, or not different; a budget that does not pay for the first look.
    """
    everyone = [*plan.baselines, *names]
    if not names:
        raise StudyError("expected at least one candidate for a stage, found none")
    twice = sorted({name for name in everyone if everyone.count(name) > 1})
    if twice:
        raise StudyError(
            f"expected candidates and baselines of different names, found {twice[0]!r} twice; rename one"
        )
    least = len(everyone) * plan.looks[0] * len(plan.tasks)
    if plan.budget is not None and plan.budget < least:
        raise StudyError(
            f"a budget of {plan.budget} trainings does not pay for a first look at {len(everyone)} programs; "
            f"expected at least {least}, or fewer candidates, tasks or seeds"
        )
    return State(plan, tuple(names), 0, tuple(Finding() for _ in names), {})


def finished(state: State) -> bool:
    """Whether nothing is open."""
    return not state.going


def wanted(state: State) -> tuple[Wanted, ...]:
    """What has to be trained before the next look: baselines first, then candidates as they were named.

    Returns:
        Empty when the stage is finished.
    """
    if finished(state):
        return ()
    seeds = range(state.plan.looks[state.look])
    missing = [
        Wanted(name, tuple(seed for seed in seeds if (name, seed) not in state.scores))
        for name in (*state.plan.baselines, *state.going)
    ]
    return tuple(entry for entry in missing if entry.seeds)


def told(state: State, scores: Iterable[Score]) -> State:
    """The stage with more scores; with the last one that a look waited for, the look decides.

    Args:
        state: of the stage.
        scores: that were wanted, some or all, in any order.

    Raises:
        StudyError: a score that is not wanted, of another number of tasks; a baseline that fails too often.
    """
    open_ = {(name, seed) for name, seeds in wanted(state) for seed in seeds}
    new: dict[tuple[str, int], tuple[float, ...]] = {}
    for score in scores:
        key = (score.name, score.seed)
        if key not in open_ or key in new:
            _refuse(state, score)
        _check(state.plan, score)
        new[key] = tuple(float(metric) for metric in score.metrics)
    after = replace(state, scores={**state.scores, **new})
    return looked(after) if open_ and len(new) == len(open_) else after


def resumed(plan: Allocation, names: Sequence[str], scores: Iterable[Score]) -> State:
    """A stage from the scores that were kept of it: the state it was in, with nothing trained again.

    Args:
        plan: of the stage, as it was.
        names: of the candidates, as they were.
        scores: kept, in any order.

    Raises:
        StudyError: as `begin` and `told`; a score that this plan never asks for, as after a change of plan.
    """
    state, left = begin(plan, names), {(score.name, score.seed): score for score in scores}
    while True:
        keys = [(name, seed) for name, seeds in wanted(state) for seed in seeds if (name, seed) in left]
        if not keys:
            break
        state = told(state, [left.pop(key) for key in keys])
    if left:
        _refuse(state, left[min(left)])
    return state


def verdicts(state: State) -> tuple[Verdict, ...]:
    """What the stage says of each candidate so far, in the order of its names."""
    pairs = list(zip(state.names, state.findings, strict=True))
    passed = [(name, found) for name, found in pairs if found.decision is Decision.PROMOTED]
    on = chosen(passed, state.plan.most)
    return tuple(
        verdict(
            name,
            found,
            Decision.SURPLUS if found.decision is Decision.PROMOTED and name not in on else found.decision,
        )
        for name, found in pairs
    )


# ---------------------------------------------------------------- scores that can't be


def _refuse(state: State, score: Score) -> None:
    known = (*state.plan.baselines, *state.names)
    if score.name not in known:
        raise StudyError(
            f"expected a score of a candidate or a baseline, found one of {score.name!r}"
            f"{nearest(score.name, known)}"
        )
    raise StudyError(
        f"expected a score that is wanted, found one of {score.name!r} on seed {score.seed}; "
        f"it is there already, or was not asked for"
    )


def _check(plan: Allocation, score: Score) -> None:
    if len(score.metrics) != len(plan.tasks):
        raise StudyError(
            f"expected {len(plan.tasks)} metrics of {score.name!r} on seed {score.seed}, "
            f"one for each task, found {len(score.metrics)}"
        )
