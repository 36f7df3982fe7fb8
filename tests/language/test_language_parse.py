"""From text to programs and back; every message that a person may get to see."""

import ast
import re
import tracemalloc
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evosearch.errors import ProgramError
from evosearch.language import Constant, Program, Statement, builtin, builtin_names, parse, read_program
from evosearch.language.parse import MAX_CHARACTERS, MAX_STATEMENTS
from primitives import TABLE
from tests.strategies import programs, trying, written_programs

HEADER = "def train(w, g, m, v, lr):\n"
FOOTER = "    return update, m, v\n"

many = trying(200)


def around(*lines: str) -> str:
    return HEADER + "".join(f"    {line}\n" for line in lines) + FOOTER


def read(text: str) -> Program | str:
    """The program, or the message."""
    try:
        return parse(text, "p.py")
    except ProgramError as error:
        return str(error)


def refused(text: str, where: str, message: str) -> None:
    """The text is refused with exactly this message, at LINE:COLUMN."""
    with pytest.raises(ProgramError, match=f"^{re.escape(f'dir/p.py:{where}: {message}')}$"):
        parse(text, "dir/p.py")


# ---------------------------------------------------------------- texts that are programs

ADAMW = """\
def train(w, g, m, v, lr):
    g2 = square(g)
    m = interp(g, m, 0.9)
    v = interp(g2, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    wd = w * 0.01
    update = update + wd
    lr = lr * 0.001
    update = update * lr
    return update, m, v
"""

PROGRAM8 = """\
def train(w, g, m, v, lr):
    g = clip(g, lr)
    m = clip(m, lr)
    v845 = sqrt(0.62706333)
    v968 = sign(v)
    v968 = v - v
    g = arcsin(g)
    m = interp(g, v, 0.9)
    v1 = m * m
    v = interp(g, m, 1.109133)
    v845 = tanh(v845)
    lr = lr * 0.00021717617
    update = m * lr
    v1 = sqrt(v1)
    update = update / v1
    wd = lr * 0.46019784
    v1 = square(v1)
    wd = wd * w
    m = cosh(update)
    lr = tan(1.45722)
    update = update + wd
    lr = cos(v845)
    return update, m, v
"""


@pytest.mark.parametrize(("name", "text"), [("adamw", ADAMW), ("program8", PROGRAM8)])
def test_full_text(name, text):
    assert str(builtin(name)) == text
    assert parse(text) == builtin(name)


@many
@given(written_programs)
def test_round_trip_of_anything_that_can_be_written(program):
    assert parse(str(program)) == program


@trying(60)
@given(programs(valid=False))
def test_round_trip_of_evolved_programs(program):
    text = str(program)
    assert parse(text) == program
    assert str(parse(text)) == text


@many
@given(written_programs)
def test_the_text_is_valid_python(program):
    compile(str(program), "p", "exec", dont_inherit=True)


def test_operators_and_calls_are_the_same():
    infix = parse(around("a = m + v", "b = m - v", "c = m * v", "d = m / v"))
    calls = parse(around("a = add(m, v)", "b = subtract(m, v)", "c = multiply(m, v)", "d = divide(m, v)"))
    assert infix == calls
    assert str(calls) == around("a = m + v", "b = m - v", "c = m * v", "d = m / v")


def test_aliases():
    program = parse(around("m = interpolate(g, m, 0.9)", "update = clip_by_global_norm(m, lr)"))
    assert program == parse(around("m = interp(g, m, 0.9)", "update = clip(m, lr)"))
    assert [s.primitive for s in program.statements] == ["interp", "clip"]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_primitive_is_read_under_each_name(row):
    args = ("g", "m", "lr")[: row.arity]
    for name in (row.name, *row.aliases):
        assert parse(around(f"t = {name}({', '.join(args)})")).statements == (Statement("t", row.name, args),)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("0.8999999761581421", 0.9),
        ("-0.5", -0.5),
        ("+0.5", 0.5),
        ("2", 2.0),
        ("-3", -3.0),
        ("1_000", 1000.0),
        ("0x10", 16.0),
        ("1e-08", 1e-8),
        ("1E-8", 1e-8),
        (".5", 0.5),
        ("-0.0", -0.0),
        ("-0", -0.0),
        ("1e-300", 0.0),
        ("(0.5)", 0.5),
    ],
)
def test_constants(written, number):
    [statement] = parse(around(f"update = g * {written}")).statements
    assert statement.args == ("g", Constant(number))


