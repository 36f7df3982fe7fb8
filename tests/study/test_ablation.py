"""What an ablation tries, takes and promises, on pretended trainings; and once on real ones."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ablation_fakes import (
    ABLATION,
    LIVE,
    PROGRAM8,
    drive,
    factor_of,
    noise,
    only_arcsin_and_clip_are_idle,
    own,
)

from evosearch.errors import StudyError
from evosearch.evaluation import TaskPlan
from evosearch.language import parse
from evosearch.simplify.step import Exactness
from evosearch.study.ablation import Ablated, ablate, ablation_work
from evosearch.study.ledger import Ledger
from evosearch.study.no_worse import CONFIRMATION, MOST_SEEDS, SCREENING, Ablation
from evosearch.study.sequential import Decision
from evosearch.study.trials import Training, Trials
from evosearch.workers import InProcessPool
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")


ONE_BY_ONE = parse(
    """def train(w, g, m, v, lr):
    g = clip(g, lr)
    g = g + w
    g = abs(g)
    update = arcsin(g)
    return update, m, v
"""
).statements
"""Clip and arcsin stand too far apart to go in one step."""


def primitives(training: Training) -> Counter[str]:
    return Counter(s.primitive for s in own(training))


# ---------------------------------------------------------------- what goes


def test_arcsin_and_clip_go_and_nothing_else() -> None:
    ablated, asked = drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle)
    assert ablated.before == LIVE
    assert [s.text for s in ablated.statements] == [s.text for s in LIVE[2:]]
    (step,) = ablated.steps
    assert (step.part, step.rule, step.exactness) == ("ablation", "measured removal", Exactness.MEASURED)
    assert (step.before, step.after) == ("arcsin(clip(g, lr))", "g")
    assert step.reason.startswith("on quadratic: loss ")
    assert "; with all before it, on fresh seeds and other data: loss " in step.reason
    assert step.reason.count("margin 5 %") == 2
    assert ablated.confirmed is not None
    assert ablated.confirmed.decision is Decision.ACCEPTED
    assert ablated.confirmed.upper < ABLATION.margin
    assert (ablated.withdrawn, ablated.stopped_early) == ((), False)
    assert ablated.setting == (100.0,)
    assert ablated.trainings == len(asked) == len(set(asked))


def test_the_same_scores_give_the_same_result() -> None:
    first = drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle)
    assert drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle) == first


def test_everything_is_tried_before_it_is_kept() -> None:
    ablated, _ = drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle)
    last = max(tried.round for tried in ablated.tried)
    assert last == 2
    final = [tried for tried in ablated.tried if tried.round == last]
    assert {"update + wd -> update", "interp(g, v, 0.9) -> g", "m * m -> m"} <= {t.name for t in final}
    assert all(t.verdict.decision not in (Decision.ACCEPTED, Decision.OPEN) for t in final)
    early = {t.name: t.verdict.decision for t in ablated.tried if t.round == 1}
    assert early["update + wd -> update"] in (Decision.WORSE, Decision.HOPELESS)
    assert "arcsin(g) -> g" not in early  # a larger saving was accepted before


def test_a_larger_saving_is_preferred_to_a_smaller_one() -> None:
    """Where everything may go, what saves most goes first."""
    ablated, _ = drive(ablate(PROGRAM8, ABLATION), lambda training: noise(training, 0.1))
    first = ablated.tried[0]
    assert first.verdict.decision is Decision.ACCEPTED
    assert first.saved == max(tried.saved for tried in ablated.tried)
    assert len(ablated.statements) == 1
    assert ablated.steps[0].before == "update + (wd * w)"


def test_a_program_of_which_nothing_can_go_stays_as_it_is() -> None:
    def all_needed(training: Training) -> float:
        return math.inf if len(training.candidate) <= len(LIVE) else 1.0  # type: ignore[arg-type]

    ablated, asked = drive(ablate(PROGRAM8, ABLATION), all_needed)
    assert (ablated.statements, ablated.steps, ablated.confirmed) == (LIVE, (), None)
    assert {t.verdict.decision for t in ablated.tried} == {Decision.DIVERGED}
    assert not any(training.split is Split.SELECTION for training in asked)
    assert ablated.stage.steps == ablated.stage.notes == ()


# ---------------------------------------------------------------- against whom


def test_small_losses_do_not_add_up() -> None:
    """Each missing statement costs 2 %; the margin is 5 %, so no more than two may go."""

    def two_percent_each(training: Training) -> float:
        return (1 + 0.02 * (13 - len(training.candidate))) * noise(training, 0.01)  # type: ignore[arg-type]

    ablated, _ = drive(ablate(PROGRAM8, ABLATION), two_percent_each)
    assert len(LIVE) - len(ablated.statements) == 2


def test_one_change_does_not_give_back_what_another_gained() -> None:
    """Without clip and arcsin it is 20 % better; decay is worth 10 % of that."""

    def decay_counts(training: Training) -> float:
        names = primitives(training)
        gain = 0.8 if not names["clip"] and not names["arcsin"] else 1.0
        others = only_arcsin_and_clip_are_idle(training)
        without_decay = (
            "wd" not in {s.target for s in own(training)} and names["divide"] and names["interp"] == 2
        )
        return gain * (1.12 * noise(training, 0.02) if without_decay else others)

    ablated, _ = drive(ablate(PROGRAM8, ABLATION), decay_counts)
    assert [step.before for step in ablated.steps] == ["arcsin(clip(g, lr))"]
    refused = [t for t in ablated.tried if t.verdict.decision is Decision.GIVES_BACK]
    assert "update + wd -> update" in {t.name for t in refused}
    assert all(t.verdict.loss < ABLATION.margin and t.round == 2 for t in refused)


def test_every_pair_shares_seed_split_and_setting() -> None:
    _, asked = drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle)
    screened = [t for t in asked if t.split is Split.SEARCH and t.seed >= SCREENING.first]
    original = {t.seed for t in screened if primitives(t)["arcsin"] and len(t.candidate) == 13}  # type: ignore[arg-type]
    assert {t.seed for t in screened} <= original
    assert {factor_of(t) for t in screened} == {100.0}
    confirmation = [t for t in asked if t.split is Split.SELECTION]
    assert {len(t.candidate) for t in confirmation} == {13, 11}  # type: ignore[arg-type]
    by_program = Counter(t.candidate for t in confirmation)
    assert len(set(by_program.values())) == 1
    tuning = {t.seed for t in asked if t.split is Split.SEARCH} - {t.seed for t in screened}
    assert len(tuning) == ABLATION.tuning_seeds
    assert not tuning & original


def test_variants_may_have_a_factor_of_their_own() -> None:
    """Without arcsin or clip twice the learning rate is needed to be as good."""

    def twice(training: Training) -> float:
        names = primitives(training)
        wanted = 100 if names["clip"] and names["arcsin"] else 200
        tuned = 1 + abs(math.log10(factor_of(training) / wanted))
        needed = {*names} >= {"interp", "sqrt", "divide", "add", "multiply"}
        whole = needed and (names["interp"], names["multiply"]) == (2, 5)
        return tuned * noise(training, 0.02) if whole else 3.0

    alone, _ = drive(ablate(PROGRAM8, ABLATION), twice)
    assert alone.statements == LIVE
    wanted = replace(ABLATION, factors=(0.5, 1.0, 2.0))
    ablated, _ = drive(ablate(PROGRAM8, wanted), twice)
    assert [step.before for step in ablated.steps] == ["arcsin(clip(g, lr))"]
    assert "at 2 times the original's learning rates" in ablated.steps[0].reason


# ---------------------------------------------------------------- confirmation


def test_what_fresh_seeds_do_not_confirm_is_taken_back() -> None:
    """On other data every program without clip is 30 % worse."""

    def over_fitted(training: Training) -> float:
        value = only_arcsin_and_clip_are_idle(training)
        worse = training.split is Split.SELECTION and not primitives(training)["clip"]
        return 1.3 * value if worse else value

    ablated, asked = drive(ablate(PROGRAM8, ABLATION), over_fitted)
    assert (ablated.statements, ablated.steps) == (LIVE, ())
    assert ablated.withdrawn == ("arcsin(clip(g, lr)) -> g",)
    assert ablated.confirmed is not None
    assert ablated.confirmed.decision in (Decision.WORSE, Decision.HOPELESS)
    assert "taken back, since fresh seeds did not confirm it: arcsin(clip" in ablated.stage.notes[0]
    seeds = {t.seed for t in asked if t.split is Split.SELECTION}
    assert seeds <= set(CONFIRMATION.seeds(ABLATION.most))


def test_only_as_much_is_taken_back_as_must_be() -> None:
    """The screening lets arcsin go and then clip; on other data clip is needed."""

    def clip_counts(training: Training) -> float:
        names = primitives(training)
        if not names["add"] or not names["abs"] or (names["arcsin"] and not names["clip"]):
            return math.inf
        worse = training.split is Split.SELECTION and not names["clip"]
        return (1.3 if worse else 1.0) * noise(training, 0.05)

    ablated, _ = drive(ablate(ONE_BY_ONE, ABLATION), clip_counts)
    assert [step.before for step in ablated.steps] == ["arcsin(g)"]
    assert ablated.withdrawn == ("clip(g, lr) -> g",)
    assert [s.text for s in ablated.statements][:2] == ["g = clip(g, lr)", "g = g + w"]
    assert "with all before it, on fresh seeds" in ablated.steps[-1].reason


# ---------------------------------------------------------------- limits and mistakes


def test_a_spent_budget_is_told_and_what_was_found_is_still_confirmed() -> None:
    whole, asked = drive(ablate(PROGRAM8, ABLATION), only_arcsin_and_clip_are_idle)
    budget = len(asked) - 60 + ABLATION.reserve
    wanted = replace(ABLATION, budget=min(budget, whole.trainings + ABLATION.reserve - 100))
    ablated, fewer = drive(ablate(PROGRAM8, wanted), only_arcsin_and_clip_are_idle)
    assert ablated.stopped_early
    assert len(fewer) <= wanted.budget
    assert [step.before for step in ablated.steps] == ["arcsin(clip(g, lr))"]
    assert "before everything was tried; raise the budget" in ablated.stage.notes[0]


def test_a_budget_that_ends_in_tuning() -> None:
    tight = replace(ABLATION, budget=ABLATION.reserve + 10)
    with pytest.raises(
        StudyError, match="the budget of 138 trainings ended before the program's learning-rate"
    ):
        drive(ablate(PROGRAM8, tight), only_arcsin_and_clip_are_idle)


def test_a_program_that_diverges_everywhere() -> None:
    with pytest.raises(StudyError, match=r"diverges on quadratic at every learning-rate factor from 0\.01"):
        drive(ablate(PROGRAM8, ABLATION), lambda training: math.inf)


def test_a_program_that_diverges_on_some_seed() -> None:
    def one_bad_seed(training: Training) -> float:
        return math.inf if training.seed == SCREENING.first + 2 else 1.0

    with pytest.raises(
        StudyError, match=r"itself diverges on quadratic with seed 3002 .* leave this task out, or"
    ):
        drive(ablate(PROGRAM8, ABLATION), one_bad_seed)


def test_a_metric_that_has_no_share() -> None:
    with pytest.raises(StudyError, match=r"metric on quadratic is 0 at learning-rate .* above 0; leave"):
        drive(ablate(PROGRAM8, ABLATION), lambda training: 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ()}, "expected at least one task to measure on, found none"),
        ({"margin": 0.0}, "expected a margin above 0"),
        ({"confidence": 1.0}, "expected a chance of error between 0 and 0.5, found 0"),
        ({"confidence": 0.5}, "expected a chance of error between 0 and 0.5"),
        ({"first": 2}, "expected looks at rising numbers of seeds, at least 3"),
        ({"most": MOST_SEEDS + 1}, f"expected at most {MOST_SEEDS} seeds a test, found {MOST_SEEDS + 1}"),
        ({"factors": ()}, "expected learning-rate factors above 0"),
        ({"factors": (1.0, -1.0)}, "expected learning-rate factors above 0"),
        ({"tuning_seeds": 0}, "expected at least 1 tuning seed and 1 variant at once, found 0 and 4"),
        ({"together": 0}, "expected at least 1 tuning seed and 1 variant at once, found 4 and 0"),
        ({"budget": 127}, "a budget of 127 trainings does not pay for one full test; expected at least 128"),
    ],
)
def test_what_is_no_ablation(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        replace(ABLATION, **changes)


# ---------------------------------------------------------------- real trainings


def test_a_real_ablation_through_a_ledger(tmp_path: Path) -> None:
    """A factor of about 1 makes no difference; a second run trains nothing."""
    text = "def train(w, g, m, v, lr):\n    a = g * 1.0001\n    update = a * lr\n    return update, m, v\n"
    statements = parse(text).statements
    ablation = Ablation((TaskPlan("quadratic", (("steps", 20),)),), margin=0.02, most=8, tuning_seeds=1)
    plan = ablation.plan(statements)

    def run() -> tuple[Ablated, int]:
        with Ledger(tmp_path) as ledger, InProcessPool(plan) as pool:
            before = len(ledger)
            ((_, ablated),) = Trials(plan, pool, ledger).run([ablation_work(statements, ablation)])
            return ablated, len(ledger) - before

    ablated, trained = run()
    assert [s.text for s in ablated.statements] == ["update = g * lr"]
    assert trained == ablated.trainings > 0
    assert run() == (ablated, 0)


def test_a_long_program_fits_its_plan() -> None:
    long = LIVE * 4
    assert ABLATION.plan(long).capacity.statements == len(long) + 4
    assert ABLATION.plan(LIVE).capacity.statements == 40
