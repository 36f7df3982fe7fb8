from pathlib import Path

import pytest
from recorded_runs import written_run

from evosearch.errors import RunError
from evosearch.inspection import read_history
from evosearch.inspection.ancestry import ancestor_ids, ancestry
from evosearch.language import analyze, parse


def test_the_way_follows_parents(history, rows):
    for id_ in (0, 399, 799):
        ids = ancestor_ids(history, id_)
        assert ids[-1] == id_
        assert rows[ids[0]].parent == -1
        assert [rows[b].parent for b in ids[1:]] == ids[:-1]


def test_ancestors_cross_rounds_of_restarts(history, rows):
    assert any(len({rows[a].round for a in ancestor_ids(history, id_)}) == 2 for id_ in range(700, 800))


@pytest.mark.parametrize("id_", range(0, 800, 61))
def test_replay_gives_the_texts_and_live_flags_of_every_ancestor(bred, history, rows, id_):
    way = ancestry(bred, history, id_)
    assert way[0].id == -1
    for ancestor in way[1:]:
        row = rows[ancestor.id]
        assert ancestor.statements == parse(row.text).statements
        assert ancestor.live == analyze(ancestor.statements).live
        assert (ancestor.mutation, ancestor.before, ancestor.after) == (row.mutation, row.before, row.after)


def test_writers_brought_the_text_that_stands(bred, history, rows):
    end = ancestry(bred, history, 799)[-1]
    for statement, writer in zip(end.statements, end.writers, strict=True):
        if writer.id == -1:
            assert history.warm_start.statements[writer.statement] == statement
        else:
            assert rows[writer.id].after == statement.text
            assert rows[writer.id].statement == writer.statement
    assert len(set(end.writers)) == len(end.writers)


def test_a_program_drawn_at_random_is_its_own_beginning(drawn):
    (only,) = ancestry(drawn, read_history(drawn), 7)
    assert (only.id, only.mutation) == (7, "random")
    assert {writer.id for writer in only.writers} == {7}


def test_an_id_that_is_not_there(history):
    for id_ in (800, -1):
        with pytest.raises(RunError, match=rf"there is no candidate {id_} in .*: ids go from 0 to 799"):
            ancestor_ids(history, id_)


def test_a_parent_that_is_younger_than_its_child(tmp_path: Path, rows):
    run = written_run(tmp_path / "run", [rows[0], rows[1]._replace(parent=1)])
    with pytest.raises(RunError, match=r"candidate 1 has no older program as parent"):
        ancestor_ids(read_history(run), 1)


def test_a_text_that_is_not_what_the_mutations_give(tmp_path: Path, rows):
    child = next(row for row in rows if row.parent == -1 and row.text != rows[0].text)
    run = written_run(tmp_path / "run", [rows[0], child._replace(id=1, text=rows[0].text)])
    with pytest.raises(RunError, match=r"the text of .*run:1 is not what its ancestors' mutations give"):
        ancestry(run, read_history(run), 1)