def test_comments_docstring_and_layout_are_accepted():
    text = (
        "# a comment\n\n"
        "def train(w, g, m,\n          v, lr):  # another\n"
        '    """A docstring\n    of two lines, with \\d."""\n'
        "    # a third\n"
        "    t = g \\\n        * 2; update = sign(\n        t)\n\n"
        "    return (update, m, v)\n"
    )
    expected = Program((Statement("t", "multiply", ("g", 2)), Statement("update", "sign", ("t",))))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse(text) == expected
        assert parse(text.replace("\n", "\r\n")) == expected


def test_a_variable_may_have_a_primitives_name():
    program = parse(around("sign = sign(g)", "update = sign * lr"))
    assert program.statements[1] == Statement("update", "multiply", ("sign", "lr"))


# ---------------------------------------------------------------- texts that are not programs

FUNCTION = "expected one function `train(w, g, m, v, lr)`"


@pytest.mark.parametrize(
    ("text", "where", "found"),
    [
        ("", "1:1", "found nothing"),
        ("# only a comment\n", "1:1", "found nothing"),
        ("\nimport os\n" + around("update = sign(g)"), "2:1", "found `import os`"),
        (around("update = sign(g)") + "\nprint(1)\n", "5:1", "found `print(1)` after it"),
        (
            around("update = sign(g)") * 2,
            "4:1",
            "found `def train(w, g, m, v, lr):...` after it",
        ),
        ("async " + around("update = sign(g)"), "1:1", "found `async def train(w, g, m, v, lr):...`"),
        ("class A:\n    pass\n", "1:1", "found `class A:...`"),
        ("train = lambda w: w\n", "1:1", "found `train = lambda w: w`"),
    ],
)
def test_not_one_function(text, where, found):
    refused(text, where, f"{FUNCTION}, {found}")


@pytest.mark.parametrize(
    "header",
    [
        "def trainer(w, g, m, v, lr):",
        "def train(w, g, m, v):",
        "def train(g, w, m, v, lr):",
        "def train(w, g, m, v, lr, x):",
        "def train(w, g, m, v, lr=1):",
        "def train(w, g, m, v, lr, *args):",
        "def train(w, g, m, v, lr, **kwargs):",
        "def train(w, g, m, v, *, lr):",
        "def train(w, g, m, v, lr, /):",
        "def train(w: float, g, m, v, lr):",
        "def train(w, g, m, v, lr) -> None:",
        "def train():",
    ],
)
def test_another_header(header):
    refused(
        f"{header}\n    update = sign(g)\n    return update, m, v\n",
        "1:1",
        f"{FUNCTION}, found `{header}...`",
    )


def test_a_decorator():
    refused("@jit\n" + around(), "1:2", f"{FUNCTION} without decorators, found `jit`")


@pytest.mark.parametrize(
    ("lines", "where", "message"),
    [
        ("update = sign(g)", "2:5", " as the last line, found `update = sign(g)`"),
        ('"""Only a docstring."""', "2:5", ' as the last line, found `"""Only a docstring."""`'),
        ("return update, v, m", "2:5", ", found `return update, v, m`"),
        ("return update", "2:5", ", found `return update`"),
        ("return", "2:5", ", found `return`"),
        ("return [update, m, v]", "2:5", ", found `return [update, m, v]`"),
        ("return (update, m, v)()", "2:5", ", found `return (update, m, v)()`"),
        ("return update, m, *v", "2:5", ", found `return update, m, *v`"),
    ],
)
def test_another_return(lines, where, message):
    refused(HEADER + f"    {lines}\n", where, f"expected `return update, m, v`{message}")


