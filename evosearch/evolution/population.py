"""The population: tournament selection, and the oldest leaves."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import NamedTuple

from evosearch.evaluation import Status
from evosearch.evolution.fitness import Known
from evosearch.language.abstract import Judged
from evosearch.language.mutation import pick
from evosearch.language.program import Statements


class Scored(NamedTuple):
    """A program: who it is, and what is known of its score."""

    id: int
    known: Known
    statements: Statements


class Member(NamedTuple):
    """One living program: who it is, what is known of its score, and what abstract execution knows of it."""

    id: int
    known: Known
    statements: Statements
    judged: Judged


class Population:
    """A queue of programs in order of age. It begins as copies of one founder."""

    def __init__(self, founder: Member, size: int) -> None:
        self._members: deque[Member] = deque([founder] * size, maxlen=size)

    def tournament(self, rng: random.Random, size: int) -> Member:
        """The best of `size` members drawn with replacement, by the estimates of the moment.

        Ties go to the member drawn first.
        """
        members = self._members
        best = members[pick(rng, len(members))]
        for _ in range(size - 1):
            other = members[pick(rng, len(members))]
            if other.known.fitness < best.known.fitness:
                best = other
        return best

    def add(self, member: Member) -> None:
        """Add the youngest; the oldest leaves."""
        self._members.append(member)

    def hurdle_quantile(self, task: int, hurdle: int, quantile: float) -> float:
        """A quantile of the members' running losses at a hurdle, relative to the warm start's.

        Members that failed count as infinite.
        """
        return self._quantile([k.hurdles[task][hurdle] for k in self._alive() if k.hurdles], quantile)

    def score_quantile(self, task: int, quantile: float) -> float:
        """A quantile of the members' scores on one task; those that failed count as infinite."""
        return self._quantile([min(k.sums[task]) / k.count for k in self._alive()], quantile)

    def _alive(self) -> list[Known]:
        return [m.known for m in self._members if m.known.status is Status.OK]

    def _quantile(self, numbers: list[float], quantile: float) -> float:
        """Of all members; those that have no number here count as infinite."""
        place = min(len(self._members) - 1, int(quantile * len(self._members)))
        return sorted(numbers)[place] if place < len(numbers) else math.inf


class Leaders:
    """The best programs so far, distinct by hash, a bounded number of them.

    Attributes:
        bar: only programs better than this are taken in; infinite while there is room.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._members: dict[int, Scored] = {}
        self.bar = math.inf

    def offer(self, program: Scored) -> Scored | None:
        """Take in a program whose estimate is new or has changed; who had to leave for it, if anybody."""
        key, fitness = id(program.known), program.known.fitness
        if key in self._members:
            self.bar = max(self.bar, fitness)  # it may have worsened
            return None
        if not fitness < self.bar:
            return None
        self._members[key] = program
        gone = None
        if len(self._members) > self._size:
            worst = max(self._members, key=lambda k: self._members[k].known.fitness)
            gone = self._members.pop(worst)
        if len(self._members) == self._size:
            self.bar = max(m.known.fitness for m in self._members.values())
        return gone

    def __contains__(self, known: Known) -> bool:
        """Whether programs of this score are among them."""
        return id(known) in self._members

    def ranked(self) -> list[Scored]:
        """Best first, by the estimates of the moment; ties to the earlier program."""
        alive = [m for m in self._members.values() if m.known.alive]
        return sorted(alive, key=lambda m: (m.known.fitness, m.id))

    def best(self) -> Scored:
        """The best program so far."""
        return min(self._members.values(), key=lambda m: (m.known.fitness, m.id))
