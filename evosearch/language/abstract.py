"""Abstract execution: what a program computes, found out without running it.

Each variable's value is described by a `Value`: its type, a digest of how it is computed from the inputs,
which inputs it depends on, and its number if it is a constant. From the values of `update`, `m` and `v`
follow validity, the live statements and the canonical hash.

Two programs share a hash if and only if (up to collisions of a 128-bit BLAKE2b digest) they are made equal by

1. renaming variables, and reordering statements that do not depend on each other;
2. leaving out statements that no live output depends on, and computing a repeated expression once;
3. swapping the arguments of commutative primitives;
4. replacing a constant expression by its float32 value;
5. swapping the two state slots `m` and `v` (both start at zero);
6. leaving out a state slot whose incoming value can't reach `update` in any later step.

Nothing else is merged. 1, 2, 5 and 6 are exact; 3 is exact up to the sign of a zero that `maximum` or
`minimum` picks among +0 and -0; 4 is exact up to the last float32 digit (`fold`).

This is the hot path of the search, so results of single statements are remembered in a bounded memo; the
memo never changes a result.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from evosearch.language.program import INPUTS, OUTPUTS, Argument, Constant, Statement, Statements, float32
from primitives import BY_NAME, ValueType

DIGEST_BYTES = 16


class Value:
    """What abstract execution knows of one value.

    Type and dependencies are known at once. Digests and the numbers of constant expressions are found when
    somebody asks for them: most statements of an evolved program are dead, and nobody asks about those.

    Attributes:
        type: tensor, leafwise or scalar.
        depends: a bit for each input that it is computed from (`DEPENDS`).

    Args:
        type_: tensor, leafwise or scalar.
        depends: a bit for each input that it is computed from.
        name: of the primitive that gives it, "" for a constant.
        args: that the primitive is applied to.
    """

    __slots__ = ("_args", "_constant", "_digest", "_name", "_swapped", "depends", "type")

    def __init__(self, type_: ValueType, depends: int, name: str, args: tuple[Value, ...]) -> None:
        self.type = type_
        self.depends = depends
        self._name = name
        self._args = args
        self._digest: bytes | None = None
        self._swapped = b""
        self._constant = 0.0

    @property
    def digest(self) -> bytes:
        """How it is computed from the inputs."""
        if self._digest is None:
            self._resolve()
        return self._digest or b""

    @property
    def swapped(self) -> bytes:
        """The same digest if the slots m and v had each other's name."""
        if self._digest is None:
            self._resolve()
        return self._swapped

    @property
    def constant(self) -> float | None:
        """Its float32 number if it depends on no input, else None."""
        if self.depends:
            return None
        if self._digest is None:
            self._resolve()
        return self._constant

    def _resolve(self) -> None:
        """Find digests and numbers of this value and all it is computed from, without recursion."""
        waiting = [self]
        while waiting:
            value = waiting[-1]
            missing = [arg for arg in value._args if arg._digest is None]
            if missing:
                waiting += missing
                continue
            waiting.pop()
            if value._digest is None:
                value._settle()

    def _settle(self) -> None:
        """Find digest and number from those of the arguments, and forget the arguments."""
        name, args = self._name, self._args
        if self.depends == 0:  # so it is a scalar: every tensor depends on an input
            self._become(fold(name, [arg._constant for arg in args]) if name else self._constant)
            return
        commutative = BY_NAME[name].commutative
        digests = [arg.digest for arg in args]
        swapped = [arg.swapped for arg in args] if self.depends & _STATE else digests
        if commutative:
            digests.sort()
            swapped.sort()
        digest = _digest(name.encode(), *digests)
        self._swapped = digest if swapped is digests else _digest(name.encode(), *swapped)
        self._digest, self._args = digest, ()

    def _become(self, number: float) -> None:
        """Be the constant `number`."""
        bits = struct.pack("<f", number) if number == number else b"nan"
        self._constant, self._args = number, ()
        self._digest = self._swapped = _digest(b"constant", bits)


Outputs = tuple[Value, Value, Value]
"""The values of update, m and v at the end."""


class Refusal(NamedTuple):
    """Why a program is invalid: the sentence, and the statement (None if it is about the outputs)."""

    reason: str
    statement: int | None = None


class Judged(NamedTuple):
    """A valid program.

    Attributes:
        hash: the canonical hash, 16 bytes.
        live: how many of its statements are live.
        values: the value of each statement's target right after it.
        outputs: the values of update, m and v at the end.
        carried: which slots are carried from step to step, as bits of `DEPENDS`.
    """

    hash: bytes
    live: int
    values: tuple[Value, ...]
    outputs: Outputs
    carried: int


