"""Writes terms as a program: statements in reading order, with the names that the field uses."""

from __future__ import annotations

import heapq
import keyword
from collections import Counter
from collections.abc import Mapping, Sequence

from evosearch.language import Constant, Statement
from evosearch.language.program import INPUTS, OUTPUTS
from evosearch.simplify.step import Statements
from evosearch.simplify.terms import CONSTANT, INPUT, Outputs, Term, as_constant, input_term, subterms
from primitives import BY_NAME, TABLE, ValueType

COPY = "maximum"
"""The language has no plain copy: the maximum of a value and itself is that value, bit for bit."""


def write(outputs: Outputs) -> Statements:
    """The program that computes these outputs, each different term in one statement.

    A single slot is called `m`, as in the programs that people know.

    Args:
        outputs: the terms of `update` and of the carried slots.
    """
    return _written(_prepared(outputs))[0]


def value_names(outputs: Outputs) -> dict[Term, str]:
    """The name that `write` gives to each term of these outputs."""
    names = _written(_prepared(outputs))[1]
    found: dict[Term, str] = {}
    for term in subterms(outputs.values()):
        prepared = _prepared({**outputs, "": term})[""]
        if prepared in names:
            found[term] = names[prepared]
    return found


def _prepared(outputs: Outputs) -> Outputs:
    """With the slots and the operands as they are written."""
    return {name: _ordered_arguments(term) for name, term in one_slot_is_m(outputs).items()}


def _written(outputs: Outputs) -> tuple[Statements, dict[Term, str]]:
    terms = [
        term for term in subterms(_reading_order(outputs)) if term.args or term.name not in (INPUT, CONSTANT)
    ]
    targets, copies = _targets(outputs, terms)
    order, late = _schedule(terms, targets)
    names = _names(order, targets | late, outputs)
    statements = [_statement(names[term], term, names) for term in order]
    for output, term in copies.items():
        statements.append(_copy(output, term, names))
    statements += [_copy(targets[term], term, names) for term in late]
    return tuple(statements), names


def _reading_order(outputs: Outputs) -> list[Term]:
    return [outputs[name] for name in ("m", "v", "update") if name in outputs]


def one_slot_is_m(outputs: Outputs) -> Outputs:
    """A single slot called m. Both slots start at zero, so they may change names."""
    if "v" not in outputs or "m" in outputs:
        return outputs
    swap = {input_term("v"): input_term("m")}
    return {("m" if name == "v" else name): substitute(term, swap) for name, term in outputs.items()}


def substitute(term: Term, replacements: Mapping[Term, Term]) -> Term:
    """A term with other terms in the place of some."""
    made: dict[Term, Term] = {}
    for part in subterms([term]):
        changed = replacements.get(part)
        if changed is None:
            changed = Term(part.name, tuple(made[arg] for arg in part.args), part.leaf) if part.args else part
        made[part] = changed
    return made[term]


def _ordered_arguments(term: Term) -> Term:
    """Arguments of commutative primitives as people write them: `direction + weight_decay`, `w * 0.1`."""
    made: dict[Term, Term] = {}
    for part in subterms([term]):
        args = tuple(made[arg] for arg in part.args)
        if args and BY_NAME[part.name].commutative:
            args = tuple(sorted(args, key=_weight, reverse=True))
        made[part] = Term(part.name, args, part.leaf) if args else part
    return made[term]


def _weight(term: Term) -> tuple[bool, ValueType, int, bytes]:
    return term.number is None, term.type, len([*subterms([term])]), term.key


def _targets(outputs: Outputs, terms: Sequence[Term]) -> tuple[dict[Term, str], dict[str, Term]]:
    """Which term is computed straight into which output, and which outputs are copies of another value."""
    targets: dict[Term, str] = {}
    copies: dict[str, Term] = {}
    made = {*terms}
    for output in OUTPUTS:
        if output in outputs:
            term = outputs[output]
            if term in made and term not in targets:
                targets[term] = output
            elif term != input_term(output):
                copies[output] = term
    return targets, copies


def _schedule(terms: Sequence[Term], targets: Mapping[Term, str]) -> tuple[list[Term], dict[Term, str]]:
    """An order in which every slot is read before it is overwritten.

    Returns:
        The order, and the terms that can't be computed straight into their slot since a later statement needs
        both the old and the new value; those get a name of their own, and the slot a copy in the end.
    """
    late: dict[Term, str] = {}
    while True:
        slots = {name: term for term, name in targets.items() if name in ("m", "v") and term not in late}
        order = _sorted_topologically(terms, slots)
        if order is not None:
            return order, {term: f"new_{name}" for term, name in late.items()}
        late[next(iter(slots.values()))] = next(iter(slots))


