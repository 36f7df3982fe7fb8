"""Opening a run that somebody else made to do harm: nothing is written elsewhere, nothing hangs or grows."""

import json
import math
import os
import shutil
from pathlib import Path
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_script import Search

from evosearch.errors import EvosearchError, RunError, StudyError
from evosearch.records import RunReader, RunWriter, parts
from evosearch.records.files import write_atomically
from evosearch.records.journal import MAX_BYTES, read_journal
from evosearch.records.layout import SCHEMA, Layout
from evosearch.records.parts import CANDIDATES, EVALUATIONS
from evosearch.study.ledger import Ledger

FIRST = "part-000000000.parquet"


@pytest.fixture
def precious(tmp_path) -> Path:
    """A folder elsewhere with files that must stay as they are."""
    folder = tmp_path / "precious"
    folder.mkdir()
    for name in ("file", FIRST, "part-000000777.parquet", "part-000000000.parquet.tmp"):
        (folder / name).write_text("precious")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def resume_and_write(run: Path) -> None:
    with RunWriter.resume(run) as writer:
        Search()(writer, 30)
        writer.write_best("best")
        writer.write_summary({"a": 1})
        writer.flush()


def read_all(run: Path) -> None:
    reader = RunReader(run)
    reader.candidates(), reader.evaluations(), reader.best(3), reader.best_text, reader.summary
    for id_ in range(0, reader.rows, 5):
        reader.row(id_)


# ---------------------------------------------------------------- links


LINKED = ["journal", "lock", "best.py", "summary.json", "config.yaml", "schema.json"]


@pytest.mark.parametrize("name", LINKED)
def test_nothing_is_written_through_a_link(run, precious, name):
    before = (run / name).read_bytes() if (run / name).exists() else b"{}"
    (precious / "file").write_bytes(before)
    kept = contents(precious)
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(precious / "file")
    with pytest.raises(RunError, match=rf"{name} is a symbolic link, and nothing is written through one"):
        RunWriter.resume(run)
    assert contents(precious) == kept
    if name not in ("journal", "lock"):
        read_all(run)  # reading through links is fine


@pytest.mark.parametrize("name", ["journal", "lock"])
def test_nothing_is_written_to_a_file_that_has_a_name_elsewhere(run, precious, name):
    (precious / "file").write_bytes((run / name).read_bytes())
    kept = contents(precious)
    (run / name).unlink()
    os.link(precious / "file", run / name)
    with pytest.raises(RunError, match=r"found one with a hard link elsewhere"):
        resume_and_write(run)
    assert contents(precious) == kept


@pytest.mark.parametrize("name", ["candidates", "evaluations"])
def test_no_part_is_written_or_removed_through_a_link_to_a_folder(run, precious, name):
    shutil.copytree(run / name, precious, dirs_exist_ok=True)
    kept = contents(precious)
    shutil.rmtree(run / name)
    (run / name).symlink_to(precious, target_is_directory=True)
    with pytest.raises(RunError, match=rf"{name} is a symbolic link"):
        RunWriter.resume(run)
    assert contents(precious) == kept


@pytest.mark.parametrize("name", ["best.py", "summary.json", "journal"])
def test_a_leftover_that_is_a_link_goes_and_what_it_points_to_stays(run, precious, name):
    (run / f"{name}.tmp").symlink_to(precious / "file")
    kept = contents(precious)
    resume_and_write(run)
    assert contents(precious) == kept
    assert not (run / f"{name}.tmp").is_symlink()


def test_a_leftover_that_appears_later_is_not_followed_either(tmp_path, precious):
    (tmp_path / "a.tmp").symlink_to(precious / "file")
    kept = contents(precious)
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert contents(precious) == kept


def test_a_new_run_is_not_started_in_a_folder_of_links(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/candidates").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=r"candidates is a symbolic link"):
        RunWriter.create(tmp_path / "run", "a: 1\n")


def test_the_folder_itself_may_be_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    resume_and_write(tmp_path / "link")
    assert RunReader(tmp_path / "link").rows == 30


def test_a_ledger_cuts_nothing_off_through_a_link(tmp_path, precious):
    (tmp_path / "study").mkdir()
    (tmp_path / "study/ledger.jsonl").symlink_to(precious / "file")
    with pytest.raises(StudyError, match=r"expected a file of its own, found a symbolic link"):
        Ledger(tmp_path / "study")
    assert (precious / "file").read_text() == "precious"


# ---------------------------------------------------------------- what is no file, or too large


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
@pytest.mark.parametrize(
    "name", [*LINKED, f"candidates/{FIRST}", f"evaluations/{FIRST}", "candidates", "evaluations"]
)
def test_nothing_hangs_on_what_is_no_file(run, name, kind):
    path = run / name
    if path.is_dir() and kind == "folder":
        return  # where one belongs
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    told = []
    for way in (read_all, resume_and_write):
        try:
            way(run)
        except RunError as error:
            told.append(str(error))
    assert told
    assert all("\n" not in line for line in told)


@pytest.mark.parametrize(
    "name", ["config.yaml", "schema.json", "summary.json", "best.py", f"candidates/{FIRST}"]
)
def test_a_file_of_gigabytes_is_not_read(run, name):
    with (run / name).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(RunError, match=r"expected at most [\d,]+ bytes, found 1,099,511,627,776"):
        read_all(run)


def line_of(text: str) -> bytes:
    return b"%08x %s\n" % (crc32(text.encode()), text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{}",
        "1" * 10_000,
        '[1,"OK",[],[],[],1]',
        '[1,"BAD",[],[],[],1,1]',
        "[" + "1" * 5000 + "]",
        '[1,"OK","x",[],[],1,1]',
        '[1e999,"OK",[],[],[],1,1]',
    ],
)
def test_a_journal_line_with_a_good_checksum_and_nonsense(run, text):
    (run / "journal").write_bytes(line_of(text))
    with pytest.raises(RunError, match=r"journal, line 1: not an outcome that this evosearch") as told:
        RunWriter.resume(run)
    assert len(str(told.value)) < 600


