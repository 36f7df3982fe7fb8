"""Promotion rules: what a stage asks of its candidates, how surely, and what a failed training costs.

`Better` is a test: a candidate goes on if it is better than every baseline by so much. With many candidates
one of them is better by luck, so that the chance of error is shared out among them (`CONTROLS`). `Best` is
no test: so many go on, whatever they are worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from evosearch.errors import StudyError, nearest


@dataclass(frozen=True)
class Control:
    """What is kept below the stated error.

    Attributes:
        about: in words.
        share: `share(rank, candidates)` is the part of the error that the candidate may have which would be
            promoted as number `rank`, from 1; it rises with the rank.
    """

    about: str
    share: Callable[[int, int], float]


def _holm(rank: int, candidates: int) -> float:
    return 1 / (candidates - rank + 1)


def _benjamini_yekutieli(rank: int, candidates: int) -> float:
    return rank / (candidates * math.fsum(1 / place for place in range(1, candidates + 1)))


CONTROLS: dict[str, Control] = {
    "family": Control("the chance of any false promotion", _holm),
    "discovery": Control("the expected share of false promotions", _benjamini_yekutieli),
}
"""Both hold for any dependence between candidates, which share the baseline's seeds and may be near-copies.

`family` is Holm's procedure. It is the closure of Bonferroni's tests, and stays valid over looks since a
boundary of a larger error is crossed wherever one of a smaller error is. Dunnett's test would have more
power, but only if the baseline is known to be as noisy as the candidates: with a quiet one, 5 % may be 9 %.

`discovery` takes the constants of Benjamini and Yekutieli (2001). A promoted candidate has crossed the
boundary of its own rank or a lower one, which is all that their bound needs (Blanchard and Roquain, 2008).
In simulation it has no more power than `family` even where 40 of 50 are better (94 % to 96 %); it takes a
tenth fewer evaluations.
"""


@dataclass(frozen=True)
class Better:
    """Promoted is who is better than each baseline.

    Attributes:
        by: the gain that is asked for, as a share of the baseline's metric; 0 for any gain. What is tested
            is whether the mean difference lies below -by.
        confidence: 1 - the chance of error; one-sided, over all looks and all candidates together.
        control: which chance; a key of `CONTROLS`.

    Raises:
        StudyError: values that make no test.

    Example:
        Better(by=0.01, confidence=0.95)
    """

    by: float = 0.0
    confidence: float = 0.95
    control: str = "family"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.by) and 0 <= self.by < 1):
            raise StudyError(
                f"expected a gain from 0 to below 1, such as 0.01 for 1 %, found by = {self.by:g}"
            )
        if not 0.5 < self.confidence < 1:
            raise StudyError(
                f"expected a confidence above 0.5 and below 1, such as 0.95, found {self.confidence:g}"
            )
        if self.control not in CONTROLS:
            raise StudyError(
                f"expected control to be one of {', '.join(CONTROLS)}, found {self.control!r}"
                f"{nearest(self.control, CONTROLS)}"
            )

    @property
    def error(self) -> float:
        """The chance of error that may be spent in all.

        >>> round(Better(confidence=0.95).error, 12)
        0.05
        """
        return 1 - self.confidence

    def share(self, rank: int, candidates: int) -> float:
        """The error of the candidate that would be promoted as number `rank`.

        >>> round(Better().share(1, 50), 12)
        0.001
        """
        return self.error * CONTROLS[self.control].share(rank, candidates)


@dataclass(frozen=True)
class Best:
    """Promoted are the best by their mean rank, halved look by look; no statement of error.

    Attributes:
        count: how many.

    Raises:
        StudyError: fewer than one.

    Example:
        Best(10)
    """

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise StudyError(f"expected to keep at least 1 candidate, found count = {self.count}")

    def kept(self, candidates: int, look: int, looks: int) -> int:
        """How many are left after look `look` (from 1) of `looks`: a geometric series down to `count`.

        >>> [Best(5).kept(40, look, 3) for look in (1, 2, 3)]
        [20, 10, 5]
        """
        if candidates <= self.count:
            return candidates
        left: float = candidates * (self.count / candidates) ** (look / looks)
        return max(self.count, math.ceil(left - 1e-9))  # 40 / 8 ** (1 / 3) is 20 but for rounding


Rule = Better | Best


@dataclass(frozen=True)
class Failures:
    """What a training costs whose metric is not finite.

    The error of a test is that of the trainings which end. Failures only count against a candidate: each
    stands for its worst seed, and it goes on only with few of them. How many is a share of the seeds of the
    last look, so that it does not matter when a candidate fails.

    Attributes:
        most: a candidate that fails on more seeds is rejected.
        share: and so is one that fails on more than this share of the last look's seeds.
        loss: a failed training counts as the candidate's worst on its task, and at least as this loss, as
            a share of the baseline's metric.

    Raises:
        StudyError: values that make no rule.

    Example:
        Failures(most=0)  # any failure rejects
    """

    most: int = 1
    share: float = 0.1
    loss: float = 0.25

    def __post_init__(self) -> None:
        if self.most < 0 or not 0 <= self.share < 1:
            raise StudyError(
                f"expected at least 0 failures and a share from 0 to below 1, "
                f"found {self.most} and {self.share:g}"
            )
        if not (math.isfinite(self.loss) and self.loss >= 0):
            raise StudyError(f"expected the loss of a failure to be 0 or more, found {self.loss:g}")

    def allowed(self, seeds: int) -> int:
        """How many seeds may fail, of so many at the last look.

        >>> [Failures().allowed(seeds) for seeds in (8, 16, 64)]
        [0, 1, 1]
        """
        return min(self.most, int(self.share * seeds + 1e-9))
