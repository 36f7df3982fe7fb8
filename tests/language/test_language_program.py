"""Programs as values: constants, statements, text."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evosearch.language import Constant, Program, Statement, builtin, program_text
from evosearch.language.program import SMALLEST_NORMAL, float32
from tests.strategies import numbers, programs, statements, trying

many = trying(300)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.8999999761581421, "0.9"),
        (0.0002171761734643951, "0.00021717617"),
        (1.109133005142212, "1.109133"),
        (1e-8, "1e-08"),
        (-1e-8, "-1e-08"),
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (2, "2.0"),
        (16777217, str(np.float32(16777216))),
        (1e30, "1e+30"),
        (-1.5, "-1.5"),
        (1 / 3, "0.33333334"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (1.1754943508222875e-38, "1.1754944e-38"),
    ],
)
def test_a_constant_prints_with_the_fewest_digits(number, text):
    assert Constant(number).text == text
    assert float32(float(text)) == Constant(number).value


@many
@given(numbers)
def test_a_constant_reads_back_to_the_same_number(number):
    constant = Constant(number)
    again = Constant(float(constant.text))
    assert again == constant
    assert hash(again) == hash(constant)
    assert math.copysign(1, again.value) == math.copysign(1, constant.value)
    assert again.value == constant.value


@many
@given(numbers)
def test_no_shorter_text_reads_back_to_the_same_number(number):
    constant = Constant(number)
    mantissa = constant.text.lstrip("-").split("e")[0].replace(".", "").strip("0")
    if len(mantissa) > 1:
        shorter = f"{constant.value:.{len(mantissa) - 2}e}"
        assert np.float32(shorter) != np.float32(constant.value)


@many
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1.0000000596046448)
@example(-SMALLEST_NORMAL * 0.99)
def test_rounding_agrees_with_numpy_except_that_subnormal_numbers_are_zero(number):
    with np.errstate(over="ignore"):
        expected = float(np.float32(number))
    if math.isinf(expected):
        with pytest.raises(OverflowError):
            float32(number)
    elif abs(expected) < SMALLEST_NORMAL:
        assert float32(number) == 0
        assert math.copysign(1, float32(number)) == math.copysign(1, number)
    else:
        assert float32(number) == expected


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_constant_is_finite(number):
    with pytest.raises(OverflowError, match=f"a constant must be finite, found {number}"):
        Constant(number)


def test_zero_and_minus_zero_are_different_constants():
    assert Constant(0.0) != Constant(-0.0)
    assert Constant(0.0) != 0.0
    assert len({Constant(0.0), Constant(-0.0), Constant(0), Constant(1e-42)}) == 2


def test_a_statement_knows_its_text_and_what_it_reads():
    s = Statement("m", "interp", ("g", "m", 0.9))
    assert s.text == "m = interp(g, m, 0.9)"
    assert s.variables == ("g", "m")
    assert s.args == ("g", "m", Constant(0.9))
    assert s == Statement("m", "interp", ("g", "m", Constant(0.8999999761581421)))


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (Statement("a", "add", ("g", -0.5)), "a = g + -0.5"),
        (Statement("a", "subtract", (-1, "g")), "a = -1.0 - g"),
        (Statement("a", "multiply", ("g", "g")), "a = g * g"),
        (Statement("a", "divide", (1, 3)), "a = 1.0 / 3.0"),
        (Statement("a", "power", ("g", 2)), "a = power(g, 2.0)"),
        (Statement("a", "get_pi", ()), "a = get_pi()"),
        (Statement("a", "clip", ("g", "lr")), "a = clip(g, lr)"),
    ],
)
def test_how_statements_print(statement, text):
    assert statement.text == text


def test_a_program_prints_as_a_function():
    program = Program((Statement("update", "multiply", ("g", 0.1)),))
    assert str(program) == "def train(w, g, m, v, lr):\n    update = g * 0.1\n    return update, m, v\n"
    assert program_text(()) == "def train(w, g, m, v, lr):\n    return update, m, v\n"
    assert len(program) == 1


@many
@given(statements())
def test_statements_survive_pickling_and_copying(statement):
    for again in (pickle.loads(pickle.dumps(statement)), copy.deepcopy(statement)):
        assert again == statement
        assert again.text == statement.text
        assert again.variables == statement.variables


@trying(30)
@given(programs(valid=False))
def test_programs_survive_pickling(program):
    assert pickle.loads(pickle.dumps(program)) == program


def test_equal_programs_are_one_key():
    assert {builtin("adamw"): 1}[Program(tuple(builtin("adamw").statements))] == 1
    assert builtin("adamw") != builtin("adam")
