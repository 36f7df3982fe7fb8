"""What kind of value a primitive takes and gives: three types and the rules between them.

Imports nothing but the standard library, so that tools can reason about programs without JAX.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class ValueType(enum.IntEnum):
    """The type of a value in a program; the wider of two types is their maximum."""

    SCALAR = 0
    """One number, such as `lr` or a constant."""
    LEAFWISE = 1
    """One number for each array of the parameter tree, such as `norm(g)`."""
    TENSOR = 2
    """One number for each parameter: a tree shaped like the parameters, such as `w` and `g`."""

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class TypeRule:
    """How the type of a result follows from the types of the arguments.

    Attributes:
        name: a short handle, unique among the rules.
        sentence: the rule told to a person.
        expects: the type that each argument must have, None where any type will do;
            or None for any number of arguments of any type.
        gives: the type of the result, or None for the widest among the arguments of free type.
    """

    name: str
    sentence: str
    expects: tuple[ValueType | None, ...] | None
    gives: ValueType | None

    def result(self, arg_types: tuple[ValueType, ...]) -> ValueType | str:
        """Return the type of the result, or the reason why these arguments are refused.

        Args:
            arg_types: the types of the arguments, in order.

        Returns:
            The result's type; a sentence (str) with expected and found when the rule refuses.

        Example:
            >>> REDUCE_LEAVES.result((ValueType.TENSOR,))
            <ValueType.LEAFWISE: 1>
            >>> REDUCE_LEAVES.result((ValueType.SCALAR,))
            'argument 1 must be a tensor, found a scalar'
        """
        expects = (None,) * max(len(arg_types), 1) if self.expects is None else self.expects
        if len(arg_types) != len(expects):
            least = "at least " if self.expects is None else ""
            return f"expected {least}{_count(len(expects))}, found {len(arg_types)}"
        for position, (expected, found) in enumerate(zip(expects, arg_types, strict=True), start=1):
            if expected is not None and expected != found:
                return f"argument {position} must be a {_noun(expected)}, found a {_noun(found)}"
        if self.gives is not None:
            return self.gives
        return max(found for expected, found in zip(expects, arg_types, strict=True) if expected is None)


def _noun(kind: ValueType) -> str:
    return "leafwise value" if kind == ValueType.LEAFWISE else str(kind)


def _count(number: int) -> str:
    return f"{number} argument" if number == 1 else f"{number} arguments"


ELEMENTWISE = TypeRule(
    "elementwise", "Arguments of any type; the result is as wide as the widest.", None, None
)
CONSTANT = TypeRule("constant", "No arguments; the result is a scalar.", (), ValueType.SCALAR)

# Reductions refuse scalars and leafwise values. They could be defined there (the norm of a number is its
# absolute value), but such a statement only repeats a cheaper one, and it hides mistakes.
REDUCE_LEAVES = TypeRule(
    "reduce_leaves",
    "One tensor; the result is one number for each array.",
    (ValueType.TENSOR,),
    ValueType.LEAFWISE,
)
REDUCE_TREE = TypeRule(
    "reduce_tree",
    "One tensor; the result is one number for the whole tree.",
    (ValueType.TENSOR,),
    ValueType.SCALAR,
)
REDUCE_PAIR = TypeRule(
    "reduce_pair",
    "Two tensors; the result is one number for the whole tree.",
    (ValueType.TENSOR, ValueType.TENSOR),
    ValueType.SCALAR,
)
RESCALE = TypeRule(
    "rescale",
    "A tensor and a scalar bound; the result is a tensor.",
    (ValueType.TENSOR, ValueType.SCALAR),
    ValueType.TENSOR,
)
BLEND = TypeRule(
    "blend",
    "Two values of any type and a scalar weight; the result is as wide as the wider of the two.",
    (None, None, ValueType.SCALAR),
    None,
)
