"""What mutations do: how many are neutral, better, worse, fatal, and how many became parents themselves."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.errors import RunError
from evosearch.inspection.history import RANDOM, History


class Effect(enum.Enum):
    """What a mutation did to its parent; the value is the sentence that people read."""

    NEUTRAL = "the same hash as the parent: the mutation did not reach live code"
    BETTER = "a better score than the parent's"
    SAME = "another hash, the very same score"
    WORSE = "a worse score than the parent's"
    FAILED = "it does not train"


HARMFUL = (Effect.WORSE, Effect.FAILED)


@dataclass(frozen=True)
class KindStatistics:
    """What became of the children of one kind of mutation, or with one effect.

    Attributes:
        name: of the kind or of the effect, or "all".
        programs: how many there are.
        effects: how many had which effect, by its name; they add up to `programs`.
        accepted: how many became parents.
        records: how many were the best of the run when they came.
    """

    name: str
    programs: int
    effects: dict[str, int]
    accepted: int
    records: int

    @property
    def harmful(self) -> int:
        """How many were worse than the parent, or failed."""
        return sum(self.effects[effect.name] for effect in HARMFUL)


@dataclass(frozen=True)
class MutationStatistics:
    """Mutations of a run.

    Attributes:
        kinds: one for each kind of mutation, the most frequent first.
        effects: one for each effect, in the order of `Effect`.
        total: of all programs.
        invalid: children thrown away because they were not valid; their kind is not recorded.
    """

    kinds: tuple[KindStatistics, ...]
    effects: tuple[KindStatistics, ...]
    total: KindStatistics
    invalid: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        rows = [*self.kinds, *self.effects, self.total]
        facts = [{**asdict(row), "harmful": row.harmful} for row in rows]
        kinds = len(self.kinds)
        return {"kinds": facts[:kinds], "effects": facts[kinds:-1], "all": facts[-1], "invalid": self.invalid}


def effects(history: History) -> NDArray[np.int64]:
    """(programs,) for each row the index of its mutation's effect in `Effect`.

    Scores are compared as the rows of parent and child tell them. Where scores improve with more seeds, a
    parent may have had another score when it was chosen.

    Raises:
        RunError: the programs were drawn at random, there are no mutations; or the warm start has primitives
            that are not known here.
    """
    if history.warm_start is None and not history.drawn:
        raise RunError(f"the warm start of {history.run} has primitives that are not known here")
    if history.warm_start is None:
        raise RunError(
            f"every program of {history.run} was drawn at random (search.method: {RANDOM}): "
            "there are no mutations and no parents to compare with"
        )
    child, parent = history.score, history.parent_score
    conditions = {
        Effect.NEUTRAL: ~history.changed,
        Effect.FAILED: ~np.isfinite(child),
        Effect.BETTER: child < parent,
        Effect.WORSE: child > parent,
        Effect.SAME: np.ones(len(child), dtype=np.bool_),
    }
    order = list(Effect)
    numbers = [order.index(effect) for effect in conditions]
    return np.select(list(conditions.values()), numbers).astype(np.int64)


def mutation_statistics(history: History) -> MutationStatistics:
    """What mutations of each kind did.

    Raises:
        RunError: the programs were drawn at random; there are no mutations.
    """
    effect = effects(history)
    children = np.bincount(history.parent[history.parent >= 0], minlength=len(history))
    before = np.concatenate([[_or_infinite(history.warm_score)], history.best_so_far[:-1]])
    record = history.score < np.minimum(before, _or_infinite(history.warm_score))

    def of(name: str, rows: NDArray[np.bool_]) -> KindStatistics:
        counts = np.bincount(effect[rows], minlength=len(Effect)).tolist()
        return KindStatistics(
            name=name,
            programs=int(rows.sum()),
            effects={e.name: count for e, count in zip(Effect, counts, strict=True)},
            accepted=int((children[rows] > 0).sum()),
            records=int(record[rows].sum()),
        )

    kinds = [of(name, history.mutation.is_(name)) for name in history.mutation.names]
    return MutationStatistics(
        kinds=tuple(sorted(kinds, key=lambda kind: (-kind.programs, kind.name))),
        effects=tuple(of(e.name, effect == number) for number, e in enumerate(Effect)),
        total=of("all", np.ones(len(history), dtype=np.bool_)),
        invalid=int(history.invalid.sum()),
    )


def _or_infinite(score: float) -> float:
    return score if score == score else float("inf")
