"""Recognition: which known optimizer a program is, up to constants, and what its constants are called there.

It looks at the normal form, so spelling does not matter. The update is split into weight decay (what is
linear in w) and a direction; direction and state are held against the rows of `KNOWN`. If the gradient
comes in only through one function of it, such as clip(g, lr), the program is known "on" that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from evosearch.language import Statement, analyze
from evosearch.language.abstract import live_statements
from evosearch.simplify.normal_form import TRANSPARENT, normal_forms
from evosearch.simplify.polynomial import ONCE, Base, Monomial, Polynomial, Power, scale_of
from evosearch.simplify.step import MOST_STATEMENTS
from evosearch.simplify.terms import Outputs, Term, input_term, subterms, terms_of
from evosearch.simplify.writing import one_slot_is_m, substitute
from primitives import TABLE, ValueType

CLOSE = 1e-4
"""Two ratios of constants are the same if they differ by less, relatively: found constants are float32."""

SIGN = Power(Fraction(0), True, True)
SQUARE = Power(Fraction(2), False, True)
BELOW_ROOT = Power(Fraction(-1, 2), False, False)
INPUTS = {name: Base(input_term(name)) for name in ("w", "g", "m", "v", "lr")}

Linear = Mapping[str, float]
"""The coefficients of a sum, by name: g, m, v, g2 for square(g), d2 for square(g - m)."""


@dataclass(frozen=True)
class Recognition:
    """A known optimizer.

    Attributes:
        name: as the field calls it, such as `lion`.
        hyperparameters: their values: betas, weight_decay, learning_rate (what the schedule is multiplied
            by).
        gradient: what the optimizer is fed instead of the gradient, such as `clip(g, lr)`; or "g".
        note: how it differs from what libraries ship, or "".
    """

    name: str
    hyperparameters: Mapping[str, float]
    gradient: str
    note: str

    @property
    def sentence(self) -> str:
        """For people: `this is lion with b1 = 0.9, b2 = 0.99, ...`."""
        numbers = ", ".join(f"{name} = {value:.4g}" for name, value in self.hyperparameters.items())
        fed = "" if self.gradient == "g" else f" on {self.gradient}"
        note = f" ({self.note})" if self.note else ""
        return f"this is {self.name}{fed} with {numbers}{note}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "hyperparameters": dict(self.hyperparameters),
            "gradient": self.gradient,
            "note": self.note,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class _Parts:
    """A program's update, taken apart.

    Attributes:
        direction: without weight decay and learning rate.
        rate: the coefficient of the direction.
        decay: the coefficient of w over that of the direction.
        scheduled: whether the update is proportional to lr.
        state: what m and v become.
    """

    direction: Polynomial
    rate: float
    decay: float
    scheduled: bool
    state: Mapping[str, Polynomial]


Found = Mapping[str, float]
"""Hyperparameters, and under `scale` what the rate has to be multiplied with."""


@dataclass(frozen=True)
class Known:
    """One row of the table: an optimizer of the field.

    Attributes:
        name: without weight decay.
        decayed: with it.
        match: its hyperparameters, or None if direction and state are not its.
        note: how a program of it differs from what libraries ship.
    """

    name: str
    decayed: str
    match: Callable[[Polynomial, Mapping[str, Polynomial]], Found | None]
    note: str = ""


def recognise(statements: Sequence[Statement]) -> Recognition | None:
    """The known optimizer that a valid program is; None if it is none of `KNOWN`, or longer than them by far.

    >>> from evosearch.language import builtin
    >>> recognise(builtin("lion").statements).sentence
    'this is lion with b1 = 0.9, b2 = 0.99, weight_decay = 0.1, learning_rate = 0.0001'
    """
    if not analyze(statements).valid or len(live_statements(statements)) > MOST_STATEMENTS:
        return None
    outputs = one_slot_is_m(terms_of(statements))
    gradient, outputs = _fed(outputs)
    for candidate in _with_slots_swapped(outputs):
        found = _match(candidate, gradient)
        if found is not None:
            return found
    return None


def _match(outputs: Outputs, gradient: str) -> Recognition | None:
    forms = normal_forms(outputs.values())
    parts = _take_apart({name: forms[term].polynomial for name, term in outputs.items()})
    if parts is None:
        return None
    for row in KNOWN:
        found = row.match(parts.direction, parts.state)
        if found is not None:
            values = {name: value for name, value in found.items() if name != "scale"}
            rate = parts.rate * found.get("scale", 1.0)
            if rate <= 0:
                return None
            if parts.decay:
                values["weight_decay"] = parts.decay / found.get("scale", 1.0)
            values["learning_rate"] = rate
            notes = [row.note, "" if parts.scheduled else "the schedule is not used"]
            note = ", ".join(text for text in notes if text)
            return Recognition(row.decayed if parts.decay else row.name, values, gradient, note)
    return None


def _with_slots_swapped(outputs: Outputs) -> list[Outputs]:
    """As it is; with two slots, also with their names changed, and a single one also as v."""
    swap = {input_term("m"): input_term("v"), input_term("v"): input_term("m")}
    other = {"m": "v", "v": "m"}
    swapped = {other.get(name, name): substitute(term, swap) for name, term in outputs.items()}
    return [outputs, swapped]


def _fed(outputs: Outputs) -> tuple[str, Outputs]:
    """The one function of the gradient through which it comes in, and the program with g in its place.

    Powers, sums and products are what optimizers do with gradients themselves; only functions that the normal
    form can't look into count.
    """
    users: dict[Term, None] = {}
    g = input_term("g")
    for term in subterms(outputs.values()):
        others = {part.leaf for part in subterms([term]) if part.name == "input"} - {"g", "lr"}
        if term.name in FEEDING and term.type is ValueType.TENSOR and not others and g in subterms([term]):
            users[term] = None
    for widest in sorted(users, key=lambda term: -len([*subterms([term])])):
        replaced = {name: substitute(term, {widest: _PLACEHOLDER}) for name, term in outputs.items()}
        if not any(g in subterms([term]) for term in replaced.values()):
            return str(widest), {n: substitute(t, {_PLACEHOLDER: g}) for n, t in replaced.items()}
    return "g", outputs


FEEDING = frozenset(p.name for p in TABLE if p.arity and p.name not in TRANSPARENT)
"""Primitives that may stand between the gradient and an optimizer."""
_PLACEHOLDER = Term("input", (), "gradient")


def _take_apart(forms: Mapping[str, Polynomial]) -> _Parts | None:
    update = forms["update"]
    decay: dict[bool, Fraction] = {}
    rest: dict[bool, dict[Monomial, Fraction]] = {}
    for monomial, coefficient in update.items():
        powers = dict(monomial)
        rated = powers.pop(INPUTS["lr"], None)
        if rated not in (None, ONCE):
            return None
        if powers == {INPUTS["w"]: ONCE}:
            decay[rated is not None] = coefficient
        else:
            bare = tuple(item for item in monomial if item[0] != INPUTS["lr"])
            rest.setdefault(rated is not None, {})[bare] = coefficient
    if len(rest) != 1:
        return None
    ((with_rate, direction),) = rest.items()
    if any(rated != with_rate for rated in decay):
        return None
    scale = scale_of(direction)
    normalised = {monomial: coefficient / scale for monomial, coefficient in direction.items()}
    state = {name: form for name, form in forms.items() if name != "update"}
    decayed = float(decay.get(with_rate, Fraction(0)) / scale)
    return _Parts(normalised, float(scale), decayed, with_rate, state)


# ---------------------------------------------------------------- shapes


def _linear(polynomial: Polynomial | None, names: str) -> Linear | None:
    """The coefficients of a sum of exactly these things, separated by spaces; None if it is none."""
    if polynomial is None:
        return None
    found = {_name_of(monomial): float(coefficient) for monomial, coefficient in polynomial.items()}
    return found if set(found) == set(names.split()) else None


def _name_of(monomial: Monomial) -> str:
    if len(monomial) != 1:
        return "?"
    ((base, power),) = monomial
    for name in ("g", "m", "v"):
        if base == INPUTS[name]:
            return {ONCE: name, SQUARE: f"{name}2"}.get(power, "?")
    if power == SQUARE and base.polynomial is not None:
        inner = _linear(base.polynomial, "g m")
        if inner is not None and _close(inner["g"], -inner["m"]):
            return "d2"
    return "?"


def _single(polynomial: Polynomial, powers: Sequence[Power]) -> list[Base] | None:
    """The bases of a single product whose powers are these, in this order; None if it is something else."""
    if len(polynomial) != 1:
        return None
    (monomial,) = polynomial
    left = [*monomial]
    bases = []
    for power in powers:
        fitting = next((item for item in left if item[1] == power), None)
        if fitting is None:
            return None
        left.remove(fitting)
        bases.append(fitting[0])
    return bases if not left else None


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * max(abs(a), abs(b))


def _of(base: Base, names: str) -> Linear | None:
    """The coefficients of a base that is a sum, or a single input."""
    return _linear(base.polynomial if base.polynomial is not None else {((base, ONCE),): Fraction(1)}, names)


def _average(polynomial: Polynomial | None, new: str, old: str) -> tuple[float, float] | None:
    """(gain, decay) of a state that becomes gain * new + decay * old with 0 < decay < 1."""
    found = _linear(polynomial, f"{new} {old}")
    if found is None or not 0 < found[old] < 1 or found[new] <= 0:
        return None
    return found[new], found[old]


# ---------------------------------------------------------------- the table

State = Mapping[str, Polynomial]


def _sgd(direction: Polynomial, state: State) -> Found | None:
    return {} if _linear(direction, "g") and not state else None


def _signsgd(direction: Polynomial, state: State) -> Found | None:
    bases = _single(direction, [SIGN])
    return {} if bases and _of(bases[0], "g") and not state else None


def _momentum_kind(direction: Polynomial, state: State) -> tuple[float, float, float, float] | None:
    """Of direction a * g + b * m and state gain * g + decay * m: a, b * gain, gain, decay."""
    average, sum_ = _average(state.get("m"), "g", "m"), _linear(direction, "g m")
    if average is None or sum_ is None or set(state) != {"m"} or sum_["g"] <= 0:
        return None
    return sum_["g"], sum_["m"] * average[0], *average


def _momentum(direction: Polynomial, state: State) -> Found | None:
    found = _momentum_kind(direction, state)
    if found is None or not _close(found[1], found[0] * found[3]):
        return None
    return {"momentum": found[3], "scale": found[0]}


def _nesterov(direction: Polynomial, state: State) -> Found | None:
    found = _momentum_kind(direction, state)
    if found is None:
        return None
    a, b, _, decay = found
    return {"momentum": decay, "scale": a / (1 + decay)} if _close(b * (1 + decay), a * decay**2) else None


def _qhm(direction: Polynomial, state: State) -> Found | None:
    """(1 - nu) * g + nu * ema, where the ema decays by beta (Ma and Yarats, 2019)."""
    found = _momentum_kind(direction, state)
    if found is None or found[1] <= 0:
        return None
    a, b, _, decay = found
    old = b / (1 - decay)  # the coefficient of the old ema
    nu = old / ((a + old) * decay)
    return {"beta": decay, "nu": nu, "scale": a + old} if 0 < nu < 1 else None


def _sign_kind(direction: Polynomial, state: State) -> tuple[float, float] | None:
    """(b1, b2): the weight of the old average in the sign, and its decay."""
    bases = _single(direction, [SIGN])
    average = _average(state.get("m"), "g", "m")
    inner = _of(bases[0], "g m") if bases else None
    if average is None or inner is None or set(state) != {"m"} or min(inner.values()) <= 0:
        return None
    gain, decay = average
    old = inner["m"] * gain / (1 - decay)
    return old / (inner["g"] + old), decay


def _signum(direction: Polynomial, state: State) -> Found | None:
    found = _sign_kind(direction, state)
    return {"beta": found[1]} if found and _close(*found) else None


def _lion(direction: Polynomial, state: State) -> Found | None:
    found = _sign_kind(direction, state)
    return {"b1": found[0], "b2": found[1]} if found else None


def _root_kind(
    direction: Polynomial, state: State, numerator: str, new: str
) -> tuple[Linear, float, float] | None:
    """Of numerator / sqrt(new v): the numerator's coefficients, and gain and decay of v."""
    bases = _single(direction, [ONCE, BELOW_ROOT])
    if bases is None:
        return None
    above, below = _of(bases[0], numerator), _of(bases[1], f"{new} v")
    now = _linear(state.get("v"), f"{new} v")
    if above is None or below is None or now is None or now["v"] <= 0 or now[new] <= 0:
        return None
    if not _close(below[new] * now["v"], below["v"] * now[new]):
        return None
    return above, now[new], now["v"]