class Edit(NamedTuple):
    """How a child differs from a valid parent, so that only what changed is looked at again.

    The child's first `same` statements are the parent's; then come `new` statements of its own in the place
    of `gone` statements of the parent; the rest is the parent's again.
    """

    parent: Statements
    judged: Judged
    same: int
    new: int
    gone: int


DEPENDS = {name: 1 << i for i, name in enumerate(INPUTS)}
_M, _V = DEPENDS["m"], DEPENDS["v"]
_STATE = _M | _V


def _digest(*parts: bytes) -> bytes:
    return blake2b(b"|".join(parts), digest_size=DIGEST_BYTES).digest()


def _input(name: str) -> Value:
    swapped = {"m": "v", "v": "m"}.get(name, name)
    value = Value(ValueType.SCALAR if name == "lr" else ValueType.TENSOR, DEPENDS[name], name, ())
    value._digest, value._swapped = _digest(b"input", name.encode()), _digest(b"input", swapped.encode())
    return value


def constant_value(number: float) -> Value:
    """The value of a float32 constant; folded ones may be infinite or NaN."""
    value = Value(ValueType.SCALAR, 0, "", ())
    value._constant = number
    return value


Key = tuple[str, *tuple[Value, ...]]
"""A primitive's name and its arguments."""


class Env(dict[Argument, Value]):
    """The value of each variable; a constant used as a key stands for itself."""

    def __missing__(self, key: Argument) -> Value:
        if isinstance(key, Constant):
            if key.abstract is None:
                key.abstract = constant_value(key.value)
            return key.abstract
        raise KeyError(key)


INITIAL = Env({name: _input(name) for name in INPUTS})


class AbstractExecution:
    """Abstract execution with a bounded memo of single statements.

    Args:
        memo_limit: how many results of single statements to remember before forgetting all of them
            (about 250 bytes each).
    """

    def __init__(self, memo_limit: int = 200_000) -> None:
        self._memo: dict[Key, Value | str] = {}
        self._memo_limit = memo_limit
        self._hashes: dict[Outputs, tuple[bytes, int]] = {}

    def judge(self, statements: Statements, edit: Edit | None = None) -> Judged | Refusal:
        """Validity, canonical hash and live statements; the hot path of the search.

        Args:
            statements: the program.
            edit: what is known from a valid parent; it saves time and never changes the result.
        """
        return self._judge_all(statements) if edit is None else self._judge_edit(statements, edit)

    def _judge_all(self, statements: Statements) -> Judged | Refusal:
        """Execute every statement."""
        values: list[Value] = []
        for index in range(len(statements)):
            value = self._value(statements, index, values)
            if isinstance(value, Refusal):
                return value
            values.append(value)
        found = self._outputs(statements, values)
        if isinstance(found, Refusal):
            return found
        outputs, digest, carried = found
        return Judged(digest, count_live(statements, carried), tuple(values), outputs, carried)

    def _judge_edit(self, statements: Statements, edit: Edit) -> Judged | Refusal:
        """Execute only statements that read something whose value is not the parent's."""
        known, same = edit.judged, edit.same
        after_new, after_gone = same + edit.new, same + edit.gone
        # Names whose value may differ from what the parent had at the same place.
        changed = {statement.target for statement in edit.parent[same:after_gone]}
        values = list(known.values[:same])
        for index in range(same, after_new):
            value = self._value(statements, index, values)
            if isinstance(value, Refusal):
                return value
            values.append(value)
            changed.add(statements[index].target)
        values += known.values[after_gone:]
        for index in range(after_new, len(statements)):
            statement = statements[index]
            if not changed.isdisjoint(statement.variables):
                value = self._value(statements, index, values)
                if isinstance(value, Refusal):
                    return value
                if value is not values[index]:
                    values[index] = value
                    changed.add(statement.target)
                    continue
            changed.discard(statement.target)
        if changed.isdisjoint(OUTPUTS):
            outputs, digest, carried = known.outputs, known.hash, known.carried
        else:
            found = self._outputs(statements, values)
            if isinstance(found, Refusal):
                return found
            outputs, digest, carried = found
        return Judged(digest, count_live(statements, carried), tuple(values), outputs, carried)

    def _outputs(self, statements: Statements, values: list[Value]) -> tuple[Outputs, bytes, int] | Refusal:
        """The outputs, the canonical hash and the carried state; the last two are remembered."""
        size = len(statements)
        update = _read("update", statements, size, values)
        if update is None:
            return Refusal("update is never defined")
        m, v = _read("m", statements, size, values), _read("v", statements, size, values)
        assert m is not None, "an input always has a value"
        assert v is not None, "an input always has a value"
        outputs = (update, m, v)
        known = self._hashes.get(outputs)
        if known is None:
            refusal = output_refusal(outputs)
            if refusal is not None:
                return refusal
            carried = carried_state(update, m, v)
            if len(self._hashes) >= self._memo_limit:
                self._hashes.clear()
            known = self._hashes[outputs] = (canonical_hash(update, m, v, carried), carried)
        return outputs, *known

    def _value(self, statements: Statements, index: int, values: list[Value]) -> Value | Refusal:
        """The value of a statement, from those of the statements before it."""
        statement = statements[index]
        args = []
        for name in statement.args:
            value = _read(name, statements, index, values)
            if value is None:
                return Refusal(f"{name} is used before it is defined", index)
            args.append(value)
        key: Key = (statement.primitive, *args)
        known = self._memo.get(key)
        if known is None:
            known = self._apply(key)
        return Refusal(known, index) if isinstance(known, str) else known

    def _apply(self, key: Key) -> Value | str:
        result = apply_primitive(key[0], key[1:])
        if len(self._memo) >= self._memo_limit:
            self._memo.clear()
        self._memo[key] = result
        return result


