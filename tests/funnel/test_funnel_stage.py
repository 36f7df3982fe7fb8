"""A stage: everybody tuned alike, seeds of its own, and nothing of the search in its decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from funnel_fakes import MadeUpPool, Quiet, entrant, program

from evosearch.errors import StudyError
from evosearch.evaluation import Tuned
from evosearch.funnel.config import ReportConfig, StageConfig
from evosearch.funnel.contest import Noted, stage_seed
from evosearch.funnel.entrants import Entrant, of_program, of_reference
from evosearch.funnel.stage import (
    FRESH,
    Reported,
    Staged,
    check_stage,
    report_stage,
    run_stage,
    stage_plan,
    task_labels,
)
from evosearch.funnel.verdict import Decision
from evosearch.language import parse
from evosearch.study import trials as trials_module
from evosearch.study.ledger import Ledger
from evosearch.study.trials import Trials
from evosearch.workers import InProcessPool

pytestmark = pytest.mark.usefixtures("quick_compile")

TASK = {"name": "digits_mlp", "steps": 5, "width": 8, "batch": 16}
OTHER = {**TASK, "width": 16}
ONCE = {"settings": 4, "finalists": 2, "more": 2, "anew": "stage"}
ANEW = {**ONCE, "anew": "seed"}
QUALITY = {3.0: 0.9, 5.0: 1.0, 7.0: 1.1, 11.0: inf, 13.0: 0.8}


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are not traced: with made-up metrics their functions mean nothing."""
    monkeypatch.setattr(trials_module, "task_identity", lambda plan, task: f"{plan.tasks[task]}")


def stage(name: str = "one", **values: Any) -> StageConfig:
    usual: dict[str, Any] = {
        "tasks": [TASK],
        "tuning": ONCE,
        "seeds": {"first": 4, "most": 16},
    }
    return StageConfig.model_validate({"name": name, **usual, **values})


Found = tuple[Staged, list[Noted], tuple[Reported, ...]]


def run(
    folder: Path,
    config: StageConfig,
    entrants: Sequence[Entrant],
    seed: int = 0,
    quality: Mapping[float, float] = QUALITY,
    noise: float = 0.05,
) -> Found:
    """A stage and its report, with made-up trainings."""
    plan, notes, view = stage_plan(config, entrants), list[Noted](), Quiet()
    with Ledger(folder) as ledger, MadeUpPool(plan, quality, noise) as pool:
        trials = Trials(plan, pool, ledger, view)
        found = run_stage(
            config, seed, entrants, trials, notes.append, lambda state: view.looked(config.name, state)
        )
        reported = report_stage(config, found, ReportConfig(seeds=5, most=2), seed, trials, notes.append)
    assert [look for _, look in view.looks] == list(range(1, len(view.looks) + 1))
    return found, notes, reported


def decided(found: Staged) -> dict[str, Decision]:
    return {verdict.name: verdict.decision for verdict in found.verdicts}


EVERYONE = (entrant("good", 3.0, 9.0), entrant("same", 5.0, 1.0), entrant("bad", 7.0, 0.1))


def test_everybody_is_tuned_alike(tmp_path: Path, made_up: None) -> None:
    found, notes, _ = run(
        tmp_path, stage(tasks=[TASK, OTHER], baselines=["adamw", "sgd"]), [*EVERYONE, entrant("fails", 11.0)]
    )
    tunings = [note for note in notes if note.purpose == "tuning"]
    counts = Counter((note.name, note.task) for note in tunings)
    names = ("optax:adamw", "optax:sgd", "good", "same", "bad")
    assert {counts[name, task] for name in names for task in ("digits_mlp", "digits_mlp #2")} == {8}
    # Four settings on one seed each; nothing is a finalist.
    assert counts["fails", "digits_mlp"] == 4
    assert {note.split for note in tunings} == {"SEARCH"}
    assert {note.seed for note in tunings} == {stage_seed(0, "one", "tuning 0", k) for k in range(3)}
    for name in names:
        of_name = [note for note in tunings if note.name == name and note.task == "digits_mlp"]
        assert len({note.candidate for note in of_name}) == 4
        assert [optimum.settings for optimum in found.settings(name, 0)] == [4]
    assert found.trainings == sum(note.purpose != "report" for note in notes)
    assert decided(found)["fails"] is Decision.FAILED


def test_each_seed_is_tuned_anew(tmp_path: Path, made_up: None) -> None:
    config = stage(tuning=ANEW, seeds={"first": 4, "most": 8})
    assert config.tuned_anew
    found, notes, reported = run(tmp_path, config, EVERYONE)
    assert [row.name for row in reported] == ["optax:adamw", "good"]
    for name, seeds in found.seeds.items():
        tunings = Counter(n.seed for n in notes if n.purpose == "tuning" and n.name == name)
        # The report has tunings of its own, so that nobody is told of at the setting that was lucky.
        numbers = [*range(seeds), *([FRESH + k for k in range(5)] if name in ("optax:adamw", "good") else [])]
        assert set(tunings) == {
            stage_seed(0, "one", f"tuning {number}", k) for number in numbers for k in range(3)
        }
        assert sum(tunings.values()) == len(numbers) * 8
        assert len(found.settings(name, 0)) == seeds
        contest = [n for n in notes if n.purpose == "contest" and n.name == name]
        tunable = {e.name: e.tunable for e in (*found.baselines, *EVERYONE)}[name]
        for number, optimum in enumerate(found.settings(name, 0)):
            (training,) = (n for n in contest if n.seed == stage_seed(0, "one", "contest", number))
            assert training.candidate == tunable.at(optimum.place)
    assert len({optimum.place for optimum in found.settings("optax:adamw", 0)}) > 1


