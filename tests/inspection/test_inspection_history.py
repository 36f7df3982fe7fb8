import math
from pathlib import Path

import numpy as np
import pytest
from recorded_runs import WARM_SCORE, bred_run, written_run

from evosearch.errors import RunError
from evosearch.inspection import read_history
from evosearch.inspection.history import exchanged
from evosearch.language import analyze, builtin
from evosearch.records import RunReader, RunWriter


def test_columns_are_those_of_the_rows(history, rows):
    assert len(history) == len(rows) == 800
    for name in (
        "parent",
        "score",
        "cache_hit",
        "statements",
        "live_statements",
        "invalid",
        "seeds",
        "steps",
    ):
        assert getattr(history, name).tolist() == [getattr(row, name) for row in rows]
    assert [history.mutation.names[code] for code in history.mutation.codes] == [r.mutation for r in rows]
    assert [history.outcome.names[code] for code in history.outcome.codes] == [r.outcome for r in rows]
    assert history.outcome.is_("OK").tolist() == [row.outcome == "OK" for row in rows]
    assert not history.outcome.is_("no such thing").any()


def test_programs_are_numbered_by_hash_in_order(history, rows):
    hashes = list(dict.fromkeys(row.hash for row in rows))
    assert history.different == len(hashes)
    assert history.program.tolist() == [hashes.index(row.hash) for row in rows]
    assert history.first_rows.tolist() == [next(r.id for r in rows if r.hash == h) for h in hashes]


def test_the_warm_start_is_found_by_undoing_a_mutation(history, rows):
    assert history.warm_start == builtin("adamw")
    digest = bytes.fromhex(analyze(builtin("adamw").statements).hash)
    assert {r.hash for r in rows if history.program[r.id] == history.warm_program} == {digest}
    assert history.warm_score == WARM_SCORE


def test_parents_scores_and_changes(history, rows):
    digest = bytes.fromhex(analyze(builtin("adamw").statements).hash)
    for row in rows:
        parent = rows[row.parent] if row.parent >= 0 else None
        assert history.parent_score[row.id] == (parent.score if parent else WARM_SCORE)
        assert history.changed[row.id] == (row.hash != (parent.hash if parent else digest))


def test_ranking_agrees_with_the_reader(bred, history, rows):
    ranked = history.ranked().tolist()
    assert ranked[:50] == [row.id for row in bred.best(50)]
    assert all(math.isfinite(rows[id_].score) for id_ in ranked)
    best = history.best_id()
    assert rows[best].hash == rows[ranked[0]].hash
    assert not any(row.hash == rows[best].hash for row in rows[:best])


def test_ranking_takes_the_latest_estimate(tmp_path: Path):
    run = bred_run(tmp_path / "run", 300, policy="accumulating")
    history = read_history(run)
    assert history.ranked().tolist() == [row.id for row in run.best(300)]
    assert history.seeds.max() == 3


def test_the_warm_score_comes_from_the_summary_where_no_row_has_its_hash(tmp_path: Path, rows):
    lonely = next(row for row in rows if row.parent == -1 and row.hash != rows[0].hash)
    other = next(r for r in rows if r.parent == -1 and r.score != WARM_SCORE)
    assert lonely
    run = written_run(tmp_path / "run", [other._replace(id=0)])
    assert math.isnan(read_history(run).warm_score)
    with RunWriter.resume(tmp_path / "run") as writer:
        writer.write_summary({"warm_start_score": 3.5})
    history = read_history(run)
    assert (history.warm_score, history.warm_program) == (3.5, -1)
    assert history.changed.tolist() == [True]


def test_programs_drawn_at_random_have_no_warm_start(drawn):
    history = read_history(drawn)
    assert history.warm_start is None
    assert history.warm_program == -1
    assert set(history.mutation.names) == {"random"}


def test_an_empty_run_says_so(tmp_path: Path):
    run = written_run(tmp_path / "run", [])
    with pytest.raises(RunError, match=r"run holds no programs yet: .* wait, or go on with --resume"):
        read_history(run)


def test_a_run_that_grows_is_read_as_far_as_it_got(tmp_path: Path, rows):
    with RunWriter.create(tmp_path / "run", "name: growing\n", rows_per_part=3) as writer:
        for row in rows[:5]:
            writer.add(row)
        history = read_history(RunReader(tmp_path / "run"))
        assert history.score.tolist() == [row.score for row in rows[:3]]


def test_a_run_without_a_best_says_so(failed):
    history = read_history(failed)
    assert len(history.ranked()) == 0
    with pytest.raises(RunError, match=r"no program of .* has trained to the end.* see --outcomes"):
        history.best_id()


def test_best_so_far(history, rows):
    assert history.best_so_far[-1] == min(row.score for row in rows)
    assert (np.diff(history.best_so_far[np.isfinite(history.best_so_far)]) <= 0).all()


def test_exchanged_refuses_what_does_not_fit():
    statements = builtin("adamw").statements
    with pytest.raises(
        RunError, match=r"x:1 does not fit its parent: expected 'm = m' as statement 2, found 'm = "
    ):
        exchanged(statements, 1, "m = m", "", "x:1")
    with pytest.raises(RunError, match=r"expected 'a place' as statement 12, found 'none'"):
        exchanged(statements, 11, "", "t = sign(g)", "x:1")
    with pytest.raises(RunError, match=r"the mutation of x:1 can't be read .*; restore the run from a copy"):
        exchanged(statements, 0, "", "t = ((", "x:1")
    assert len(exchanged(statements, 9, "", "t = sign(g)", "x:1")) == 10