def _read(argument: Argument, statements: Statements, index: int, values: list[Value]) -> Value | None:
    """What an argument of the statement at `index` stands for; None if it is not defined before.

    Few arguments are looked up, so no table of variables is kept.
    """
    if isinstance(argument, Constant):
        if argument.abstract is None:
            argument.abstract = constant_value(argument.value)
        return argument.abstract
    for before in range(index - 1, -1, -1):
        if statements[before].target == argument:
            return values[before]
    return INITIAL.get(argument)


@cache
def _result_type(name: str, types: tuple[ValueType, ...]) -> ValueType | str:
    return BY_NAME[name].result_type(types)


def apply_primitive(name: str, args: tuple[Value, ...]) -> Value | str:
    """The value of one primitive applied to values, or the reason why its types do not fit."""
    type_ = _result_type(name, tuple([a.type for a in args]))
    if isinstance(type_, str):
        return type_
    depends = 0
    for a in args:
        depends |= a.depends
    return Value(type_, depends, name, args)


@cache
def _on_numbers(name: str) -> tuple[Callable[..., Any], type[np.floating[Any]]]:
    """What a primitive does to numbers, without its reference's look at what it is given; and their type."""
    row = BY_NAME[name]
    compute = row.reference if row.elementwise is None else inspect.unwrap(row.reference)
    return compute, np.float32 if row.ieee else np.float64


def fold(name: str, numbers: Sequence[float]) -> float:
    """The float32 result of a primitive on constants, the same on every machine.

    What IEEE arithmetic defines to the last bit is computed in float32, as the kernels do. The rest is
    computed in double precision and rounded once: libraries differ in the last digit of a double, which
    rounding to float32 hides.
    """
    compute, convert = _on_numbers(name)
    with np.errstate(all="ignore"):
        exact = float(compute(*[convert(n) for n in numbers]))
    try:
        return float32(exact)
    except OverflowError:
        return float("inf") if exact > 0 else float("-inf")


def output_refusal(outputs: Sequence[Value | None]) -> Refusal | None:
    """Why the outputs are invalid, or None: each must be a tensor."""
    for name, value in zip(OUTPUTS, outputs, strict=True):
        if value is None:
            return Refusal(f"{name} is never defined")
        if value.type is not ValueType.TENSOR:
            noun = "leafwise value" if value.type is ValueType.LEAFWISE else "scalar"
            return Refusal(f"{name} must be a tensor, found a {noun}")
    return None


def carried_state(update: Value, m: Value, v: Value) -> int:
    """Which slots matter from step to step: those whose incoming value can reach `update` some step later."""
    carried = update.depends & _STATE
    if carried & _M:
        carried |= m.depends & _STATE
    if carried & _V:
        carried |= v.depends & _STATE
    # If only v brought m in, there is nothing more for m to bring in: v is there already.
    return carried


