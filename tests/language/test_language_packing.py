"""Programs as bytes, as the native engine and messages to workers have them."""

import pickle

import pytest
from hypothesis import given

from evosearch.language import Statement, builtin, builtin_names, packing
from evosearch.language.mutation import Statements
from evosearch.language.packing import STATEMENT_BYTES, PackedStatements, Packing
from evosearch.language.program import INPUTS
from tests.strategies import programs


def packing_of(statements: Statements) -> Packing:
    names = [name for s in statements for name in (s.target, *s.variables)]
    return Packing(tuple(dict.fromkeys([*INPUTS, *names])))


@given(programs())
def test_what_is_packed_is_read_back(program) -> None:
    own = packing_of(program.statements)
    packed = own.pack(program.statements)
    assert len(packed) == STATEMENT_BYTES * len(program)
    assert own.unpack(packed) == Packing(own.variables).unpack(packed) == program.statements
    assert Packing(own.variables).pack(own.unpack(packed)) == packed


@given(programs())
def test_packed_statements_are_like_the_tuple_of_them(program) -> None:
    own = packing_of(program.statements)
    packed = PackedStatements(own, own.pack(program.statements))
    assert len(packed) == len(program)  # and nothing was read for that
    assert packed._read is None
    assert packed == program.statements
    assert program.statements == packed
    assert hash(packed) == hash(program.statements)
    assert (packed[0], packed[-1], packed[1:]) == (
        program.statements[0],
        program.statements[-1],
        program.statements[1:],
    )
    assert repr(packed) == repr(program.statements)
    assert packed != program.statements[:-1]
    assert packed != "text"


@pytest.mark.parametrize("name", builtin_names())
def test_a_message_has_the_bytes_and_no_statements(name: str) -> None:
    statements = builtin(name).statements
    own = packing_of(statements)
    message = pickle.dumps([PackedStatements(own, own.pack(statements))] * 2, pickle.HIGHEST_PROTOCOL)
    assert b"Statement\x94" not in message
    assert len(message) < 300 + 12 * len(own.variables) + STATEMENT_BYTES * len(statements)
    first, second = pickle.loads(message)
    assert first == second == statements


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "REMEMBERED", 3)
    own = Packing(("g", "update"))
    for number in range(10):
        statements = (Statement("update", "multiply", ("g", float(number))),)
        assert own.unpack(own.pack(statements)) == statements
        assert len(own._known) <= 3
