"""Which primitives a search may use."""

import re

import pytest

from evosearch.errors import ConfigError
from evosearch.language.vocabulary import vocabulary, vocabulary_fingerprint
from primitives import BY_NAME, TABLE


def test_sizes():
    assert len(vocabulary()) == len(vocabulary("paper")) == 43
    assert len(vocabulary("all")) == 45
    assert set(vocabulary("all")) - set(vocabulary("paper")) == {"negative", "rms"}


def test_the_order_is_the_tables():
    order = [row.name for row in TABLE]
    assert list(vocabulary("all")) == order
    assert vocabulary("paper", include=["rms", "negative"]) == vocabulary("all")
    assert list(vocabulary("paper", exclude=["sign"])) == [n for n in vocabulary() if n != "sign"]


def test_include_and_exclude():
    assert len(vocabulary("paper", include=["rms"])) == 44
    assert "rms" in vocabulary("paper", include=["rms"])
    assert vocabulary("paper", include=["add"]) == vocabulary("paper")
    assert vocabulary("paper", include=["rms"], exclude=["rms"]) == vocabulary("paper")
    assert vocabulary("all", exclude=[n for n in BY_NAME if n != "add"]) == ("add",)


def test_aliases_are_understood():
    names = vocabulary("paper", exclude=["interpolate", "clip_by_global_norm"])
    assert "interp" not in names
    assert "clip" not in names
    assert len(names) == 41
    assert vocabulary("paper", include=["interpolate"]) == vocabulary("paper")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "papr"}, "unknown vocabulary 'papr'; did you mean 'paper'? (known: paper, all)"),
        ({"name": "xyzzy"}, "unknown vocabulary 'xyzzy' (known: paper, all)"),
        ({"include": ["sqroot"]}, "unknown primitive 'sqroot'; did you mean 'sqrt'?"),
        ({"exclude": ["interpolat"]}, "unknown primitive 'interpolat'; did you mean 'interpolate'?"),
        ({"exclude": ["sign", "xyzzy"]}, "unknown primitive 'xyzzy'"),
        ({"exclude": list(BY_NAME)}, "the vocabulary is empty: exclude fewer primitives"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        vocabulary(**arguments)


def test_the_fingerprint_tells_vocabularies_apart():
    names = [
        vocabulary("paper"),
        vocabulary("all"),
        vocabulary("all", exclude=["rms"]),
        ("add",),
        ("subtract",),
    ]
    prints = [vocabulary_fingerprint(n) for n in names]
    assert len(set(prints)) == len(prints)
    assert prints[0] == vocabulary_fingerprint(vocabulary("paper"))
    assert all(len(p) == 16 and int(p, 16) >= 0 for p in prints)