def canonical_hash(update: Value, m: Value, v: Value, carried: int) -> bytes:
    """The hash of what a program computes, the same if the slots m and v change their names."""
    if carried == 0:
        return _digest(b"stateless", update.digest)
    if carried == _M:
        return _digest(b"one slot", update.digest, m.digest)
    if carried == _V:
        return _digest(b"one slot", update.swapped, v.swapped)
    return min(
        _digest(b"two slots", update.digest, m.digest, v.digest),
        _digest(b"two slots", update.swapped, v.swapped, m.swapped),
    )


def _wanted(carried: int) -> set[str]:
    """The outputs that matter."""
    wanted = {"update"}
    if carried & _M:
        wanted.add("m")
    if carried & _V:
        wanted.add("v")
    return wanted


def count_live(statements: Statements, carried: int) -> int:
    """How many statements a live output depends on."""
    needed = _wanted(carried)
    live = 0
    for statement in reversed(statements):
        if statement.target in needed:
            needed.remove(statement.target)
            needed.update(statement.variables)
            live += 1
    return live


def live_flags(statements: Sequence[Statement], carried: int) -> tuple[bool, ...]:
    """For each statement, whether a live output depends on it."""
    needed = _wanted(carried)
    flags = []
    for statement in reversed(statements):
        live = statement.target in needed
        if live:
            needed.discard(statement.target)
            needed.update(statement.variables)
        flags.append(live)
    return tuple(reversed(flags))


@dataclass(frozen=True)
class Analysis:
    """Everything abstract execution says about one program, for people and for the evaluator.

    Attributes:
        refusal: why it is invalid, or None.
        hash: canonical hash as 32 hexadecimal digits, empty if invalid.
        values: the value of each statement's target right after it; as far as the program is well typed.
        live: for each statement, whether a live output depends on it (all False if invalid).
        state: which of m and v are carried from step to step.
        outputs: the values of update, m and v; empty if invalid.
    """

    refusal: Refusal | None
    hash: str
    values: tuple[Value, ...]
    live: tuple[bool, ...]
    state: tuple[str, ...]
    outputs: tuple[Value, ...]

    @property
    def valid(self) -> bool:
        """Whether the program can be run."""
        return self.refusal is None


def analyze(statements: Sequence[Statement]) -> Analysis:
    """Abstract execution of one program, told in full."""
    env = Env(INITIAL)
    values: list[Value] = []
    refusal: Refusal | None = None
    for index, statement in enumerate(statements):
        unknown = next((a for a in statement.variables if a not in env), None)
        if unknown is not None:
            refusal = Refusal(f"{unknown} is used before it is defined", index)
            break
        result = apply_primitive(statement.primitive, tuple(env[a] for a in statement.args))
        if isinstance(result, str):
            refusal = Refusal(result, index)
            break
        env[statement.target] = result
        values.append(result)
    refusal = refusal or output_refusal((env.get("update"), env["m"], env["v"]))
    if refusal is not None:
        return Analysis(refusal, "", tuple(values), (False,) * len(statements), (), ())
    update, m, v = (env[name] for name in OUTPUTS)
    carried = carried_state(update, m, v)
    return Analysis(
        refusal=None,
        hash=canonical_hash(update, m, v, carried).hex(),
        values=tuple(values),
        live=live_flags(statements, carried),
        state=tuple(name for name, bit in (("m", _M), ("v", _V)) if carried & bit),
        outputs=(update, m, v),
    )


def live_statements(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """The statements of a valid program that a live output depends on: a valid program with the same hash.

    A slot that is not carried may hold something else than a tensor in between. Where it would now go out
    like that, this variable gets a name of its own (`m1` for `m`).
    """
    analysis = analyze(statements)
    lines = zip(statements, analysis.values, analysis.live, strict=True) if analysis.valid else ()
    live = [(statement, value) for statement, value, flag in lines if flag]
    kept = tuple(statement for statement, _ in live)
    for slot in ("m", "v"):
        last = next((value for statement, value in reversed(live) if statement.target == slot), None)
        if slot not in analysis.state and last is not None and last.type is not ValueType.TENSOR:
            kept = _renamed(kept, slot)
    return kept


def _renamed(statements: Sequence[Statement], old: str) -> tuple[Statement, ...]:
    taken = {name for s in statements for name in (s.target, *s.variables)}
    new = next(name for name in (f"{old}{number}" for number in count(1)) if name not in taken)
    names: dict[Argument, Argument] = {old: new}
    return tuple(
        Statement(new if s.target == old else s.target, s.primitive, tuple(names.get(a, a) for a in s.args))
        for s in statements
    )