@pytest.mark.parametrize(
    "line",
    [
        "pass",
        "...",
        "'not first'",
        "sign(g)",
        "a = b = sign(g)",
        "a += g",
        "a: float = sign(g)",
        "import os",
        "global x",
        "del g",
        "return update, m, v",
    ],
)
def test_not_an_assignment(line):
    refused(
        around("t = sign(g)", line),
        "3:5",
        f"expected a statement `name = primitive(arguments)`, found `{line}`",
    )


@pytest.mark.parametrize("target", ["a, b", "(a, b)", "[a, b]", "a.b", "a[0]", "*a, b"])
def test_not_one_target(target):
    refused(
        around(f"{target} = sign(g)"), "2:5", f"expected one variable's name before `=`, found `{target}`"
    )


@pytest.mark.parametrize(
    "expression",
    [
        "g",
        "-g",
        "0.5",
        "sign(x=g)",
        "sign(g, **g)",
        "jnp.sign(g)",
        "sign(g)(g)",
        "g if g else m",
        "g < m",
        "[g]",
        "lambda: g",
        "f'{g}'",
    ],
)
def test_not_one_primitive(expression):
    refused(
        around(f"update = {expression}"),
        "2:14",
        f"expected one primitive, as in `sqrt(v)` or `m / s`, found `{expression}`",
    )


@pytest.mark.parametrize("expression", ["g ** 2", "g // m", "g % m", "g @ m", "g | m"])
def test_another_operator(expression):
    refused(around(f"update = {expression}"), "2:14", f"expected one of + - * /, found `{expression}`")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sqroot", "; did you mean 'sqrt'?"),
        ("interpolation", "; did you mean 'interpolate'?"),
        ("Sign", "; did you mean 'sign'?"),
        ("open", ""),
        ("__import__", ""),
        ("xyzzy", ""),
    ],
)
def test_unknown_primitive(name, hint):
    refused(around(f"update = {name}(g)"), "2:14", f"unknown primitive {name!r}{hint}")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("sqrt()", "sqrt takes 1 argument, found 0"),
        ("sqrt(g, m)", "sqrt takes 1 argument, found 2"),
        ("interpolate(g, m)", "interp takes 3 arguments, found 2"),
        ("get_pi(g)", "get_pi takes 0 arguments, found 1"),
        ("add(g)", "add takes 2 arguments, found 1"),
        ("interp(*g)", "interp takes 3 arguments, found 1"),
    ],
)
def test_wrong_number_of_arguments(call, message):
    refused(around(f"update = {call}"), "2:14", message)


@pytest.mark.parametrize(
    ("argument", "column"),
    [
        ("sign(g)", 19),
        ("*g", 19),
        ("'g'", 19),
        ("None", 19),
        ("True", 19),
        ("1j", 19),
        ("-g", 19),
        ("--1.0", 19),
        ("~1", 19),
        ("g.T", 19),
        ("g[0]", 19),
    ],
)
def test_an_argument_that_is_neither_variable_nor_number(argument, column):
    refused(
        around(f"update = sign({argument})"),
        f"2:{column}",
        f"expected a variable or a number as argument, found `{argument}`: one primitive a statement",
    )


def test_a_nested_expression():
    refused(
        around("update = g + m * v"),
        "2:18",
        "expected a variable or a number as argument, found `m * v`: one primitive a statement",
    )


@pytest.mark.parametrize("number", ["1e39", "-1e39", "1e400", "3.4028236e38", "9" * 50])
def test_a_constant_that_does_not_fit(number):
    refused(around(f"update = g * {number}"), "2:18", f"expected a finite float32 constant, found `{number}`")


@pytest.mark.parametrize("number", ["9" * 4000, "0x" + "f" * 20_000])
def test_a_constant_of_very_many_digits(number):
    refused(
        around(f"update = g * {number}"),
        "2:18",
        f"expected a finite float32 constant, found `{number[:60]}...`",
    )


