"""The instructions of many programs, merged into one sequence of primitives that serves them all.

In each step of the sequence one primitive is computed for all programs at once; a program for which that is
not its turn computes something that nobody reads. So the sequence should be short: it is a common
supersequence of the programs, and each program may be reordered as far as its own data allow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from evosearch.evaluation.flow import Flow


class Merged(NamedTuple):
    """Many programs as one sequence.

    Attributes:
        primitives: the names, in order.
        turns: for each program, in order, the (step of the sequence, index of its instruction).
    """

    primitives: list[str]
    turns: list[list[tuple[int, int]]]


def merged(flows: Sequence[Flow]) -> Merged:
    """A short common sequence, found greedily.

    The next primitive is the one for which most programs have an instruction ready, whose operands are
    computed. Each votes with the square of how many instructions still hang on that one in a chain: whoever
    has a long way to go should not be kept waiting. On batches of mutants the square gave the shortest
    sequences, a third shorter than one vote each in the order of the program.

    Args:
        flows: what is to be computed.

    Example:
        >>> from evosearch.evaluation.flow import Capacity, flow_of
        >>> from evosearch.language import builtin
        >>> import numpy as np
        >>> lr = np.ones(1, np.float32)
        >>> flows = [flow_of(builtin(name).statements, lr, Capacity()) for name in ("sgd", "lion")]
        >>> merged(flows).primitives
        ['interp', 'multiply', 'sign', 'add', 'multiply', 'interp']
    """
    programs = [_Program(flow) for flow in flows]
    primitives: list[str] = []
    while True:
        votes: dict[str, int] = defaultdict(int)
        for program in programs:
            for primitive, (height, _) in program.ready.items():
                votes[primitive] += height**2
        if not votes:
            return Merged(primitives, [program.turns for program in programs])
        primitive = max(votes, key=lambda name: (votes[name], name))
        for program in programs:
            program.take(primitive, len(primitives))
        primitives.append(primitive)


class _Program:
    """What of a program is done, and what is ready.

    Attributes:
        ready: for each primitive that has instructions ready, the (height, index) of the highest: the most
            instructions in a chain from it to the end.
        turns: see `Merged`.
    """

    def __init__(self, flow: Flow) -> None:
        self.turns: list[tuple[int, int]] = []
        self._names = [instruction.primitive for instruction in flow.instructions]
        made = {instruction.result: index for index, instruction in enumerate(flow.instructions)}
        needs = [
            {made[number] for is_column, number in instruction.operands if not is_column and number in made}
            for instruction in flow.instructions
        ]
        self._missing = [len(needed) for needed in needs]
        self._users: list[list[int]] = [[] for _ in needs]
        self._heights = [1] * len(needs)
        for index in reversed(range(len(needs))):
            for needed in needs[index]:
                self._users[needed].append(index)
                self._heights[needed] = max(self._heights[needed], self._heights[index] + 1)
        self._waiting = {index for index, missing in enumerate(self._missing) if not missing}
        self.ready = self._best()

    def take(self, primitive: str, step: int) -> None:
        """Do the highest instruction of this primitive, if one is ready."""
        if primitive not in self.ready:
            return
        _, index = self.ready[primitive]
        self.turns.append((step, index))
        self._waiting.remove(index)
        for user in self._users[index]:
            self._missing[user] -= 1
            if not self._missing[user]:
                self._waiting.add(user)
        self.ready = self._best()

    def _best(self) -> dict[str, tuple[int, int]]:
        best: dict[str, tuple[int, int]] = {}
        for index in sorted(self._waiting):
            name, height = self._names[index], self._heights[index]
            if name not in best or height > best[name][0]:
                best[name] = height, index
        return best