def _sorted_topologically(terms: Sequence[Term], slots: Mapping[str, Term]) -> list[Term] | None:
    place = {term: number for number, term in enumerate(terms)}
    after: dict[Term, set[Term]] = {term: set() for term in terms}
    for term in terms:
        after[term] |= {arg for arg in term.args if arg in place}
    for name, new in slots.items():
        after[new] |= {term for term in terms if input_term(name) in term.args and term != new}
    before: dict[Term, list[Term]] = {term: [] for term in terms}
    for term, needs in after.items():
        for need in needs:
            before[need].append(term)
    missing = {term: len(needs) for term, needs in after.items()}
    ready = [place[term] for term in terms if not missing[term]]
    heapq.heapify(ready)
    order = []
    while ready:
        term = terms[heapq.heappop(ready)]
        order.append(term)
        for then in before[term]:
            missing[then] -= 1
            if not missing[then]:
                heapq.heappush(ready, place[then])
    return order if len(order) == len(terms) else None


# ---------------------------------------------------------------- names


def _names(order: Sequence[Term], targets: Mapping[Term, str], outputs: Outputs) -> dict[Term, str]:
    uses = Counter(arg for term in order for arg in dict.fromkeys(term.args))
    uses.update(outputs.values())
    names = dict(targets)
    for term in reversed(order):  # what only serves the update may be called update too
        if names.get(term) == "update":
            parts = [arg for arg in term.args if arg.args and arg.type is ValueType.TENSOR and uses[arg] == 1]
            plain = [arg for arg in parts if arg not in names and _role(arg) is None and arg.name in _CHAIN]
            if plain:
                names[plain[0]] = "update"
    taken = {*INPUTS, *OUTPUTS, *names.values(), *(p.name for p in TABLE)}
    for number, term in enumerate(order):
        if term not in names:
            names[term] = _fresh(_role(term) or _after_primitive(term, names) or f"t{number + 1}", taken)
            taken.add(names[term])
    return names


_CHAIN = ("add", "subtract", "multiply", "divide")


def _role(term: Term) -> str | None:
    """What the field calls such a value; None if it has no name for it."""
    if term.name == "multiply" and any(arg.number is not None for arg in term.args):
        (other,) = [arg for arg in term.args if arg.number is None] or [term]
        if other.name == INPUT:
            return {"w": "weight_decay", "lr": "learning_rate"}.get(str(other.leaf))
    if term.name == "sign":
        return "direction"
    if term.name == "interp":
        leaves = {part.leaf for part in subterms([term]) if part.name == INPUT}
        if leaves & {"m", "v"} and "g" in leaves:
            return "second_moment" if any(p.name == "square" for p in subterms([term])) else "momentum"
    return None


def _after_primitive(term: Term, names: Mapping[Term, str]) -> str | None:
    """`sqrt_v` for a function of one named value, `clip_g` for clip(g, lr)."""
    arrays = [arg for arg in term.args if arg.type is not ValueType.SCALAR] or [*term.args]
    if len(arrays) != 1 or term.name in _CHAIN:
        return None
    name = str(arrays[0].leaf) if arrays[0].name == INPUT else names.get(arrays[0], "")
    whole = f"{term.name}_{name}"
    return whole if name and len(whole) <= LONGEST_NAME else None


LONGEST_NAME = 16
"""Of a name that is made from a primitive's and its argument's."""


def _fresh(name: str, taken: set[str]) -> str:
    if name not in taken and not keyword.iskeyword(name):
        return name
    number = 2
    while f"{name}{number}" in taken:
        number += 1
    return f"{name}{number}"


def _statement(target: str, term: Term, names: Mapping[Term, str]) -> Statement:
    return Statement(target, term.name, tuple(_argument(arg, names) for arg in term.args))


def _copy(target: str, term: Term, names: Mapping[Term, str]) -> Statement:
    return Statement(target, COPY, (_argument(term, names),) * 2)


def _argument(term: Term, names: Mapping[Term, str]) -> str | Constant:
    if term.number is not None:
        return as_constant(term.number)
    return str(term.leaf) if term.name == INPUT else names[term]
