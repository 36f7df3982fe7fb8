"""The parts of the simplifier that need no training, each from statements to a `Stage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from evosearch.errors import ProgramError
from evosearch.language import analyze
from evosearch.language.abstract import live_statements
from evosearch.simplify.algebra import simplify_algebra
from evosearch.simplify.behaviour import compare_behaviour
from evosearch.simplify.normal_form import LAWS
from evosearch.simplify.recognition import Recognition, recognise
from evosearch.simplify.rules import BY_RULE
from evosearch.simplify.saturation import Limits
from evosearch.simplify.step import MOST_STATEMENTS, Exactness, Stage, Statements, Step
from evosearch.simplify.terms import terms_of
from evosearch.simplify.writing import write


def redundant(statements: Statements) -> Stage:
    """Leave out what no live output depends on, in this step or any later one.

    Raises:
        ProgramError: the program is not valid.
    """
    analysis = analyze(statements)
    if analysis.refusal is not None:
        raise ProgramError(f"only a valid program can be simplified: {analysis.refusal.reason}")
    steps = tuple(
        Step("redundant", "dead statement", s.text, "", "no live output depends on it", Exactness.EXACT)
        for s, live in zip(statements, analysis.live, strict=True)
        if not live
    )
    dead = [
        slot
        for slot in ("m", "v")
        if slot not in analysis.state and any(s.target == slot for s in statements)
    ]
    notes = tuple(f"what {slot} brings into a step never reaches update: it is no state" for slot in dead)
    return Stage("redundant", statements, live_statements(statements), steps, notes)


def algebra(statements: Statements, limits: Limits | None = None) -> Stage:
    """The smallest program that the rules make of it; a step for each rule, with the first place of its use.

    Args:
        statements: the live statements of a valid program.
        limits: of the e-graph.
    """
    if len(statements) > MOST_STATEMENTS:
        return _left_undone("algebra", statements)
    found, refused = simplify_algebra(statements, limits)
    if found is None or not found.rewrites:
        why = tuple(f"a result was not taken: {reason}" for reason in refused)
        return Stage("algebra", statements, statements, (), why or ("no smaller program was found",))
    first = {rewrite.rule: rewrite for rewrite in reversed(found.rewrites)}
    steps = tuple(
        Step("algebra", r.rule, r.before, r.after, _law(r.rule), r.exactness)
        for r in sorted(first.values(), key=found.rewrites.index)
    )
    notes = [f"a result of more rules was not taken: {reason}" for reason in refused]
    if not found.saturation.complete:
        notes.append(f"rules were applied until the limit of the e-graph ({found.saturation.nodes:,} nodes)")
    if not found.optimal:
        notes.append("the integer program stopped at its limit: a smaller choice may exist")
    if "v" in analyze(statements).state and analyze(found.statements).state == ("m",):
        notes.append("the state is one slot, and it is called m")
    notes.append(_difference(found.behaviour.worst, found.behaviour.worst_small, found.exactness))
    return Stage("algebra", statements, found.statements, steps, tuple(notes))


def _left_undone(part: str, statements: Statements) -> Stage:
    note = f"left undone: the program has {len(statements)} live statements, more than {MOST_STATEMENTS}"
    return Stage(part, statements, statements, (), (note,))


def _law(rule: str) -> str:
    if rule in LAWS:
        return LAWS[rule][1]
    known = BY_RULE.get(rule)
    return f"{known.left} = {known.right}" if known is not None else "a constant expression is its number"


def _difference(worst: float, small: float, exactness: Exactness) -> str:
    text = f"run beside what it was, updates differ by at most {worst:.0e} of their size"
    if exactness is Exactness.GUARD:
        text += f" (by {small:.0e} with gradients below 1e-2, where the 1e-8 in division shows)"
    return text


def names(statements: Statements) -> Stage:
    """The names of the field, statements in reading order, repeated expressions once."""
    if len(statements) > MOST_STATEMENTS:
        return _left_undone("names", statements)
    written = write(terms_of(statements))
    if written == statements or len(written) > len(statements):
        return Stage("names", statements, statements, ())
    behaviour = compare_behaviour(statements, written, Exactness.ROUNDING)
    if not behaviour.same:
        return Stage("names", statements, statements, (), (f"left undone: {behaviour.reason}",))
    before = ", ".join(dict.fromkeys(s.target for s in statements))
    after = ", ".join(dict.fromkeys(s.target for s in written))
    reason = "the names of the field, statements in reading order"
    return Stage(
        "names",
        statements,
        written,
        (Step("names", "names and order", before, after, reason, Exactness.EXACT),),
    )


def known_as(statements: Statements) -> Recognition | None:
    """The known optimizer that a program is: as it stands, or as algebra makes it; None if it is none."""
    if not analyze(statements).valid:
        return None
    return recognise(statements) or recognise(algebra(live_statements(statements)).after)


STAGES: Mapping[str, Callable[[Statements], Stage]] = {
    "redundant": redundant,
    "algebra": algebra,
    "names": names,
}
"""The parts that need no training."""


def simplify(statements: Statements) -> list[Stage]:
    """Every part that needs no training, one after the other.

    Args:
        statements: a valid program.

    Returns:
        One stage for each part; the last one's `after` is the result.

    Raises:
        ProgramError: the program is not valid.

    Example:
        simple = simplify(builtin("program8").statements)[-1].after
    """
    stages: list[Stage] = []
    for stage in STAGES.values():
        stages.append(stage(stages[-1].after if stages else statements))
    return stages