@pytest.mark.parametrize("name", ["x" * 65, "é", "变量", "x" * 100_000])
def test_a_name_too_long_or_not_ascii(name):
    quoted = name if len(name) <= 60 else name[:60] + "..."
    message = f"expected a name of at most 64 ASCII characters, found `{quoted}`"
    refused(around(f"{name} = sign(g)"), "2:5", message)
    refused(around(f"update = sign({name})"), "2:19", message)
    refused(around(f"update = {name}(g)"), "2:14", message)


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        (around("update = sign(g"), "2:18", "'(' was never closed"),
        (around("update = = g"), "2:14", "invalid syntax"),
        (around("t = sign(g)", "  update = sign(t)"), "3:5", "unexpected indent"),
        ("def train(w, g, m, v, lr):\nreturn\n", "2:1", "expected an indented block"),
    ],
)
def test_not_python(text, where, message):
    with pytest.raises(ProgramError, match=r"^p\.py:\d+:\d+: this is not a program: ") as caught:
        parse(text, "p.py")
    assert message in str(caught.value)
    assert str(caught.value).split(":")[1] == where.split(":")[0]


def test_null_bytes():
    with pytest.raises(ProgramError, match=r"^p\.py:1:1: this is not a program: .*null bytes$"):
        parse(around("update = sign(g)\0"), "p.py")


def test_lone_surrogates():
    with pytest.raises(ProgramError, match=r"^p\.py:1:1: this is not a program: .*surrogates not allowed$"):
        parse(around("update = sign(\ud800)"), "p.py")


DEEP = {
    "sum": " + ".join(["g"] * 100_000),
    "product of powers": " ** ".join(["g"] * 20_000),
    "minus signs": "-" * 100_000 + "g",
    "not": "not " * 50_000 + "g",
    "attributes": "g" + ".a" * 100_000,
    "subscripts": "g" + "[0]" * 50_000,
    "calls": "sign" + "(g)" * 50_000,
    "lambdas": "lambda: " * 20_000 + "g",
    "conditions": "g if g else " * 20_000 + "g",
}


@pytest.mark.parametrize("expression", DEEP.values(), ids=DEEP)
def test_deep_nesting(expression):
    refused(around(f"update = {expression}"), "1:1", "this is not a program: nested too deep")


@pytest.mark.parametrize("count", [100, 5_000, 200_000])
def test_many_parentheses(count):
    text = around(f"update = sign({'(' * count}g{')' * count})")
    if count == 100:
        assert parse(text) == parse(around("update = sign(g)"))
    else:
        with pytest.raises(ProgramError, match=r"^<program>:2:\d+: this is not a program: too many nested"):
            parse(text)


def test_a_long_expression_is_quoted_in_part():
    refused(
        around("update = sign(" + " + ".join(["g"] * 500) + ")"),
        "2:19",
        "expected a variable or a number as argument, found `"
        + "g + " * 15
        + "...`: one primitive a statement",
    )


def test_limits_of_size():
    line = "    update = sign(g)\n"
    assert len(parse(HEADER + line * MAX_STATEMENTS + FOOTER)) == MAX_STATEMENTS
    refused(
        HEADER + line * (MAX_STATEMENTS + 1) + FOOTER,
        f"{MAX_STATEMENTS + 2}:5",
        f"expected at most {MAX_STATEMENTS} statements, found {MAX_STATEMENTS + 1}",
    )
    text = around("update = sign(g)") + "#"
    full = text + " " * (MAX_CHARACTERS - len(text))
    assert len(parse(full)) == 1
    refused(full + " ", "1:1", f"expected at most {MAX_CHARACTERS} characters, found more")


