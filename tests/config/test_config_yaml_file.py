"""YAML read strictly."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evosearch.config.yaml_file import Document, dump_yaml, parse_value, parse_yaml, read_yaml
from evosearch.errors import ConfigError
from evosearch.language import program_text
from evosearch.language.mutation import MutationRules, random_program
from evosearch.language.vocabulary import vocabulary


def data_of(text: str) -> Any:
    return parse_yaml(text, "f.yaml").data


def test_data_and_where_each_value_stands() -> None:
    data, lines = parse_yaml("a: 1\nb:\n  - x\n  - c: {d: 2.5}\n    e: null\n", "f.yaml")
    assert data == {"a": 1, "b": ["x", {"c": {"d": 2.5}, "e": None}]}
    assert lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
        ("b", 1, "c", "d"): 4,
        ("b", 1, "e"): 5,
    }


def test_aliases_are_followed() -> None:
    assert data_of("a: &x [1, {b: 2}]\nc: *x\n") == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 20)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 900))

REFUSED = {
    "the same key twice": ("a: 1\nb: 2\na: 3\n", r"^f\.yaml:3: the key 'a' stands here twice$"),
    "the same key twice, deeper": ("a:\n  - {x: 1, x: 2}\n", r"^f\.yaml:2: the key 'x' stands here twice$"),
    "a key that is a list": ("? [a]\n: 1\n", r"^f\.yaml:1: expected a name as key$"),
    "an object": ("a: 1\nb: !!python/object:os.system {x: 1}\n", r"^f\.yaml:2: .*tag.*python/object:os\.sys"),
    "a call": ('!!python/object/apply:os.system ["touch /tmp/x"]\n', r"^f\.yaml:1: .*tag.*apply:os\.system"),
    "a tuple": ("a: !!python/tuple [1]\n", r"^f\.yaml:1: .*tag.*python/tuple"),
    "a name": ("a: !!python/name:os.system\n", r"^f\.yaml:1: .*tag.*python/name:os\.system"),
    "a set": ("a: !!set {x}\n", r"^f\.yaml:1: .*tag.*:set"),
    "somebody's tag": ("a: !x 1\n", r"^f\.yaml:1: expected no tag, found '!x'$"),
    "a bomb of aliases": (BOMB, r"^f\.yaml:1: expected at most 20000 values \(aliases count each time\)$"),
    "a chain of aliases": (CHAIN, r"^f\.yaml:1: expected at most 50 levels$"),
    "an alias to itself": ("a: &a [*a]\n", r"^f\.yaml:1: expected at most 50 levels$"),
    "an unknown alias": ("b: *a\n", r"^f\.yaml:1: this is not YAML: found undefined alias 'a'$"),
    "a huge file": ("a: " + "x" * 1_000_000, r"^f\.yaml: expected at most 1000000 characters$"),
    "deep nesting": ("{a: " * 3000, r"^f\.yaml: this is not YAML: .*recursion"),
    "a time of 100,000 digits": ("a: 1" + ":1" * 50_000, r"^f\.yaml:1: expected a number of at most 100"),
    "a million values": ("[" + "1," * 400_000 + "]", r"^f\.yaml:1: expected at most 20000 keys and values$"),
    "a tag that does not fit": ("a: !!bool x\n", r"^f\.yaml:1: expected no tag, found '.*:bool'$"),
    "a tag that does": ("a: !!str 5\n", r"^f\.yaml:1: expected no tag, found '.*:str'$"),
    "a tab": ("a:\n\tb: 1\n", r"^f\.yaml:2: this is not YAML: found character '\\t' that cannot start"),
    "an open bracket": ("a: [1,\n", r"^f\.yaml:2: this is not YAML: expected the node content"),
    "two documents": ("a: 1\n---\nb: 2\n", r"^f\.yaml:2: this is not YAML: but found another document$"),
    "a number of 5,000 digits": (
        "a: " + "9" * 5000,
        r"^f\.yaml:1: expected a number of at most 100 characters, found 5000$",
    ),
    "a day that is none": ("a: 2024-13-99\n", r"^f\.yaml: this is not YAML: month must be in 1\.\.12$"),
    "a control character": ("a: \0\n", r"^f\.yaml: this is not YAML: unacceptable character #x0000"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what: str) -> None:
    text, message = REFUSED[what]
    with pytest.raises(ConfigError, match=message) as told:
        parse_yaml(text, "f.yaml")
    assert "\n" not in str(told.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file$"):
        read_yaml(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match=r": can't be read: Is a directory$"):
        read_yaml(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r": can't be read: it is not UTF-8 text$"):
        read_yaml(tmp_path / "binary")


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("null", None), ("", None), ("[1, 2]", [1, 2]), ("a b", "a b")],
)
def test_single_values(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("seed", range(30))
def test_a_programs_text_survives_as_a_block(seed: int) -> None:
    rules = MutationRules((), vocabulary("all"), max_statements=30)
    text = program_text(random_program(random.Random(seed), rules))
    dumped = dump_yaml({"warm_start": text, "n": 1})
    assert data_of(dumped) == {"warm_start": text, "n": 1}
    lines = dumped.splitlines()
    assert lines[:2] == ["warm_start: |", "  def train(w, g, m, v, lr):"]
    assert len(lines) == text.count("\n") + 2


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn", "Co"))),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), inner)
    ),
    max_leaves=15,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), plain, max_size=4))
def test_plain_data_survives_dumping(data: dict[str, object]) -> None:
    dumped = dump_yaml(data)
    assert data_of(dumped) == data
    assert yaml.safe_load(dumped) == data


def test_keys_keep_their_order() -> None:
    assert list(data_of(dump_yaml({"z": 1, "a": 2, "m": 3}))) == ["z", "a", "m"]


# ---------------------------------------------------------------- anything at all

PIECES = (
    *("a: 1\n", "b: x\n", "- x\n", "- - - ", "? ", ": ", "|\n", ">-\n", "--- ", "...\n", "&a ", "*a", "<<: "),
    *(
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!null ",
        "!!binary ",
        "!!timestamp ",
        "!!set ",
        "!!omap ",
        "!!merge ",
    ),
    *(
        "!!python/object:os.system ",
        "!x ",
        "%YAML 1.2\n",
        "%TAG ! x\n",
        "\\x",
        "\\U",
        "0x",
        "0b2",
        "1_0",
        "1:2",
    ),
    *("-.inf", ".nan", "2024-13-99", "2024-02-01T25:61:61Z", "yes", "9" * 5000),
    *"{}[],'\"#=~!%@`  \t\n\r\0\x85\u2028\ufeff\ud800",
)
"""What means something in YAML, or to a reader of it."""

anything = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=30).map("".join)


def told_or_read(read: Callable[[], Document], source: str, text: str) -> None:
    """A document with a line for each value, or one line that begins with the file; the lines do exist."""
    count = 1 + len(re.findall(r"\r\n|[\r\n\x85\u2028\u2029]", text))
    try:
        document = read()
    except ConfigError as error:
        message = str(error)
        told = re.fullmatch(rf"{re.escape(source)}(?::(\d+))?: \S.*", message)
    else:
        assert isinstance(document, Document)
        assert all(1 <= line <= count for line in document.lines.values())
        return
    assert told, message
    assert told[1] is None or 1 <= int(told[1]) <= count


@settings(max_examples=400, deadline=None)
@given(anything)
def test_any_text_is_read_or_refused(text: str) -> None:
    told_or_read(lambda: parse_yaml(text, "f.yaml"), "f.yaml", text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | anything.map(lambda text: text.encode(errors="surrogatepass")))
def test_any_file_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    told_or_read(lambda: read_yaml(path), str(path), content.decode(errors="replace"))
