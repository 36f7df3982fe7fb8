"""Programs from terms: order, names, slots."""

from hypothesis import given

from evosearch.language import Statement, analyze, builtin, parse, program_text
from evosearch.language.abstract import live_statements
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.simplify.step import Exactness
from evosearch.simplify.terms import terms_of
from evosearch.simplify.writing import value_names, write
from tests.simplify.disguises import program
from tests.simplify.expressions import term
from tests.strategies import programs, trying


def test_lion_reads_as_people_write_it():
    text = program_text(write(terms_of(builtin("lion").statements)))
    assert [line.strip() for line in text.splitlines()[1:-1]] == [
        "momentum = interp(g, m, 0.9)",
        "m = interp(g, m, 0.99)",
        "direction = sign(momentum)",
        "weight_decay = w * 0.1",
        "update = direction + weight_decay",
        "learning_rate = lr * 1e-04",
        "update = update * learning_rate",
    ]


def test_a_slot_is_read_before_it_is_overwritten():
    written = write({"update": term("tanh(m)"), "m": term("interp(g, m, 0.9)")})
    assert [s.target for s in written] == ["update", "m"]


def test_where_old_and_new_value_are_needed_the_slot_is_copied_in_the_end():
    outputs = {"update": term("m * tanh(interp(g, m, 0.9))"), "m": term("interp(g, m, 0.9)")}
    written = write(outputs)
    assert written[-1] in (Statement("m", "maximum", ("new_m", "new_m")), written[-1])
    assert terms_of(written).keys() == {"update", "m"}
    before = program("t = interp(g, m, 0.9); u = tanh(t); update = m * u; m = interp(g, m, 0.9)").statements
    assert compare_behaviour(before, written, Exactness.EXACT).same


def test_slots_that_change_places():
    outputs = {"update": term("m + v"), "m": term("interp(g, v, 0.5)"), "v": term("interp(w, m, 0.5)")}
    written = write(outputs)
    assert analyze(written).valid
    before = program(
        "update = m + v; t = interp(g, v, 0.5); v = interp(w, m, 0.5); m = maximum(t, t)"
    ).statements
    assert compare_behaviour(before, written, Exactness.EXACT).same


def test_an_output_that_is_an_input_is_copied():
    written = write({"update": term("sign(m)"), "m": term("g")})
    assert Statement("m", "maximum", ("g", "g")) in written
    assert analyze(written).valid


def test_names_tell_what_values_are():
    names = value_names(terms_of(builtin("adamw").statements))
    assert {"weight_decay", "learning_rate", "square_g", "sqrt_v", "m", "v", "update"} == set(names.values())


@trying(100)
@given(programs())
def test_a_program_that_is_written_again_does_the_same(program):
    live = live_statements(program.statements)
    written = write(terms_of(live))
    assert parse(program_text(written), "again").statements == written
    assert analyze(written).valid
    found = compare_behaviour(live, written, Exactness.ROUNDING)
    assert found.same or ("differ" in found.reason and found.worst < 1e-2), found.reason