@pytest.mark.parametrize(
    ("anew", "rule", "expected"),
    [("auto", "better", True), ("auto", "best", False), ("seed", "best", True), ("stage", "better", False)],
)
def test_when_each_seed_is_tuned_anew(anew: str, rule: str, expected: bool) -> None:
    assert stage(tuning={"anew": anew}, promote={"rule": rule}).tuned_anew is expected


def test_seeds_are_a_stages_own_and_splits_are_kept_apart(tmp_path: Path, made_up: None) -> None:
    seeds: dict[tuple[str, str], set[int]] = {}
    splits = {"tuning": "SEARCH", "contest": "SELECTION", "report": "REPORT"}
    for name in ("one", "two"):
        found, notes, _ = run(tmp_path / name, stage(name), EVERYONE)
        assert {(note.purpose, note.split) for note in notes} == set(splits.items())
        for note in notes:
            seeds.setdefault((name, note.purpose), set()).add(note.seed)
        # All who take part in a look do so on the same seeds, so that they can be paired.
        numbers = {
            note.seed: k
            for k in range(16)
            for note in notes
            if note.seed == stage_seed(0, name, "contest", k)
        }
        for who, count in found.seeds.items():
            mine = sorted(numbers[n.seed] for n in notes if n.name == who and n.purpose == "contest")
            assert mine == list(range(count))
    other_funnel = {stage_seed(1, "one", purpose, k) for purpose in splits for k in range(16)}
    every = [*seeds.values(), other_funnel, set(range(1000))]  # a search counts its seeds from 0
    assert len(seeds) == 6
    assert len(set().union(*every)) == sum(map(len, every))


def test_no_score_of_the_search_comes_in(tmp_path: Path, made_up: None) -> None:
    config = stage(promote={"most": 1})
    two = [*EVERYONE, entrant("best", 13.0)]
    found, notes, reported = run(tmp_path / "a", config, two)
    told = [replace(one, score=score) for one, score in zip(two, (None, 0.0, -5.0, inf), strict=True)]
    again, noted, reported_again = run(tmp_path / "b", config, told)
    assert found == replace(again, entrants=tuple(two))
    assert sorted(map(repr, notes)) == sorted(map(repr, noted))
    assert reported == reported_again
    assert [one.name for one in found.survivors] == ["best"]
    assert decided(found)["good"] is Decision.SURPLUS


def test_twenty_funnels_keep_what_is_better_and_nothing_else(tmp_path: Path, made_up: None) -> None:
    """Eight that are exactly as good as AdamW with noise of their own, one 10 % better, one 10 % worse."""
    same = {float(mark): 1.0 for mark in (17, 19, 23, 29, 31, 37, 41, 43)}
    everyone = [*(entrant(f"same {mark:g}", mark) for mark in same), EVERYONE[0], EVERYONE[2]]
    kept, wrong = 0, 0
    for seed in range(20):
        config = stage(tuning={"settings": 1, "more": 1, "anew": "stage"})
        found, _, _ = run(tmp_path / f"{seed}", config, everyone, seed, {**same, **QUALITY})
        names = {one.name for one in found.survivors}
        kept += "good" in names
        wrong += bool(names - {"good"})
    assert kept == 20
    assert wrong <= 2  # 5 % of funnels at most; three or more of 20 have a chance of 7 %


def test_a_gain_that_is_asked_for(tmp_path: Path, made_up: None) -> None:
    by = {share: stage(promote={"by": share}) for share in (0.02, 0.3)}
    assert [one.name for one in run(tmp_path / "a", by[0.02], EVERYONE)[0].survivors] == ["good"]
    found, notes, reported = run(tmp_path / "b", by[0.3], EVERYONE)
    assert (found.survivors, reported) == ((), ())
    assert decided(found)["good"] in (Decision.WORSE, Decision.HOPELESS)
    assert {note.purpose for note in notes} == {"tuning", "contest"}


def test_the_best_few_whatever_they_are_worth(tmp_path: Path, made_up: None) -> None:
    config = stage(promote={"rule": "best", "most": 2})
    found, _, _ = run(tmp_path, config, [entrant("fails", 11.0), entrant("worse", 7.0), *EVERYONE[1:]])
    assert decided(found)["fails"] is Decision.FAILED
    first, _ = found.survivors
    assert first.name == "same"


