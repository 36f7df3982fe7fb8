"""What a part of the soak found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Show = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""


def silent(what: str, done: int, total: int) -> None:
    """Show nobody anything."""


@dataclass(frozen=True)
class Report:
    """What a part of the soak found.

    Attributes:
        figures: what was counted or measured, in the order to show, with units in the names.
        broken: a sentence for each promise that did not hold; empty if all did.

    Example:
        Report((("kills", 200), ("rows compared", 60_000)), ())
    """

    figures: tuple[tuple[str, int | float | str], ...]
    broken: tuple[str, ...]
