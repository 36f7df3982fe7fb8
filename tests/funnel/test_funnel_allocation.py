"""A stage from beginning to end: what is wanted, when it ends, budgets, failures, order, errors."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evosearch.errors import StudyError
from evosearch.funnel import (
    Allocation,
    Best,
    Better,
    Decision,
    Failures,
    Score,
    State,
    Verdict,
    begin,
    finished,
    resumed,
    told,
    verdicts,
    wanted,
)

EFFECTS = {"adamw": 0.0, "lion": 0.01, "good": -0.1, "better": -0.06, "same": 0.0, "bad": 0.2}
NAMES = ["same", "good", "bad", "better"]
LOOKS = (4, 8, 16, 32)
PLAN = Allocation(Better(), ("a", "b"), LOOKS, ("adamw", "lion"))


def score(name: str, seed: int, key: int = 0) -> Score:
    """The same score whenever it is asked for."""
    rng = np.random.Generator(np.random.Philox(key=[key * 1000 + seed, sum(map(ord, name))]))
    return Score(name, seed, tuple(((1 + EFFECTS[name]) * (1 + 0.04 * rng.normal(size=2))).tolist()))


def all_wanted(state: State) -> list[Score]:
    return [score(name, seed) for name, seeds in wanted(state) for seed in seeds]


def run(state: State, scored: Callable[[State], Sequence[Score]] = all_wanted) -> State:
    while not finished(state):
        state = told(state, scored(state))
    return state


def by_name(state: State) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in verdicts(state)}


def changed(**values: Any) -> Allocation:
    return replace(PLAN, **values)


def spoilt(bad: float, *where: tuple[str, int]) -> Callable[[State], list[Score]]:
    """All that is wanted, failing on the second task in these places."""

    def scored(state: State) -> list[Score]:
        return [
            Score(s.name, s.seed, (s.metrics[0], bad)) if (s.name, s.seed) in where else s
            for s in all_wanted(state)
        ]

    return scored


# ---------------------------------------------------------------- seeds


def test_the_first_look_wants_everybody_and_later_ones_who_is_open() -> None:
    state = begin(PLAN, NAMES)
    assert wanted(state) == tuple((name, (0, 1, 2, 3)) for name in ("adamw", "lion", *NAMES))
    while not finished(state):
        seeds = tuple(range(LOOKS[state.look - 1] if state.look else 0, LOOKS[state.look]))
        assert wanted(state) == tuple((name, seeds) for name in ("adamw", "lion", *state.going))
        state = told(state, all_wanted(state))
    assert wanted(state) == ()
    found = by_name(state)
    assert {name for name, verdict in found.items() if verdict.promoted} == {"good", "better"}
    assert found["bad"].seeds == 4
    longest = max(verdict.seeds for verdict in found.values())
    assert len(state.scores) == sum(verdict.seeds for verdict in found.values()) + 2 * longest
    assert state.trainings == 2 * len(state.scores)


def test_decisions_do_not_depend_on_the_order_of_arrival() -> None:
    whole = run(begin(PLAN, NAMES))
    rng = random.Random(1)

    def some(state: State) -> list[Score]:
        scores = all_wanted(state)
        rng.shuffle(scores)
        return scores[: rng.randint(1, len(scores))]

    other = run(begin(PLAN, NAMES), some)
    assert verdicts(other) == verdicts(whole)
    assert dict(other.scores) == dict(whole.scores)
    again = run(begin(PLAN, NAMES[::-1]))
    assert by_name(again) == by_name(whole)


def test_a_stage_goes_on_from_the_scores_that_were_kept() -> None:
    state, rng = begin(PLAN, NAMES), random.Random(2)
    while not finished(state):
        kept = [Score(*key, metrics) for key, metrics in state.scores.items()]
        rng.shuffle(kept)
        assert resumed(PLAN, NAMES, kept) == state
        scores = all_wanted(state)
        state = told(state, scores[: max(1, len(scores) // 2)])
    assert resumed(PLAN, NAMES, [Score(*key, metrics) for key, metrics in state.scores.items()]) == state
    with pytest.raises(StudyError, match="expected a score that is wanted, found one of 'bad' on seed 20"):
        resumed(PLAN, NAMES, [score("bad", 20), score("good", 0)])


def test_a_state_is_left_as_it_was() -> None:
    state = begin(PLAN, NAMES)
    told(state, all_wanted(state))
    assert (state, dict(state.scores)) == (begin(PLAN, NAMES), {})
    assert {verdict.reason for verdict in verdicts(state)} == {"no seed trained yet"}


def test_nobody_is_better_than_himself() -> None:
    """AdamW against AdamW: on the same seeds nothing differs, whatever the seeds."""
    for key in range(20):
        state = begin(changed(baselines=("adamw",)), ["copy"])
        while not finished(state):
            state = told(
                state, [Score(n, s, score("adamw", s, key).metrics) for n, ss in wanted(state) for s in ss]
            )
        (verdict,) = verdicts(state)
        assert (verdict.promoted, verdict.decision, verdict.seeds) == (False, Decision.HOPELESS, 4)
        assert verdict.hardest is not None
        assert verdict.hardest.mean == 0


# ---------------------------------------------------------------- verdicts


def test_verdicts_say_by_how_much_and_how_surely() -> None:
    found = by_name(run(begin(changed(baselines=("adamw",)), NAMES)))
    good, bad = found["good"], found["bad"]
    assert good.hardest is not None
    assert good.hardest.baseline == "adamw"
    assert good.hardest.low < -0.1 < good.hardest.high < 0
    assert good.reason.startswith("better than adamw by ")
    assert good.reason.endswith(f"] on {good.seeds} seeds")
    assert bad.decision is Decision.HOPELESS
    assert bad.reason.startswith("not to be shown better with the seeds that are left: worse than adamw by ")


def test_the_baseline_that_is_hardest_to_beat_is_named() -> None:
    found = by_name(run(begin(PLAN, NAMES)))["good"]
    assert [difference.baseline for difference in found.differences] == ["adamw", "lion"]
    assert found.hardest == max(found.differences, key=lambda d: d.high)


def test_no_more_go_on_than_may() -> None:
    found = by_name(run(begin(changed(most=1), NAMES)))
    assert found["good"].promoted
    assert found["better"].decision is Decision.SURPLUS
    assert found["better"].reason.startswith("passed, but more did than may go on: better than")


def test_what_all_seeds_do_not_settle_is_not_promoted() -> None:
    def close(state: State) -> list[Score]:
        base = [score("adamw", seed).metrics for seed in range(8)]
        shift = (-0.04, 0.03, -0.05, 0.02, -0.06, 0.03, -0.04, 0.02)
        return [
            Score(n, s, tuple(m + (shift[s] if n == "close" else 0) for m in base[s]))
            for n, ss in wanted(state)
            for s in ss
        ]

    (verdict,) = verdicts(run(begin(changed(looks=(8,), baselines=("adamw",)), ["close"]), close))
    assert (verdict.decision, verdict.promoted) == (Decision.UNSETTLED, False)


# ---------------------------------------------------------------- budget


def test_a_budget_is_kept_and_goes_to_the_best() -> None:
    names = ["good", "better", "same"]
    free = run(begin(PLAN, names))
    first = told(begin(PLAN, names), all_wanted(begin(PLAN, names)))
    assert {"good", "better"} <= set(first.going)
    budget = first.trainings + 4 * 2 * 3  # the next look of the baselines and of one candidate
    state = run(begin(changed(budget=budget), names))
    found = by_name(state)
    assert state.trainings <= budget < free.trainings
    assert found["good"].seeds == 8
    assert found["better"].decision is Decision.UNPAID
    assert found["better"].reason.startswith("undecided when the budget was spent: better than")


def test_a_budget_that_pays_for_all_changes_nothing() -> None:
    free = run(begin(PLAN, NAMES))
    assert verdicts(run(begin(changed(budget=2 * 6 * 32), NAMES))) == verdicts(free)


def test_a_budget_must_pay_for_the_first_look() -> None:
    with pytest.raises(
        StudyError, match="a budget of 47 trainings does not pay for a first look at 6 programs"
    ):
        begin(changed(budget=47), NAMES)
    begin(changed(budget=48), NAMES)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_two_failures_reject_and_one_counts_as_a_loss(bad: float) -> None:
    found = by_name(run(begin(PLAN, NAMES), spoilt(bad, ("good", 1), ("good", 3), ("better", 2))))
    assert found["good"].decision is Decision.FAILED
    assert found["good"].reason == "failed on too many seeds: on 2 of 4"
    whole = by_name(run(begin(PLAN, NAMES)))["better"]
    assert found["better"].failures == 1
    assert found["better"].reason.endswith("1 of them failed")
    assert found["better"].differences[0].mean > whole.differences[0].mean


def test_no_failure_may_be_asked_for() -> None:
    plan = changed(failures=Failures(most=0))
    assert by_name(run(begin(plan, NAMES), spoilt(math.nan, ("good", 1))))["good"].decision is Decision.FAILED


def test_a_baseline_must_not_fail_often() -> None:
    with pytest.raises(
        StudyError,
        match="baseline 'lion' failed on 2 of 4 seeds of task 'b', so that nothing can be compared with it",
    ):
        run(begin(PLAN, NAMES), spoilt(math.nan, ("lion", 1), ("lion", 2)))


def test_nobody_gains_by_a_baseline_that_fails_once() -> None:
    whole = by_name(run(begin(PLAN, NAMES)))["good"]
    found = by_name(run(begin(PLAN, NAMES), spoilt(math.nan, ("lion", 2))))["good"]
    difference, without = (next(d for d in v.differences if d.baseline == "lion") for v in (found, whole))
    assert difference.mean == pytest.approx(without.mean, abs=0.02)


def test_a_baseline_must_leave_something_to_gain() -> None:
    def zero(state: State) -> list[Score]:
        return [Score(s.name, s.seed, (s.metrics[0], 0.0)) for s in all_wanted(state)]

    with pytest.raises(
        StudyError, match="expected a mean metric above 0 of baseline 'adamw' on task 'b', found 0"
    ):
        run(begin(PLAN, NAMES), zero)


# ---------------------------------------------------------------- the best few


def test_the_best_are_halved_look_by_look() -> None:
    plan = Allocation(Best(1), ("a", "b"), (4, 8))
    state = run(begin(plan, NAMES))
    found = by_name(state)
    assert [name for name in NAMES if found[name].promoted] == ["good"]
    assert sorted(verdict.seeds for verdict in found.values()) == [4, 4, 8, 8]
    assert found["bad"].decision is Decision.OUTRANKED
    assert found["bad"].reason == f"others ranked higher: mean rank {found['bad'].rank:.1f} on 4 seeds"
    assert found["good"].hardest is None


def test_who_fails_too_often_is_not_among_the_best() -> None:
    plan = Allocation(Best(2), ("a", "b"), (4, 8))
    found = by_name(run(begin(plan, NAMES), spoilt(math.nan, ("good", 0), ("good", 1))))
    assert found["good"].decision is Decision.FAILED
    assert sum(verdict.promoted for verdict in found.values()) == 2


def test_when_no_more_are_left_than_are_kept_the_stage_ends() -> None:
    state = run(begin(Allocation(Best(4), ("a", "b"), (4, 8)), NAMES))
    assert all(verdict.promoted and verdict.seeds == 4 for verdict in verdicts(state))


def test_the_best_are_chosen_when_the_budget_ends() -> None:
    plan = Allocation(Best(1), ("a", "b"), (4, 8, 16), budget=4 * 4 * 2 + 7)
    state = run(begin(plan, NAMES))
    assert [verdict.name for verdict in verdicts(state) if verdict.promoted] == ["good"]
    assert state.trainings == 32


# ---------------------------------------------------------------- what can't be


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": ()}, "expected at least one task for a stage, found none"),
        ({"looks": (2, 4)}, "expected looks at rising numbers of seeds, at least 3, found 2, 4"),
        ({"looks": (8, 8)}, "expected looks at rising numbers of seeds, at least 3, found 8, 8"),
        ({"looks": ()}, "expected looks at rising numbers of seeds, at least 3, found none"),
        ({"baselines": ()}, "expected a baseline to be better than, found none; name one, as adamw"),
        ({"most": 0}, "expected at least 1 survivor at most, found most = 0"),
    ],
)
def test_plans_that_are_none(values: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        changed(**values)


def test_names_must_differ() -> None:
    with pytest.raises(StudyError, match="expected at least one candidate for a stage, found none"):
        begin(PLAN, [])
    for names in (["a", "a"], ["lion"]):
        with pytest.raises(StudyError, match=f"of different names, found '{names[0]}' twice; rename one"):
            begin(PLAN, names)


def test_scores_must_be_wanted() -> None:
    state = begin(PLAN, NAMES)
    with pytest.raises(
        StudyError, match="a candidate or a baseline, found one of 'god'; did you mean 'good'"
    ):
        told(state, [Score("god", 0, (1.0, 1.0))])
    with pytest.raises(StudyError, match="expected a score that is wanted, found one of 'good' on seed 4"):
        told(state, [score("good", 4)])
    with pytest.raises(StudyError, match="found one of 'good' on seed 0; it is there already"):
        told(state, [score("good", 0), score("good", 0)])
    with pytest.raises(
        StudyError, match="expected 2 metrics of 'good' on seed 0, one for each task, found 1"
    ):
        told(state, [Score("good", 0, (1.0,))])
