"""What may be taken out, and programs whose variables are assigned once, on known and on random programs."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import programs, trying

from evosearch.language import Constant, Program, analyze, builtin, builtin_names, parse, program_text
from evosearch.language.abstract import live_statements
from evosearch.language.program import Statement
from evosearch.study.assignment import Assigned, fold_names, unfold
from evosearch.study.removals import removals
from primitives import BY_NAME

PROGRAM8 = builtin("program8").statements


def program(*lines: str) -> tuple[Statement, ...]:
    body = "\n    ".join(lines)
    return parse(f"def train(w, g, m, v, lr):\n    {body}\n    return update, m, v\n").statements


def texts(statements: tuple[Statement, ...]) -> list[str]:
    return [statement.text for statement in statements]


# ---------------------------------------------------------------- one assignment


def test_every_target_is_assigned_once() -> None:
    unfolded = unfold(program("g = g * lr", "m = interp(g, m, 0.9)", "g = sign(m)", "update = g * lr"))
    assert texts(unfolded.statements) == [
        "#0 = g * lr",
        "#1 = interp(#0, m, 0.9)",
        "#2 = sign(#1)",
        "#3 = #2 * lr",
    ]
    assert unfolded.outputs == {"update": "#3", "m": "#1"}
    assert list(unfolded.names.values()) == ["g", "m", "g", "update"]


@given(programs())
@trying(60)
def test_names_come_back_with_the_same_meaning_and_as_many_live_statements(found: Program) -> None:
    live = live_statements(found.statements)
    folded = fold_names(unfold(live))
    assert folded is not None
    assert analyze(folded).hash == analyze(found.statements).hash
    assert len(live_statements(folded)) == len(live)


@given(programs())
@trying(30)
def test_names_that_do_not_get_into_each_others_way_are_kept(found: Program) -> None:
    live = live_statements(found.statements)
    folded = fold_names(unfold(live))
    assert folded is not None
    kept = sum(a.target == b.target for a, b in zip(live, folded, strict=False))
    assert kept >= len(live) - 3  # of values that go out of two slots, or are no tensors


@pytest.mark.parametrize("name", builtin_names())
def test_shipped_programs_keep_their_names(name: str) -> None:
    live = live_statements(builtin(name).statements)
    assert fold_names(unfold(live)) == live


def test_slots_that_exchange_their_values_get_copies() -> None:
    swap = Assigned(
        (Statement("#0", "subtract", ("m", "v")), Statement("#1", "add", ("#0", "g"))),
        {"update": "#1", "m": "v", "v": "m"},
        {"#0": "update", "#1": "m"},
    )
    folded = fold_names(swap)
    assert folded is not None
    assert texts(folded)[2:] == ["t1 = v * 1.0", "v = m * 1.0", "m = t1 * 1.0"]
    assert analyze(folded).valid


def test_a_value_that_goes_out_twice_is_copied() -> None:
    twice = Assigned(
        (Statement("#0", "interp", ("g", "m", Constant(0.9))),),
        {"update": "#0", "m": "#0"},
        {"#0": "m"},
    )
    folded = fold_names(twice)
    assert folded is not None
    assert texts(folded) == ["update = interp(g, m, 0.9)", "m = update * 1.0"]


def test_what_does_not_fit_has_no_names() -> None:
    line = Statement("#0", "norm", ("lr",))
    assert fold_names(Assigned((line,), {"update": "#0"}, {"#0": "update"})) is None
    scalar = Statement("#0", "multiply", ("lr", "lr"))
    assert fold_names(Assigned((scalar,), {"update": "#0"}, {"#0": "update"})) is None


def test_a_slot_that_is_not_carried_holds_a_tensor_in_the_end() -> None:
    narrow = Assigned(
        (Statement("#0", "square", ("lr",)), Statement("#1", "multiply", ("g", "#0"))),
        {"update": "#1"},
        {"#0": "m", "#1": "update"},
    )
    folded = fold_names(narrow)
    assert folded is not None
    assert texts(folded) == ["t1 = square(lr)", "update = g * t1"]


# ---------------------------------------------------------------- removals


def test_what_program8_may_do_without() -> None:
    found = {removal.name: removal for removal in removals(PROGRAM8)}
    assert found["arcsin(clip(g, lr)) -> g"].saved == 2
    assert found["arcsin(g) -> g"].saved == found["clip(g, lr) -> g"].saved == 1
    assert found["update + wd -> update"].saved == 3
    assert found["interp(g, v, 0.9) -> g"].saved == 2
    left = found["arcsin(clip(g, lr)) -> g"].statements
    assert texts(left) == texts(live_statements(PROGRAM8))[2:]
    assert all("cos" not in removal.name for removal in found.values())  # dead statements are no removals


def test_the_largest_saving_comes_first_and_no_two_leave_equal_programs() -> None:
    found = removals(PROGRAM8)
    assert [removal.saved for removal in found] == sorted((r.saved for r in found), reverse=True)
    assert len({removal.hash for removal in found}) == len(found)
    assert len({removal.name for removal in found}) > 0.9 * len(found)


def test_only_direct_operands_at_depth_1() -> None:
    names = {removal.name for removal in removals(PROGRAM8, depth=1)}
    assert "arcsin(g) -> g" in names
    assert "arcsin(clip(g, lr)) -> g" not in names


def test_nested_expressions_have_brackets_where_python_wants_them() -> None:
    nested = program("a = g + w", "b = a * lr", "c = sqrt(b)", "update = c - m")
    names = {removal.name for removal in removals(nested)}
    assert {"(g + w) * lr -> g", "sqrt(a * lr) -> a", "sqrt(b) - m -> b"} <= names


def test_what_is_exact_is_not_for_measurement() -> None:
    """Interp of g with itself, and a sum that may be swapped: what is left has the hash of the program."""
    found = removals(program("update = g * lr", "t = m + g", "t2 = t * 0.0"))
    assert [removal.name for removal in found] == []


@given(programs(steps=15))
@trying(25)
def test_every_removal_is_valid_shorter_and_does_what_its_name_says(found: Program) -> None:
    own = analyze(found.statements)
    live = live_statements(found.statements)
    for removal in removals(found.statements):
        analysis = analyze(removal.statements)
        assert analysis.valid, program_text(removal.statements)
        assert all(analysis.live)
        assert analysis.hash == removal.hash != own.hash
        assert len(removal.statements) == len(live) - removal.saved < len(live)
        inputs = {name for s in removal.statements for name in s.variables}
        assert inputs <= {"w", "g", "m", "v", "lr", *(s.target for s in removal.statements)}


@given(programs(steps=15))
@trying(15)
def test_a_removal_computes_what_the_replaced_graph_computes(found: Program) -> None:
    """The text that comes out has the digests of the graph that went in."""
    unfolded = unfold(live_statements(found.statements))
    for line in unfolded.statements:
        for operand in line.args:
            left = unfolded.replaced(line.target, operand)
            folded = fold_names(left)
            values = analyze(left.statements).values
            if folded is None:
                continue
            digests = {s.target: v.digest for s, v in zip(left.statements, values, strict=True)}
            outputs = dict(zip(("update", "m", "v"), analyze(folded).outputs, strict=True))
            for slot, value in left.outputs.items():
                if value in digests and outputs[slot].digest != digests[str(value)]:
                    # The only other way out is an explicit copy.
                    assert folded[-1].args[1:] == (Constant(1.0),) or any(
                        s.target == slot and s.args[1:] == (Constant(1.0),) for s in folded
                    )


def test_the_table_says_which_names_stand_between_operands() -> None:
    infix = {row.name for row in BY_NAME.values() if row.infix}
    assert infix == {"add", "subtract", "multiply", "divide"}