def _average_scale(weights: float, gain: float, decay: float) -> float:
    """What 1 / sqrt(v') of the normal form is in units of 1 / sqrt(average).

    There v' = gain * x + decay * v is divided by its `weights` to make them sum to one; and the state is
    gain / (1 - decay) times the average that decays alike.
    """
    return math.sqrt(weights * (1 - decay) / gain)


def _rmsprop(direction: Polynomial, state: State) -> Found | None:
    found = _root_kind(direction, state, "g", "g2")
    if found is None or set(state) != {"v"} or not 0 < found[2] < 1:
        return None
    _, gain, decay = found
    return {"decay": decay, "scale": _average_scale(gain + decay, gain, decay)}


def _adagrad(direction: Polynomial, state: State) -> Found | None:
    found = _root_kind(direction, state, "g", "g2")
    if found is None or set(state) != {"v"} or not _close(found[2], 1.0):
        return None
    return {"scale": math.sqrt((found[1] + 1) / found[1])}


def _adam(direction: Polynomial, state: State) -> Found | None:
    return _adam_kind(direction, state, "g2", lambda _: 1.0)


def _adabelief(direction: Polynomial, state: State) -> Found | None:
    """Here g - m' = b1 * (g - m), which the normal form has."""
    return _adam_kind(direction, state, "d2", lambda b1: b1**2)