@trying(300)
@given(st.data())
def test_any_text_is_a_program_or_refused_with_a_place(data):
    """Characters of a real program replaced, dropped and added; no other exception ever comes out."""
    text = data.draw(st.sampled_from([ADAMW, PROGRAM8]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.one_of(st.text(max_size=3), st.sampled_from(["(", ")", ",", "=", "\n", "*", " "]))
        )
        text = text[:at] + piece + text[at + data.draw(st.integers(0, 3)) :]
    result = read(text)
    if isinstance(result, Program):
        assert parse(str(result)) == result
    else:
        assert re.match(r"p\.py:\d+:\d+: \w", result)
        assert len(result) < 400


PIECES = (
    *("def train(w, g, m, v, lr):\n", "    ", "return update, m, v\n", "update = ", "sign(", "interp("),
    *"=()[]{},:;+-*/@.'\"#\\\n\t\r\f\0 \ufeff\ud800\u2028é\N{KELVIN SIGN}",
    *("**", ":=", "...", "def ", "train", "return ", "lambda ", "await ", "async ", "class ", "pass"),
    *("0.5", "1e39", "0x", "1j", "9" * 5000, "f'{g}'", '"""', "# coding: latin-1\n", "g", "lr", "update"),
)
"""What means something to Python's parser, or to a reader of text."""

anything = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=30).map("".join)


@trying(400)
@given(anything, st.booleans())
def test_text_that_resembles_nothing_is_refused_with_a_place(text, inside):
    """Anything by itself, or as the body of a program; the test before this one begins with real programs."""
    result = read(f"{HEADER}    {text}\n{FOOTER}" if inside else text)
    if isinstance(result, Program):
        assert parse(str(result)) == result
    else:
        assert re.fullmatch(r"p\.py:\d+:\d+: \S.*", result), result


@settings(trying(200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | anything.map(lambda text: around(text).encode(errors="surrogatepass")))
def test_any_file_is_a_program_or_refused(tmp_path, content):
    path = tmp_path / "any.py"
    path.write_bytes(content)
    try:
        result = str(read_program(path))
    except ProgramError as error:
        result = str(error)
    if result.startswith("def "):
        assert str(parse(result)) == result
    else:
        assert re.fullmatch(rf"{re.escape(str(path))}(:\d+:\d+)?: \S.*", result), result


def test_nothing_is_executed(tmp_path):
    victim = tmp_path / "made"
    attempts = [
        around(f"update = open({str(victim)!r}, 'w')"),
        around("update = sign(g)") + f"open({str(victim)!r}, 'w')\n",
        f"def train(w, g, m, v, lr=open({str(victim)!r}, 'w')):\n    return update, m, v\n",
        f"@open({str(victim)!r}, 'w')\n" + around("update = sign(g)"),
        f"def train(w, g, m, v, lr: open({str(victim)!r}, 'w')):\n    return update, m, v\n",
        around(f"update = sign([open({str(victim)!r}, 'w')])"),
        f"__import__('pathlib').Path({str(victim)!r}).touch()\n",
    ]
    for text in attempts:
        ast.parse(text)
        with pytest.raises(ProgramError, match=r"^<program>:\d+:\d+: "):
            parse(text)
    parse(around(f"'open({victim})'", "update = sign(g)"))
    assert not victim.exists()


# ---------------------------------------------------------------- files


def test_a_file(tmp_path):
    for name in builtin_names():
        path = tmp_path / f"{name}.py"
        path.write_text(str(builtin(name)), encoding="utf-8")
        assert read_program(path) == builtin(name)


def test_a_message_names_the_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(around("update = sine(g)"), encoding="utf-8")
    message = f"{path}:2:14: unknown primitive 'sine'; did you mean 'sin'?"
    with pytest.raises(ProgramError, match=f"^{re.escape(message)}$"):
        read_program(path)


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.py"
    latin.write_bytes(around("update = sign(g)  # caf\xe9").encode("latin-1"))
    for path, reason in [
        (tmp_path / "absent.py", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (latin, "it is not UTF-8 text"),
    ]:
        message = f"{path}: can't read this program: {reason}"
        with pytest.raises(ProgramError, match=f"^{re.escape(message)}$"):
            read_program(path)


def test_a_huge_file_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "huge.py"
    with path.open("wb") as file:
        file.truncate(2**28)  # sparse: 256 MiB of null bytes
    tracemalloc.start()
    message = f"{path}:1:1: expected at most {MAX_CHARACTERS} characters, found more"
    with pytest.raises(ProgramError, match=f"^{re.escape(message)}$"):
        read_program(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25
