"""Who goes into a funnel: the best of a run, spread or along its progress, folders, and every mistake."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from funnel_fakes import entrant, program
from recorded_runs import bred_run, written_run

from evosearch.errors import ProgramError, RunError, StudyError
from evosearch.evolution import Restarts
from evosearch.funnel.config import EntrantsConfig
from evosearch.funnel.entrants import (
    Entrant,
    distinct,
    entrant_from,
    of_folder,
    of_program,
    of_reference,
    of_run,
)
from evosearch.inspection import read_history
from evosearch.inspection.ancestry import ancestor_ids
from evosearch.language import analyze, builtin, parse
from evosearch.language.fingerprint import fingerprint
from evosearch.records import Row, RunReader


@pytest.fixture(scope="module")
def bred(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    return bred_run(tmp_path_factory.mktemp("entrants") / "bred", restarts=Restarts(runs=6, programs=100))


@pytest.fixture(scope="module")
def rows(bred: RunReader) -> list[Row]:
    return bred.take(range(bred.rows))


def ids(found: list[Entrant]) -> list[int]:
    assert all(one.name.startswith("bred:") for one in found)
    return [int(one.name.removeprefix("bred:")) for one in found]


def picked(run: RunReader, **values: Any) -> list[int]:
    return ids(of_run(run, EntrantsConfig(**values)))


def test_the_best_by_score_distinct_by_hash_and_behaviour(bred: RunReader, rows: list[Row]) -> None:
    """Against a plain sort of all rows, the first of each hash and of each behaviour."""
    hashes, behaviours, expected = set(), set(), []
    for row in sorted((row for row in rows if math.isfinite(row.score)), key=lambda row: (row.score, row.id)):
        behaviour = fingerprint(parse(row.text).statements)
        if row.hash not in hashes and behaviour not in behaviours:
            expected.append(row.id)
        hashes.add(row.hash)
        behaviours.add(behaviour)
    found = of_run(bred, EntrantsConfig(count=30))
    assert ids(found) == expected[:30]
    assert len(hashes) > len(behaviours)  # else nothing was tested
    assert [one.score for one in found] == [rows[id_].score for id_ in expected[:30]]
    for one in found:
        assert one.statements is not None
        assert all(analyze(one.statements).live)
        assert one.source == str(bred.path)


def test_no_more_of_a_restart_than_asked_for(bred: RunReader, rows: list[Row]) -> None:
    found = picked(bred, count=8, per_restart=2)
    places = [rows[id_].restart for id_ in found]
    assert len(found) == 8
    assert max(map(places.count, places)) == 2
    free = [rows[id_].restart for id_ in picked(bred, count=20)]
    assert max(map(free.count, free)) > 2
    # Greedy: who is left out would be the third of its restart.
    best_first = picked(bred, count=80)
    for place, id_ in enumerate(best_first[: best_first.index(found[-1])]):
        before = [other for other in found if other in best_first[:place]]
        full = [rows[other].restart for other in before].count(rows[id_].restart) == 2
        assert (id_ in found) != full


def test_no_more_of_a_lineage_than_asked_for(bred: RunReader) -> None:
    history = read_history(bred)

    def related(one: int, other: int, steps: int) -> bool:
        mine, theirs = (set(ancestor_ids(history, id_)[::-1][: steps + 1]) for id_ in (one, other))
        return bool(mine & theirs)

    best_first = picked(bred, count=80)
    for steps in (6, 30):
        found = picked(bred, count=8, per_lineage=1, relatives=steps)
        for place, id_ in enumerate(found):
            assert not any(related(id_, other, steps) for other in found[:place])
        left_out = [id_ for id_ in best_first[: best_first.index(found[-1])] if id_ not in found]
        assert left_out
        for id_ in left_out:
            assert any(related(id_, other, steps) for other in found)
    pairs = picked(bred, count=8, per_lineage=2, relatives=30)
    assert pairs != found
    for place, id_ in enumerate(pairs):
        assert sum(related(id_, other, 30) for other in pairs[:place]) <= 1


def test_who_was_best_along_the_way(bred: RunReader, rows: list[Row]) -> None:
    found = picked(bred, pick="progress", count=5)
    expected = []
    for end in (120, 240, 360, 480, 600):
        best = min(rows[:end], key=lambda row: (row.score, row.id)).id
        expected += [] if best in expected else [best]
    assert bred.rows == 600
    assert found == expected
    assert len(found) > 1
    assert picked(bred, pick="progress", count=1) == [expected[-1]]


def test_a_run_with_fewer_programs_than_asked_for(bred: RunReader, rows: list[Row], tmp_path: Path) -> None:
    few = written_run(tmp_path / "bred", rows[:12])
    assert 0 < len(picked(few, count=500)) < 12
    assert 0 < len(picked(few, count=500, pick="progress")) < 12


def test_a_run_of_another_vocabulary(bred: RunReader, rows: list[Row], tmp_path: Path) -> None:
    """The best one, or the very first (which tells the warm start), has a primitive that is gone."""
    for id_ in (picked(bred, count=1)[0], 0):
        known = [row for row in rows if row.id <= max(id_, 200)]
        known[id_] = known[id_]._replace(text=program(1.0).replace("g * 1.0", "squircle(g)"))
        run = written_run(tmp_path / f"{id_}", known)
        with pytest.raises(
            RunError, match=r"can't enter, it was made with another vocabulary: .*squircle"
        ) as e:
            of_run(run, EntrantsConfig())
        assert "\n" not in str(e.value)


def test_runs_without_anybody(rows: list[Row], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no programs yet"):
        of_run(written_run(tmp_path / "empty", []), EntrantsConfig())
    failed = [row._replace(score=math.inf, outcome="DIVERGED") for row in rows[:20]]
    run = written_run(tmp_path / "failed", failed)
    for pick in ("score", "progress"):
        with pytest.raises(RunError, match="has trained to the end, so none is best"):
            of_run(run, EntrantsConfig(pick=pick))  # type: ignore[arg-type]


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text(program(3.0))
    (tmp_path / "a.py").write_text(str(builtin("lion")))
    (tmp_path / "notes.txt").write_text("no program")
    found = of_folder(tmp_path)
    assert [(one.name, one.source, one.score) for one in found] == [
        ("a", str(tmp_path / "a.py"), None),
        ("b", str(tmp_path / "b.py"), None),
    ]
    (tmp_path / "c.py").write_text(program(3.0).replace("g * 3.0", "lr * 3.0"))
    with pytest.raises(ProgramError, match=r"c\.py is no valid program: "):
        of_folder(tmp_path)
    (tmp_path / "c.py").write_text("def train(w):")
    with pytest.raises(ProgramError, match=r"c\.py:1"):
        of_folder(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(ProgramError, match=r"none is neither a run .* nor a folder of programs"):
        of_folder(tmp_path / "none")


def test_dead_code_stays_outside() -> None:
    text = program(3.0).replace("    update", "    x = square(w)\n    update")
    assert of_program("a", parse(text), "here") == of_program("a", parse(program(3.0)), "here")


def test_of_several_alike_the_first_goes_in() -> None:
    twice = program(3.0).replace("g * 3.0", "g + g\n    update = update + g")
    same = of_program("sum", parse(twice), "here")
    adamw = of_reference("adamw", planted=True)
    kept, alike = distinct([entrant("a", 3.0), adamw, same, entrant("b", 5.0), adamw, entrant("a", 3.0)])
    assert [one.name for one in kept] == ["a", "optax:adamw (planted)", "b"]
    assert alike == [("sum", "a"), (adamw.name, adamw.name), ("a", "a")]


@pytest.mark.parametrize(
    ("entrants", "message"),
    [
        ([entrant("a", 3.0), entrant("a", 5.0)], "two different programs are named 'a', from made up and"),
        ([entrant("optax:adamw", 3.0)], "is named 'optax:adamw' as if it were optax's; rename it"),
        ([], "expected a run, a folder, a program or entrants.planted, found nobody"),
    ],
)
def test_who_can_not_go_in(entrants: list[Entrant], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        distinct(entrants)


def test_a_planted_reference_is_tuned_as_the_baseline_is() -> None:
    planted, baseline = of_reference("adamw", planted=True), of_reference("adamw")
    assert (planted.name, baseline.name) == ("optax:adamw (planted)", "optax:adamw")
    assert planted.text == baseline.text == "optax:adamw"
    assert dict(planted.tunable.grids) == dict(baseline.tunable.grids)
    start = (2, 1, 0, 0)
    assert planted.tunable.at(start) == baseline.tunable.at(start)


def test_entrants_are_kept(bred: RunReader) -> None:
    everyone = [*of_run(bred, EntrantsConfig(count=5)), of_reference("lion", planted=True), entrant("a", 3.0)]
    assert [entrant_from(one.to_json(), "entrants.json") for one in everyone] == everyone


@pytest.mark.parametrize(
    "change",
    [
        {"text": program(3.0).replace("g * 3.0", "squircle(g)")},
        {"text": program(3.0).replace("g * 3.0", "lr * 3.0")},
        {"text": "optax:adamw"},
        {"text": 5},
        {"name": 5},
        {"score": "good"},
        {"name": "optax:adamv (planted)", "text": "optax:adamv"},
    ],
)
def test_damaged_entrants(change: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=r"^entrants.json, entrant 1 is damaged \(.*start the funnel anew"):
        entrant_from({**entrant("a", 3.0).to_json(), **change}, "entrants.json, entrant 1")
    with pytest.raises(StudyError, match="is damaged"):
        entrant_from({"name": "a"}, "entrants.json, entrant 1")