def _adam_kind(
    direction: Polynomial, state: State, new: str, factor: Callable[[float], float]
) -> Found | None:
    found = _root_kind(direction, state, "g m", new)
    average = _average(state.get("m"), "g", "m")
    if found is None or average is None or set(state) != {"m", "v"} or not 0 < found[2] < 1:
        return None
    above, gain, b2 = found
    slope, b1 = average
    if not _close(above["g"] * b1, above["m"] * slope):
        return None
    size = above["g"] / (1 - b1)
    return {"b1": b1, "b2": b2, "scale": size * _average_scale(gain + b2, gain / factor(b1), b2)}


KNOWN: tuple[Known, ...] = (
    Known("sgd", "sgd with decoupled weight decay", _sgd),
    Known("signsgd", "signsgd with decoupled weight decay", _signsgd),
    Known("momentum", "momentum with decoupled weight decay", _momentum),
    Known("nesterov", "nesterov with decoupled weight decay", _nesterov),
    Known("qhm", "qhm with decoupled weight decay", _qhm),
    Known("signum", "signum with decoupled weight decay", _signum),
    Known("lion", "lion", _lion),
    Known("rmsprop", "rmsprop with decoupled weight decay", _rmsprop),
    Known("adagrad", "adagrad with decoupled weight decay", _adagrad),
    Known("adam", "adamw", _adam, "without bias correction"),
    Known("adabelief", "adabelief with decoupled weight decay", _adabelief, "without bias correction"),
)
"""Every optimizer that is recognised; the first row that fits counts."""
