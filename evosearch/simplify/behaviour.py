"""Runs two programs side by side: does a simplified one still do what the original does?

In NumPy, in double precision (constant expressions in float32, as they are folded), through the primitives'
references, over several steps from zero state. Gradients span many scales and hold exact zeros, since there
the 1e-8 in division and the sign of zero show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.language import Statement, analyze
from evosearch.language.fingerprint import run_folded
from evosearch.simplify.step import Exactness

SHAPES = ((5,), (3, 4), (1,))
GRADIENT_SCALES = (1e-6, 1e-4, 1e-2, 1.0, 1e2)
SCHEDULE = (1.0, 0.7, 0.3, 0.01, 0.0)
SEEDS = 2
ZEROS = 0.1
"""Share of the gradient's entries that are exactly 0."""

TOLERANCE: Mapping[Exactness, float] = {
    Exactness.EXACT: 1e-6,
    Exactness.ROUNDING: 1e-5,
    Exactness.FINITE: 1e-5,
    Exactness.GUARD: 1e-2,
}
"""Largest difference that is accepted, as root mean square of an array, relative to the update's. Constants
are written in float32, so even exact algebra moves the seventh digit."""

GUARD_SCALE = 1e-2
"""With rules that hold up to the 1e-8 in division, gradients below this scale are reported and not judged."""

Array = NDArray[np.float64]
Tree = tuple[Array, ...]


@dataclass(frozen=True)
class Behaviour:
    """How two programs compare.

    Attributes:
        same: within the tolerance.
        worst: largest relative difference of an update among those that are judged.
        worst_small: the same at the smallest gradients, where the 1e-8 in division shows.
        reason: why they are not the same, or "".
    """

    same: bool
    worst: float
    worst_small: float
    reason: str


@cache
def _probe(scale: float, seed: int) -> tuple[Tree, tuple[Tree, ...]]:
    rng = np.random.Generator(np.random.Philox(key=1000 * seed + GRADIENT_SCALES.index(scale)))
    weights = tuple(rng.normal(size=shape) for shape in SHAPES)
    gradients = tuple(
        tuple(rng.normal(size=shape) * scale * (rng.random(shape) >= ZEROS) for shape in SHAPES)
        for _ in SCHEDULE
    )
    return weights, gradients


def updates(statements: Sequence[Statement], scale: float, seed: int) -> list[Tree]:
    """The updates of a valid program, one tree for each step of `SCHEDULE`."""
    analysis = analyze(statements)
    lines = [*zip(statements, analysis.values, strict=True)]
    weights, gradients = _probe(scale, seed)
    zeros = tuple(np.zeros(shape) for shape in SHAPES)
    m = v = zeros
    found = []
    for gradient, lr in zip(gradients, SCHEDULE, strict=True):
        env: dict[str, Any] = {"w": weights, "g": gradient, "m": m, "v": v, "lr": np.float64(lr)}
        with np.errstate(all="ignore"):
            env = run_folded(lines, env)
            update = tuple(
                np.broadcast_to(leaf, shape) for leaf, shape in zip(env["update"], SHAPES, strict=True)
            )
            weights = tuple(w - u for w, u in zip(weights, update, strict=True))
        found.append(update)
        m = env["m"] if "m" in analysis.state else zeros
        v = env["v"] if "v" in analysis.state else zeros
    return found


def compare_behaviour(
    before: Sequence[Statement], after: Sequence[Statement], exactness: Exactness
) -> Behaviour:
    """Whether a valid program does what another does, in the sense of an exactness.

    Args:
        before: the original.
        after: what it was turned into.
        exactness: the weakest of the rules that were used.
    """
    tolerance, worst, worst_small = TOLERANCE[exactness], 0.0, 0.0
    for scale in GRADIENT_SCALES:
        judged = exactness is not Exactness.GUARD or scale >= GUARD_SCALE
        for seed in range(SEEDS):
            pairs = zip(updates(before, scale, seed), updates(after, scale, seed), strict=True)
            for step, (one, other) in enumerate(pairs):
                if _fails_anew(one, other, exactness):
                    reason = f"step {step + 1} with gradients of {scale:g}: only one of them is finite"
                    return Behaviour(False, np.inf, worst_small, reason)
                difference = _difference(one, other)
                if not judged:
                    worst_small = max(worst_small, difference)
                    continue
                worst = max(worst, difference)
                if difference > tolerance:
                    reason = (
                        f"step {step + 1} with gradients of {scale:g}: updates differ by {difference:.1e}"
                    )
                    return Behaviour(False, worst, worst_small, reason)
    return Behaviour(True, worst, worst_small, "")


def _fails_anew(one: Tree, other: Tree, exactness: Exactness) -> bool:
    """Whether the second fails where the first does not; or the reverse, if rules hold for all inputs."""
    good = [(np.isfinite(a), np.isfinite(b)) for a, b in zip(one, other, strict=True)]
    everywhere = exactness in (Exactness.EXACT, Exactness.ROUNDING)
    return any((a > b).any() or (everywhere and (a != b).any()) for a, b in good)


def _difference(one: Tree, other: Tree) -> float:
    """The largest difference of an array where both are finite: root mean square, relative to the first's."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        good = np.isfinite(a) & np.isfinite(b)
        size, gap = _rms(a[good]), _rms(a[good] - b[good])
        worst = max(worst, gap / size if size > 0 else float(gap > 0))
    return worst


def _rms(values: Array) -> float:
    """Scaled first, so that squares neither overflow nor vanish."""
    largest = float(np.max(np.abs(values), initial=0.0))
    return largest * float(np.sqrt(np.mean((values / largest) ** 2))) if largest > 0 else 0.0