def test_survivors_on_data_that_no_stage_has_seen(tmp_path: Path, made_up: None) -> None:
    everyone = [*EVERYONE, entrant("best", 13.0)]
    found, notes, reported = run(tmp_path, stage(tasks=[TASK, OTHER]), everyone, noise=0.02)
    assert [one.name for one in found.survivors] == ["best", "good"]
    assert [row.name for row in reported] == ["optax:adamw", "best", "good"]
    of_report = Counter((note.name, note.task) for note in notes if note.purpose == "report")
    assert of_report == {(n.name, task): 5 for n in reported for task in ("digits_mlp", "digits_mlp #2")}
    assert reported[0].differences == {}
    for row, truth in zip(reported[1:], (-0.2, -0.1), strict=True):
        difference = row.differences["optax:adamw"]
        assert difference is not None
        assert difference.difference == pytest.approx(truth, abs=0.05)
        # By hand: the mean over tasks of paired differences, as shares of the baseline's mean.
        metrics = {
            (note.name, note.task, note.seed): note.measured.metric
            for note in notes
            if note.purpose == "report"
        }
        shares = []
        for task in ("digits_mlp", "digits_mlp #2"):
            theirs = [m for (name, label, _), m in metrics.items() if (name, label) == ("optax:adamw", task)]
            ours = [m for (name, label, _), m in metrics.items() if (name, label) == (row.name, task)]
            shares.append(sum(ours) / sum(theirs) - 1)
        assert difference.difference == pytest.approx(sum(shares) / 2)


def test_a_budget(tmp_path: Path, made_up: None) -> None:
    free = run(tmp_path / "free", stage(), EVERYONE)[0]
    least = 4 * (8 + 4)  # baseline and entrants: tuning and a first look
    assert free.trainings > least + 8
    with pytest.raises(
        StudyError, match=rf"stage one: a budget of {least - 1} .* expected at least {least},"
    ):
        check_stage(stage(budget=least - 1), 3)
    for budget in (least, least + 6, least + 8):
        config = stage(budget=budget)
        check_stage(config, 3)
        found = run(tmp_path / f"{budget}", config, EVERYONE)[0]
        assert least <= found.trainings <= budget
        assert Decision.UNPAID in decided(found).values()
    check_stage(stage(promote={"rule": "best"}), 10**9)
    least = 4 * 4 * (8 + 1)  # a tuning for each seed of the first look
    with pytest.raises(StudyError, match=rf"expected at least {least},"):
        check_stage(stage(tuning=ANEW, budget=least - 1), 3)
    for budget in (least, least + 30):
        found = run(tmp_path / f"anew {budget}", stage(tuning=ANEW, budget=budget), EVERYONE)[0]
        assert least <= found.trainings <= budget


def test_a_test_that_nobody_can_pass_is_refused() -> None:
    few = stage(seeds={"first": 4, "most": 8})
    check_stage(few, 1)
    with pytest.raises(
        StudyError, match=r"with 8 seeds at most nobody of 40 can be promoted at .* at least (\d+),"
    ) as error:
        check_stage(few, 40)
    enough = int(str(error.value).split("at least ")[1].split(",")[0])
    check_stage(stage(seeds={"first": 4, "most": enough}), 40)


def test_a_baseline_that_fails(tmp_path: Path, made_up: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funnel_fakes.BASELINE", inf)
    with pytest.raises(
        StudyError, match=r"baseline 'optax:adamw' failed on 4 of 4 seeds of task 'digits_mlp'"
    ):
        run(tmp_path, stage(), EVERYONE)


def test_what_tasks_are_called() -> None:
    tasks = [TASK, {"name": "char_mlp", "preset": "x10"}, TASK, {"name": "char_mlp"}, TASK]
    labels = task_labels(stage(tasks=tasks))
    assert labels == ("digits_mlp", "char_mlp x10", "digits_mlp #2", "char_mlp", "digits_mlp #3")


# ---------------------------------------------------------------- real trainings

BROKEN = of_program("broken", parse(program(-1.0)), "ascends")


def test_adamw_against_adamw_and_what_is_broken(tmp_path: Path) -> None:
    """AdamW is tuned anew for each seed, by the two names on their own: luck is noise, and is not promoted.

    Tuned once for the stage the luckier one is promoted in every third funnel of such a kind.
    """
    planted = of_reference("adamw", planted=True)
    everyone = [planted, BROKEN]
    config = stage(tuning={"settings": 3, "more": 1}, seeds={"first": 4, "most": 8})
    plan = stage_plan(config, everyone)
    promoted = 0
    with Ledger(tmp_path / "null") as ledger, InProcessPool(plan) as pool:
        trials = Trials(plan, pool, ledger)
        for seed in range(8):
            notes: list[Noted] = []
            found = run_stage(config, seed, everyone, trials, notes.append, lambda state: None)
            same, broken = found.verdicts
            promoted += same.promoted
            assert not broken.promoted
            assert broken.differences[0].mean > 0.1
            both = [
                {(n.candidate, n.seed) for n in notes if n.name == name}
                for name in ("optax:adamw", planted.name)
            ]
            assert both[0] != both[1]
    assert promoted <= 1  # with a chance of 5 % each, two or more of 8 have one of 6 %
    assert any(isinstance(note.candidate, Tuned) for note in notes)
