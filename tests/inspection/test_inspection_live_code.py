import pytest
from hypothesis import given
from strategies import programs, trying

from evosearch.errors import RunError
from evosearch.inspection.live_code import LiveCode, live_flags
from evosearch.language import Program, Statement, analyze, builtin, builtin_names, parse
from evosearch.language.program import Constant

SWAP = {"m": "v", "v": "m"}


def swapped(program: Program) -> Program:
    """The program with the slots' names exchanged."""

    def name(text):
        return text if isinstance(text, Constant) else SWAP.get(text, text)

    return Program(
        tuple(Statement(name(s.target), s.primitive, tuple(map(name, s.args))) for s in program.statements)
    )


def written(text: str) -> Program:
    lines = "\n".join(f"    {line.strip()}" for line in text.strip().splitlines())
    return parse(f"def train(w, g, m, v, lr):\n{lines}\n    return update, m, v\n")


def ideas_of(reader: LiveCode, text: str) -> list[int]:
    return [live.idea for live in reader.of(written(text).statements)]


@given(programs())
@trying(200)
def test_live_flags_are_those_of_analyze(program):
    assert live_flags(program.statements) == analyze(program.statements).live


@given(programs())
@trying(200)
def test_text_and_statements_give_what_analyze_says(program):
    reader, analysis = LiveCode(), analyze(program.statements)
    found = reader.of_text(str(program), "here")
    assert found == reader.of(program.statements)
    expected = [i for i, live in enumerate(analysis.live) if live and analysis.values[i].depends]
    assert [live.statement for live in found] == expected
    assert [live.primitive for live in found] == [program.statements[i].primitive for i in expected]


@given(programs())
@trying(100)
def test_ideas_do_not_depend_on_the_names_of_slots(program):
    reader = LiveCode()
    assert reader.of(program.statements) == reader.of(swapped(program).statements)


@pytest.mark.parametrize("name", builtin_names())
def test_shipped_programs(name):
    assert live_flags(builtin(name).statements) == analyze(builtin(name).statements).live


def test_an_idea_is_blind_to_constants_names_and_the_order_of_arguments():
    reader = LiveCode()
    one = ideas_of(reader, "a = g * 0.5\nupdate = a + w")
    assert ideas_of(reader, "t1 = 0.25 * g\nupdate = w + t1") == one
    assert ideas_of(reader, "k = exp(0.5)\na = g * k\nupdate = a + w") == one
    assert ideas_of(reader, "a = g - 0.5\nupdate = a + w") != one
    assert ideas_of(reader, "a = g - w\nupdate = a / g") != ideas_of(reader, "a = w - g\nupdate = a / g")


def test_numbers_are_no_ideas():
    found = LiveCode().of(written("k = get_e()\nk = k * 2.0\nupdate = g * k").statements)
    assert [(live.statement, live.primitive) for live in found] == [(2, "multiply")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "here is not a program as evosearch prints it"),
        ("x = 1\n", "here is not a program as evosearch prints it"),
        (str(builtin("sgd")).replace("update", "update  ", 1), "expected a statement as evosearch prints it"),
        (str(builtin("lion")).replace("sign", "sgn"), r"found 'update = sgn\(update\)'"),
    ],
)
def test_what_evosearch_would_not_print(text, message):
    with pytest.raises(RunError, match=message):
        LiveCode().of_text(text, "here")