def test_journals_that_no_search_writes(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b"\n" * 1_000_001)
    with pytest.raises(RunError, match=r"expected at most 1,000,000 lines of at most 16,777,216 bytes"):
        read_journal(path)
    path.write_bytes(b"x" * (1 << 24) + b"yy\n")
    with pytest.raises(RunError, match=r"expected at most 1,000,000 lines of at most 16,777,216 bytes"):
        read_journal(path)
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(RunError, match=r"expected at most 268,435,456 bytes"):
        read_journal(path)


@pytest.mark.parametrize(
    "text", ["[" * 1_000_000, '{"a": ' * 100_000, "1" * 10_000, '{"schema": "x"}', "[1]", "0"]
)
def test_nonsense_in_the_place_of_json(run, text):
    (run / "summary.json").write_text(text if text != '{"schema": "x"}' else "[]")
    with pytest.raises(RunError, match=r"summary\.json is damaged \("):
        _ = RunReader(run).summary
    (run / "schema.json").write_text(text[:9000])
    with pytest.raises(RunError, match=r"schema"):
        RunReader(run)


# ---------------------------------------------------------------- Parquet


def write(path: Path, table: pa.Table, about: dict[str, object] | None = None, **options: object) -> None:
    """A part as `parts` writes it, but for what is asked for."""
    told = {"schema": SCHEMA, "first": 0, "rows": len(table), "last_hash": "00", **(about or {})}
    table = table.replace_schema_metadata({"evosearch": json.dumps(told)})
    kept = {"row_group_size": 5000, "compression": "zstd", "use_dictionary": False, **options}
    pq.write_table(table, path, **kept)


def rows(count: int, **columns: object) -> pa.Table:
    """So many rows of zeros and empty texts, in which some columns are other."""
    made = {"id": range(count), "parent": [-1] * count}
    made |= {"hash": [bytes(16)] * count, **columns}
    arrays = [
        pa.array(made.get(f.name, [{"string": "", "bool": False}.get(str(f.type), 0)] * count), f.type)
        for f in CANDIDATES
    ]
    return pa.Table.from_arrays(arrays, schema=CANDIDATES)


def small(run: Path, table: pa.Table, **options: object) -> int:
    """Make this the only part of a run; its size."""
    for folder in (run / "candidates", run / "evaluations"):
        for path in folder.iterdir():
            path.unlink()
    empty = EVALUATIONS.empty_table()
    write(run / "evaluations" / FIRST, empty)
    write(run / "candidates" / FIRST, table, **options)
    return (run / "candidates" / FIRST).stat().st_size


def refused(run: Path, message: str) -> None:
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    with pytest.raises(RunError, match=message) as told:
        read_all(run)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1000
    assert pool.bytes_allocated() - before < 1 << 20


def test_made_parts_are_read_if_nothing_is_wrong(run):
    small(run, rows(10))
    read_all(run)


def test_zeros_that_zstd_packs_well(run):
    size = small(run, rows(40, text=["\0" * 1_000_000] * 40))
    assert size < 40_000
    refused(run, r"its [\d,]+ bytes expand to 40,[\d,]+, expected at most")


def test_a_long_text_that_a_dictionary_repeats(run):
    text = "x" * 10_000
    assert small(run, rows(5000, text=[text] * 5000), use_dictionary=["text"]) < 100_000
    refused(run, r"a dictionary in column 'text', expected texts in full")


@pytest.mark.parametrize("name", ["mutation", "before", "after", "outcome"])
@pytest.mark.parametrize("coded", [True, False])
def test_a_long_text_where_words_are_expected(run, name, coded):
    small(run, rows(100, **{name: ["x" * 5000] * 100}), use_dictionary=[name] if coded else False)
    refused(run, rf"a text of 5,000 bytes in '{name}', expected at most")


