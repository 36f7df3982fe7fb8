import json
import math
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_script import LAG, Search, content, evaluated, finished, outcome_of, row_of, seeds_of

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.language import analyze, builtin, program_text
from evosearch.language.mutation import MutationRules, mutate
from evosearch.language.vocabulary import vocabulary
from evosearch.records import Evaluation, OutcomeReader, Row, RunReader, RunWriter
from evosearch.records import outcomes as outcomes_module
from evosearch.records.journal import read_journal
from evosearch.records.parts import CANDIDATES, ROWS_PER_GROUP, read_parts, rows_from, rows_table

small = st.integers(-(2**31), 2**31 - 1)
large = st.integers(-(2**63), 2**63 - 1)
rows = st.builds(
    Row,
    id=large,
    parent=large,
    round=small,
    restart=small,
    mutation=st.text(max_size=6),
    statement=small,
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    invalid=small,
    hash=st.binary(min_size=16, max_size=16),
    text=st.text(),
    statements=small,
    live_statements=small,
    cache_hit=st.booleans(),
    outcome=st.sampled_from([status.name for status in Status]),
    score=st.floats(allow_nan=False),
    seeds=small,
    steps=large,
    seconds=st.floats(allow_nan=False),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("records") / "run"
    finished(path)
    return path


# ---------------------------------------------------------------- values


@given(st.lists(rows, max_size=5))
def test_rows_read_back_exactly(found):
    assert rows_from(rows_table(found)) == found


def test_every_field_of_a_row_has_its_column():
    assert list(Row._fields) == CANDIDATES.names


# ---------------------------------------------------------------- writing and reading


def test_a_run_is_what_was_written(run):
    reader = RunReader.open(run)
    outcomes = {id_: outcome_of(id_) if evaluated(id_) else None for id_ in range(40)}
    expected = [row_of(id_, outcomes[id_]) for id_ in range(40)]
    assert reader.rows == 40
    assert rows_from(reader.candidates()) == expected
    assert [reader.row(id_) for id_ in (39, 0, 10, 9)] == [expected[i] for i in (39, 0, 10, 9)]
    assert sum(batch.num_rows for batch in reader.iter_batches(["id"])) == 40
    assert reader.config_text == "name: script\n"
    assert reader.best_text == "def train(w, g, m, v, lr): ...\n"
    assert reader.summary == {"programs": 40}
    assert reader.evaluations()["seeds"].to_pylist() == [
        [list(seeds) for seeds in seeds_of(id_)] for id_ in range(40) if evaluated(id_)
    ]


def test_the_folder(run):
    parts = [
        "part-000000000.parquet",
        "part-000000010.parquet",
        "part-000000020.parquet",
        "part-000000030.parquet",
    ]
    assert sorted(path.name for path in (run / "candidates").iterdir()) == parts
    assert sorted(path.name for path in (run / "evaluations").iterdir()) == parts
    assert sorted(path.name for path in run.iterdir() if path.is_file()) == sorted(
        ["best.py", "config.yaml", "journal", "lock", "schema.json", "summary.json"]
    )


def test_other_programs_read_the_parts_as_one_table(run):
    found = pq.read_table(run / "candidates")
    assert found.num_rows == 40
    assert found["score"].to_pylist() == RunReader.open(run).candidates(["score"])["score"].to_pylist()
    assert math.inf in found["score"].to_pylist()


def test_a_finished_run_is_resumed_without_a_job_or_a_change(run):
    before = content(run)
    search = Search()
    with RunWriter.resume(run, rows_per_part=10) as writer:
        assert writer.durable_rows == 40
        assert writer.config_text == "name: script\n"
        search(writer, 40)
    assert search.evaluated == []
    assert content(run) == before


def test_a_run_may_go_on_beyond_its_end(tmp_path):
    finished(tmp_path / "run", 25)
    with RunWriter.resume(tmp_path / "run", rows_per_part=10) as writer:
        Search()(writer, 40)
    finished(tmp_path / "at once", 40)
    assert content(tmp_path / "run") == content(tmp_path / "at once")


def test_columns_can_be_chosen(run):
    reader = RunReader.open(run)
    assert reader.candidates(["score", "id"]).column_names == ["score", "id"]
    with pytest.raises(RunError, match="no column 'scor'; did you mean 'score'"):
        reader.candidates(["scor"])


def test_columns_of_evaluations_and_several_rows_at_once(run):
    reader = RunReader(run)
    table = reader.evaluations(["status", "id"])
    assert table.column_names == ["status", "id"]
    assert table["id"].to_pylist() == reader.evaluations()["id"].to_pylist()
    with pytest.raises(RunError, match="no column 'stat'; did you mean 'status'"):
        reader.evaluations(["stat"])
    assert reader.take([39, 0, 10, 0]) == [reader.row(id_) for id_ in (39, 0, 10, 0)]
    with pytest.raises(RunError, match="there is no candidate 40 in"):
        reader.take([39, 40])


def test_a_candidate_that_is_not_there(run):
    for id_ in (-1, 40):
        with pytest.raises(RunError, match=rf"no candidate {id_} in .*run: ids go from 0 to 39"):
            RunReader.open(run).row(id_)


def test_a_run_without_candidates(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n"):
        reader = RunReader.open(tmp_path / "run")
    assert reader.rows == 0
    assert reader.candidates().schema == CANDIDATES
    assert reader.candidates().num_rows == reader.evaluations().num_rows == 0
    assert reader.best(3) == []
    assert reader.best_text is reader.summary is None
    with pytest.raises(RunError, match=r"no candidate 0 .*has no candidates yet"):
        reader.row(0)


def test_reading_while_a_writer_writes(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n", rows_per_part=5) as writer:
        for id_ in range(12):
            writer.add(row_of(id_, None))
        early = RunReader.open(tmp_path / "run")
        for id_ in range(12, 20):
            writer.add(row_of(id_, None))
        late = RunReader.open(tmp_path / "run")
        assert (early.rows, late.rows) == (10, 20)
        assert early.candidates().num_rows == 10
        assert rows_from(late.candidates()) == [row_of(id_, None) for id_ in range(20)]


def test_a_reader_between_the_two_files_of_a_part(tmp_path, run):
    """The evaluations are there first; a reader does not miss the rows."""
    reader = RunReader.open(run)
    assert reader.evaluations().num_rows == sum(map(evaluated, range(40)))
    parts = read_parts(reader._layout)
    moved = tmp_path / "part.parquet"
    parts[-1].candidates.rename(moved)
    assert RunReader.open(run).rows == 30
    moved.rename(parts[-1].candidates)


def test_the_best_are_finite_distinct_and_judged_by_their_latest_score(tmp_path):
    scores = [
        (b"a", 1.0),
        (b"b", 3.0),
        (b"c", 2.0),
        (b"a", 4.0),
        (b"d", math.inf),
        (b"e", 2.0),
        (b"f", math.nan),
    ]
    with RunWriter.create(tmp_path / "run", "a: 1\n", rows_per_part=2) as writer:
        for id_, (hash_, score) in enumerate(scores):
            writer.add(row_of(id_, None)._replace(hash=hash_ * 16, score=score))
        writer.flush()
    reader = RunReader.open(tmp_path / "run")
    assert [row.id for row in reader.best(10)] == [2, 5, 1, 3]
    assert [row.id for row in reader.best()] == [2]
    assert reader.best(0) == []


def test_a_row_is_found_in_any_group_of_a_large_part(tmp_path):
    count = ROWS_PER_GROUP * 2 + 7
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        for id_ in range(count):
            writer.add(row_of(0, None)._replace(id=id_))
        writer.flush()
    reader = RunReader.open(tmp_path / "run")
    asked = [0, ROWS_PER_GROUP - 1, ROWS_PER_GROUP, 2 * ROWS_PER_GROUP, count - 1]
    assert [reader.row(id_).id for id_ in asked] == asked


# ---------------------------------------------------------------- what a writer refuses


def test_rows_come_in_order(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        writer.add(row_of(0, None))
        with pytest.raises(ValueError, match="expected id 1, found 0"):
            writer.add(row_of(0, None))


def test_an_outcome_is_recorded_once(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        writer.acknowledge(0, ((0,),), Outcome(Status.OK))
        with pytest.raises(ValueError, match="outcome of candidate 0 was recorded before"):
            writer.acknowledge(0, ((0,),), Outcome(Status.OK))
        writer.add(row_of(0, None))
        writer.flush()
        with pytest.raises(ValueError, match="outcome of candidate 0 was recorded before"):
            writer.acknowledge(0, ((0,),), Outcome(Status.OK))


def test_another_history_can_not_be_continued(tmp_path):
    finished(tmp_path / "run", 20)
    with RunWriter.resume(tmp_path / "run") as writer:
        for id_ in range(9):
            writer.add(row_of(id_, None))
        with pytest.raises(
            RunError, match=r"run can't be continued: candidate 9 is another program.*version"
        ):
            writer.add(row_of(9, None)._replace(hash=bytes(16)))


def test_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        RunError, match=r"is not empty \(it holds notes.txt\): use --resume .*or another --out"
    ):
        RunWriter.create(tmp_path, "a: 1\n")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["config.yaml", "schema.json", "best.py", "journal"])
def test_a_file_of_someone_else_is_not_taken_for_a_broken_off_start(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=rf"is not empty \(it holds {name}\)"):
        RunWriter.create(tmp_path, "a: 1\n")
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_is_not_created_over_another(run):
    with pytest.raises(RunError, match=r"is not empty \(it holds .*--resume"):
        RunWriter.create(run, "a: 1\n")


def test_a_path_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file is a file, expected a folder"):
        RunWriter.create(tmp_path / "file", "a: 1\n")
    with pytest.raises(RunError, match="below: "):
        RunWriter.create(tmp_path / "file" / "below", "a: 1\n")


@pytest.mark.parametrize("opened", [RunWriter.resume, RunReader.open])
def test_no_run(tmp_path, opened):
    with pytest.raises(RunError, match=r"there is no run at .*nowhere: .*without --resume"):
        opened(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not a run: it has no config.yaml"):
        opened(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_writer(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        with pytest.raises(RunError, match=r"run is in use by process \d+ on .+: wait .*stop it, or .*--out"):
            RunWriter.resume(tmp_path / "run")
        writer.acknowledge(-1, ((0,),), Outcome(Status.OK))
    RunWriter.resume(tmp_path / "run").close()


def test_a_refused_resume_lets_go_of_the_lock(tmp_path):
    finished(tmp_path / "run", 10)
    (tmp_path / "run" / "journal").rename(tmp_path / "aside")
    with pytest.raises(RunError, match=r"can't read .*journal: No such file"):
        RunWriter.resume(tmp_path / "run")
    (tmp_path / "aside").rename(tmp_path / "run" / "journal")
    RunWriter.resume(tmp_path / "run").close()


def test_a_closed_writer(tmp_path):
    writer = RunWriter.create(tmp_path / "run", "a: 1\n")
    writer.close()
    writer.close()
    with pytest.raises(RunError, match="run is closed"):
        writer.acknowledge(0, (), Outcome(Status.OK))


def test_closing_syncs_what_was_acknowledged(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        writer.acknowledge(7, ((0,),), Outcome(Status.OK, steps=3))
    with RunWriter.resume(tmp_path / "run") as writer:
        assert writer.outcomes().take(7) == Outcome(Status.OK, steps=3)


def test_a_flush_syncs_what_was_acknowledged_also_without_rows(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        writer.acknowledge(7, ((0,),), Outcome(Status.OK))
        writer.flush()
        assert read_journal(tmp_path / "run" / "journal") == (
            [Evaluation(7, ((0,),), Outcome(Status.OK))],
            False,
        )


def test_a_summary_is_strict_json(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        with pytest.raises(ValueError, match="not JSON compliant"):
            writer.write_summary({"score": math.inf})
        writer.write_summary({"score": 0.1})
    assert json.loads((tmp_path / "run" / "summary.json").read_text()) == {"score": 0.1}


# ---------------------------------------------------------------- outcomes for the replay


def test_outcomes_are_read_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes_module, "WINDOW", LAG)
    finished(tmp_path / "run", 400)
    search = Search()
    with RunWriter.resume(tmp_path / "run") as writer:
        search(writer, 400)
    assert search.evaluated == []
    assert 0 < search.most_buffered <= 2 * 10 + LAG + 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_outcomes_may_be_asked_for_within_a_window(run, seed):
    order = sorted(range(-1, 45), key=lambda id_: id_ + random.Random(seed * 1000 + id_).uniform(0, 9))
    with RunWriter.resume(run) as writer:
        known = writer.outcomes()
        found = {id_: known.take(id_) for id_ in order}
        assert known.take(39) is None, "each is handed out once"
        assert known.buffered == 0
    assert found == {
        id_: outcome_of(id_) if id_ == -1 or (id_ < 40 and evaluated(id_)) else None for id_ in range(-1, 45)
    }


def test_an_id_far_behind_is_a_mistake(run, monkeypatch):
    monkeypatch.setattr(outcomes_module, "WINDOW", 10)
    known = OutcomeReader(read_parts(RunReader.open(run)._layout), [])
    known.take(30)
    known.take(20)
    with pytest.raises(ValueError, match="id 19 was asked for after 30: more than 10 behind"):
        known.take(19)


def test_negative_ids_stay_in_the_journal_for_good(tmp_path):
    with RunWriter.create(tmp_path / "run", "a: 1\n", rows_per_part=2) as writer:
        for id_ in range(4):
            writer.acknowledge(-1 - id_, ((id_,),), Outcome(Status.OK, steps=id_))
            writer.add(row_of(id_, None))
    with RunWriter.resume(tmp_path / "run") as writer:
        known = writer.outcomes()
        assert [known.take(id_) for id_ in (-1, -2, -3, -4)] == [
            Outcome(Status.OK, steps=i) for i in range(4)
        ]
    assert Evaluation(-1, (), Outcome(Status.OK)).id == -1


# ---------------------------------------------------------------- size


def test_real_programs_take_little_room(tmp_path):
    """Chains of mutations from AdamW on, about 1 KB of text each: 300,000 stay far below 100 MB."""
    rng, count = random.Random(0), 3000
    rules = MutationRules((("insert", 4.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper"))
    population = [builtin("adamw").statements]
    made: list[Row] = []
    while len(made) < count:
        parent = rng.randrange(len(population))
        child = mutate(rng, population[parent], rules)
        judged = analyze(child[0]) if child is not None else None
        if child is None or judged is None or not judged.valid:
            continue
        statements, mutation = child
        population[rng.randrange(len(population))] = statements
        if len(statements) == 30 and len(population) == 1:
            population *= 100
        known = row_of(len(made), None)._replace(hash=rng.randbytes(16), score=rng.random())
        made.append(
            known._replace(
                mutation=mutation.kind,
                before=mutation.before,
                after=mutation.after,
                text=program_text(statements),
                seconds=rng.random(),
            )
        )
    with RunWriter.create(tmp_path / "run", "a: 1\n") as writer:
        for row in made:
            noise = tuple(rng.random() for _ in range(3))
            writer.acknowledge(
                row.id, ((0,),), Outcome(Status.OK, ((noise,),), ((noise,),), 600, rng.random())
            )
            writer.add(row)
        writer.flush()
    size = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert sum(len(row.text) for row in made) / count > 600
    assert size / count < 100e6 / 300_000 * 0.8


def test_a_table_says_what_is_null_free():
    assert not any(field.nullable for field in CANDIDATES)
    assert rows_table([row_of(0, None)]).schema == CANDIDATES
    assert isinstance(CANDIDATES, pa.Schema)
