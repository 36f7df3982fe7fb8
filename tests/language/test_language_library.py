"""The programs that ship with evosearch."""

import pytest

from evosearch.errors import ProgramError
from evosearch.language import Constant, analyze, builtin, builtin_names, parse
from evosearch.language.library import builtin_summary, builtin_text
from evosearch.language.vocabulary import vocabulary

NAMES = (
    "adabelief",
    "adagrad",
    "adam",
    "adamw",
    "lion",
    "momentum",
    "nesterov",
    "program4",
    "program8",
    "rmsprop",
    "sgd",
    "signsgd",
    "signum",
)

every_program = pytest.mark.parametrize("name", NAMES)


def test_names():
    assert builtin_names() == NAMES


@every_program
def test_each_is_valid(name):
    program = builtin(name)
    assert analyze(program.statements).refusal is None
    assert parse(str(program)) == program
    assert parse(builtin_text(name)) == program


@every_program
def test_each_has_a_one_line_summary(name):
    summary = builtin_summary(name)
    assert "\n" not in summary
    assert 15 < len(summary) < 120
    assert summary.endswith(".")


@every_program
def test_each_stays_within_the_papers_vocabulary(name):
    assert {s.primitive for s in builtin(name).statements} <= set(vocabulary("paper"))


def test_all_mean_different_things_except_for_program4_and_program8():
    hashes = {name: analyze(builtin(name).statements).hash for name in NAMES}
    assert len(set(hashes.values())) == len(NAMES) - 1
    assert hashes["program4"] == hashes["program8"]


def test_the_constants_of_program8():
    constants = [a.value for s in builtin("program8").statements for a in s.args if isinstance(a, Constant)]
    assert constants == [
        0.6270633339881897,
        0.8999999761581421,
        1.109133005142212,
        0.0002171761734643951,
        0.4601978361606598,
        1.4572199583053589,
    ]
    assert len(builtin("program8")) == 21
    assert len(builtin("program4")) == 13


def test_a_program_is_read_once():
    assert builtin("lion") is builtin("lion")


@pytest.mark.parametrize(
    ("name", "hint"), [("loin", "; did you mean 'lion'?"), ("xyzzy", ""), ("../secret", "")]
)
def test_an_unknown_name(name, hint):
    with pytest.raises(ProgramError, match="unknown program") as caught:
        builtin(name)
    assert str(caught.value) == f"unknown program {name!r}{hint} (shipped: {', '.join(NAMES)})"