def test_encodings_that_share_what_texts_begin_with(run):
    small(run, rows(100, text=["x" * 100_000] * 100), column_encoding={"text": "DELTA_BYTE_ARRAY"})
    refused(run, r"a page in encoding 7")


def test_a_million_empty_lists(run):
    small(run, rows(10))
    nothing = pa.array([[[[]] * 1_000_000]], EVALUATIONS.field("metrics").type)
    other = [pa.array([v], f.type) for f, v in zip(EVALUATIONS, [0, "OK", [], [], [], 0, 0.0], strict=True)]
    table = pa.Table.from_arrays([*other[:2], nothing, *other[3:]], schema=EVALUATIONS)
    write(run / "evaluations" / FIRST, table)
    assert (run / "evaluations" / FIRST).stat().st_size < 10_000
    refused(run, r"its [\d,]+ bytes expand to 40,[\d,]+, expected at most")


def test_rows_without_bytes(run):
    small(run, rows(100_000), use_dictionary=True, column_encoding=None)
    path = run / "candidates" / FIRST
    assert path.stat().st_size > 2  # what it takes is checked against the least that a row has
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "BYTES_PER_ROW", 50)
        refused(run, r"100,000 rows in [\d,]+ bytes")


@pytest.mark.parametrize("damage", [{"rows": 9}, {"first": "0"}, {"first": 1e400}, {"last_hash": 3}])
def test_parts_that_lie_about_themselves(run, damage):
    small(run, rows(10), about=damage)
    refused(run, r"can't be read \(")


@pytest.mark.parametrize("about", [b"[" * 100_000, b"[]", b"1" * 9000, b"\xff", b'{"schema": "x"}'])
def test_nonsense_in_the_place_of_a_parts_words(run, about):
    small(run, rows(10))
    table = rows(10).replace_schema_metadata({"evosearch": about})
    pq.write_table(table, run / "candidates" / FIRST)
    refused(run, r"can't be read \(")


def test_columns_that_are_not_ours(run):
    small(run, rows(10))
    for table in (
        rows(10).append_column("more", pa.array([1] * 10)),
        rows(10).drop_columns(["score"]),
        pa.table({f"c{i}": [1] * 10 for i in range(1500)}),
        rows(10).set_column(0, "id", pa.array(["x"] * 10)),
        rows(10).set_column(0, "id", pa.array([None] * 10, pa.int64())),
    ):
        write(run / "candidates" / FIRST, table)
        refused(run, r"can't be read \(")


def test_lists_nested_as_deep_as_a_footer_may_be(run):
    small(run, rows(10))
    nested = pa.array([1])
    for _ in range(400):
        nested = pa.ListArray.from_arrays([0, 1], nested)
    write(run / "candidates" / FIRST, pa.table({"id": nested}))
    refused(run, r"can't be read \(")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [0, 1, 2, 3, 9]}, "candidate 4 is called otherwise"),
        ({"parent": [-1, 0, 1, 2, 4]}, "candidate 4 has no older program as parent"),
        ({"parent": [-1, 0, -2, 2, 3]}, "candidate 2 has no older program as parent"),
    ],
)
def test_rows_that_contradict_each_other(run, columns, message):
    small(run, rows(5, **columns))
    refused(run, message)


def test_texts_that_are_not_utf_8(run):
    broken = pa.array([b"\xff\xfe"] * 5).cast(pa.binary()).view(pa.string())
    small(run, rows(5).set_column(4, CANDIDATES.field("mutation"), broken))
    refused(run, r"can't be read \(")


def test_scores_that_are_no_numbers(run):
    small(run, rows(4, score=[math.nan, -math.inf, math.inf, 1.0]))
    read_all(run)


@pytest.mark.parametrize("name", ["part-99999999999999999999.parquet", "part-000000011.parquet"])
def test_names_of_parts_with_absurd_numbers(run, name):
    shutil.copy(run / "candidates" / FIRST, run / "candidates" / name)
    refused(run, r"is missing, expected before part-|is missing: restore it")


def test_numbers_of_parts_are_ascii(run):
    shutil.copy(run / "candidates" / FIRST, run / "candidates/part-00000002٠.parquet")
    read_all(run)  # no part of ours


def test_a_footer_that_claims_gigabytes(run):
    path = run / "candidates" / FIRST
    path.write_bytes(path.read_bytes()[:-8] + (1 << 31).to_bytes(4, "little") + b"PAR1")
    refused(run, r"a footer of 2,147,483,648 bytes, expected at most")


def test_errors_are_all_of_ours(run):
    """Bytes of a part exchanged at random give a RunError, if anything."""
    import random

    path = run / "candidates" / FIRST
    whole, rng = path.read_bytes(), random.Random(1)
    seen = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(rng.randrange(1, 6)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_all(run)
        except EvosearchError:
            seen += 1
    assert seen > 50


def test_leftovers_are_found_though_they_point_nowhere(run):
    (run / "best.py.tmp").symlink_to(run / "nowhere")
    assert Layout(run).leftovers() == [run / "best.py.tmp"]
