"""What `evosearch inspect` can show of a run or of one program of it: the options, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Part(NamedTuple):
    """One thing to show.

    Attributes:
        summary: what it is, for `--help`.
        of_program: whether it is about one program, by default the best of the run.
    """

    summary: str
    of_program: bool = False


PARTS: Mapping[str, Part] = MappingProxyType(
    {
        "best": Part("the best programs, distinct by behaviour"),
        "lineage": Part("the steps from the warm start to the best program, or to RUN:ID", of_program=True),
        "diff": Part("its live code beside the warm start's", of_program=True),
        "ideas": Part("when each statement of its live code appeared first", of_program=True),
        "mutations": Part("how many mutations are neutral, better, harmful; how many became parents"),
        "primitives": Part("what the best programs are made of, beside all programs"),
        "outcomes": Part("how evaluations ended, by reason"),
        "curves": Part("scores, cache hits, redundancy, length by tenths of the progress"),
    }
)
"""Every row is an option of its own, `--lineage` and so on; shown in this order."""

OVERVIEW = ("best", "lineage", "mutations", "primitives", "outcomes", "curves")
"""What a run is shown as if no part is asked for: some of them in a line each."""
