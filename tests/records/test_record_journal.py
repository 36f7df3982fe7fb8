import json
import math
import re
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosearch.errors import RunError
from evosearch.evaluation.outcome import Outcome, Status
from evosearch.records.journal import (
    Journal,
    decode_line,
    encode_line,
    intact,
    read_journal,
    write_journal,
)
from evosearch.records.parts import evaluations_from, evaluations_table
from evosearch.records.row import Evaluation

floats = st.floats(allow_nan=False)
nested = st.lists(st.lists(st.lists(floats, max_size=3).map(tuple), max_size=3).map(tuple), max_size=3).map(
    tuple
)
evaluations = st.builds(
    Evaluation,
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3).map(tuple), max_size=3).map(tuple),
    st.builds(Outcome, st.sampled_from(Status), nested, nested, st.integers(0, 2**63 - 1), floats),
)


def some(count: int) -> list[Evaluation]:
    return [
        Evaluation(i - 1, ((i,), (2, 3)), Outcome(Status.OK, (((0.1 * i, math.inf),),), (), i, 0.5))
        for i in range(count)
    ]


@given(evaluations)
def test_a_line_reads_back_exactly(evaluation):
    line = encode_line(evaluation)
    assert line.count(b"\n") == 1
    assert intact(line[:-1])
    assert decode_line(line[:-1]) == evaluation


@given(st.lists(evaluations, max_size=4))
def test_a_part_reads_back_exactly(found):
    assert evaluations_from(evaluations_table(found)) == found


def test_nan_reads_back_from_both():
    evaluation = Evaluation(3, (), Outcome(Status.OK, (((math.nan, 1.0),),)))
    for back in (
        decode_line(encode_line(evaluation)[:-1]),
        *evaluations_from(evaluations_table([evaluation])),
    ):
        ((first, second),) = back.outcome.metrics[0]
        assert math.isnan(first)
        assert second == 1.0


def test_lines_are_strict_json():
    outcome = Outcome(Status.WORKER_LOST, (((math.inf, -math.inf, math.nan, 0.1),),))
    line = encode_line(Evaluation(-1, ((0,),), outcome))
    assert line[9:] == b'[-1,"WORKER_LOST",[[["inf","-inf","nan",0.1]]],[],[[0]],0,0.0]\n'

    def refuse(token: str) -> None:
        raise AssertionError(token)

    json.loads(line[9:], parse_constant=refuse)


def test_a_journal_cut_at_any_byte_gives_the_whole_lines_before_it(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, some(5))
    whole = path.read_bytes()
    ends = [0, *(match.end() for match in re.finditer(b"\n", whole))]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        found, broken = read_journal(path)
        complete = sum(end <= length for end in ends) - 1
        assert found == some(5)[:complete]
        assert broken == (length not in ends)


@pytest.mark.parametrize("tail", [b"\0" * 700, b"\n\n\n", b"garbage\nmore\n", b"00000000 []\n"])
def test_any_broken_end_is_dropped(tmp_path, tail):
    path = tmp_path / "journal"
    write_journal(path, some(3))
    with path.open("ab") as file:
        file.write(tail)
    assert read_journal(path) == (some(3), True)


def test_a_flipped_bit_is_never_believed(tmp_path):
    """At the end it looks like a crash and lines are dropped; before, it is an error that names the line."""
    path = tmp_path / "journal"
    write_journal(path, some(4))
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n")
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        if at >= last:
            assert read_journal(path) == (some(3 if at > last else 2), True)
        else:
            line = whole[:at].count(b"\n") + 1
            with pytest.raises(
                RunError, match=rf"journal, line {line}: the checksum does not match.*remove that line"
            ):
                read_journal(path)


def test_a_good_line_of_another_version_is_an_error(tmp_path):
    path = tmp_path / "journal"
    line = encode_line(some(1)[0])
    body = line[9:-1].replace(b"OK", b"NEW")
    path.write_bytes(line + b"%08x %s\n" % (crc32(body), body))
    with pytest.raises(
        RunError, match=r"line 2: not an outcome that this evosearch understands.*'NEW'.*version"
    ):
        read_journal(path)


def test_lines_are_added_in_order_and_spill(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, some(2))
    journal = Journal(path)
    for evaluation in some(3000)[2:]:
        journal.append(evaluation)
    assert path.stat().st_size > 1 << 16, "a long journal is not gathered in memory until the next sync"
    journal.sync()
    assert read_journal(path) == (some(3000), False)
    journal.replace(some(1))
    journal.append(some(2)[1])
    journal.sync()
    journal.close()
    assert read_journal(path) == (some(2), False)
