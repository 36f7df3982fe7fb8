"""The evolution that only deletes and modifies, on pretended trainings."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from ablation_fakes import ABLATION, LIVE, PROGRAM8, drive, only_arcsin_and_clip_are_idle, own

from evosearch.errors import StudyError
from evosearch.language import analyze
from evosearch.study.ablation_evolution import Evolving, evolve
from evosearch.study.sequential import Decision
from evosearch.study.trials import Training
from proxy_tasks import Split

EVOLVING = Evolving(children=150)


def test_arcsin_and_clip_go_and_what_is_needed_stays() -> None:
    evolved, asked = drive(
        evolve(PROGRAM8, ABLATION, random.Random(0), EVOLVING), only_arcsin_and_clip_are_idle
    )
    left = [s.primitive for s in evolved.statements]
    assert "arcsin" not in left
    assert "clip" not in left
    assert len(left) == len(LIVE) - 2
    assert analyze(evolved.statements).valid
    assert evolved.confirmed is not None
    assert evolved.confirmed.decision is Decision.ACCEPTED
    rules = [step.rule for step in evolved.steps]
    assert set(rules) <= {"measured deletion", "measured modification"}
    assert rules.count("measured deletion") >= 1
    assert all(step.after == "" for step in evolved.steps if step.rule == "measured deletion")
    assert len(evolved.tried) <= EVOLVING.children
    assert len(asked) == evolved.trainings


def test_nothing_grows_and_no_program_is_tested_twice() -> None:
    _, asked = drive(evolve(PROGRAM8, ABLATION, random.Random(1), EVOLVING), only_arcsin_and_clip_are_idle)
    assert max(len(own(training)) for training in asked) == len(LIVE)
    assert len(asked) == len(set(asked))


def test_the_same_numbers_give_the_same_history_and_others_another() -> None:
    few = Evolving(children=30)
    runs = [
        drive(evolve(PROGRAM8, ABLATION, random.Random(seed), few), only_arcsin_and_clip_are_idle)[0]
        for seed in (2, 2, 3)
    ]
    assert runs[0] == runs[1]
    assert [t.name for t in runs[0].tried] != [t.name for t in runs[2].tried]


def test_the_lineage_is_taken_back_where_it_is_not_confirmed() -> None:
    def over_fitted(training: Training) -> float:
        shorter = len(own(training)) < len(LIVE)
        value = only_arcsin_and_clip_are_idle(training)
        return 1.5 * value if training.split is Split.SELECTION and shorter else value

    evolved, _ = drive(evolve(PROGRAM8, ABLATION, random.Random(0), EVOLVING), over_fitted)
    assert len(evolved.statements) == len(LIVE)
    assert evolved.withdrawn


def test_it_ends_where_no_new_program_is_left() -> None:
    """A program of one statement can't lose it; all that can be changed is soon known."""
    tiny = (LIVE[-1].__class__("update", "sign", ("g",)),)
    evolved, _ = drive(evolve(tiny, ABLATION, random.Random(0), EVOLVING), lambda training: 1.0)
    assert len(evolved.statements) == 1
    assert len(evolved.tried) < EVOLVING.children


def test_the_budget_ends_it() -> None:
    tight = replace(ABLATION, budget=ABLATION.reserve + 300)
    evolved, asked = drive(evolve(PROGRAM8, tight, random.Random(0), EVOLVING), only_arcsin_and_clip_are_idle)
    assert evolved.stopped_early
    assert len(asked) <= tight.budget


@pytest.mark.parametrize("changes", [{"population": 0}, {"tournament": 0}, {"children": 0}])
def test_what_is_no_evolution(changes: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="expected a population, a tournament and children of 1 or more"):
        Evolving(**changes)
