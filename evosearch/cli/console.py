"""How text, tables and errors reach the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from evosearch.json_text import json_text

if TYPE_CHECKING:
    from evosearch.simplify import Recognition

PROGRAM_THEME = "ansi_dark"


LONGEST_ERROR = 2_000


class _Harmless(Console):
    """A console that nobody's text can steer: whatever is drawn, no control character reaches the terminal.

    Names and texts come from runs and files of other people. Square brackets in them are no markup, colons no
    emoji; only `Text` and styles have looks.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            clean = segment.control is not None or _is_printable(segment.text)
            yield segment if clean else segment._replace(text=printable(segment.text))


def make_console(*, stderr: bool = False) -> Console:
    """A console for people; on a pipe it prints plain text as wide as it needs."""
    console = _Harmless(stderr=stderr, highlight=False, soft_wrap=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = _Harmless(
            stderr=stderr, highlight=False, width=160, no_color=True, markup=False, emoji=False
        )
    return console


def printable(text: str) -> str:
    """Text without control characters: a file's name must not steer anybody's terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _is_printable(text: str) -> bool:
    return text.isprintable() or text == "\n"


def print_error(message: str) -> None:
    """One line for a person, on standard error."""
    line = " ".join(printable(message).split("\n"))
    if len(line) > LONGEST_ERROR:
        line = f"{line[:LONGEST_ERROR]}..."
    make_console(stderr=True).print(Text.assemble(("error: ", "bold red"), line), soft_wrap=True)


def print_json(data: Any) -> None:
    """One object on standard output; numbers that are not finite become null."""
    sys.stdout.write(json_text(data))


def make_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Iterable[RenderableType]],
    left: int = 1,
    unbroken: int = 0,
) -> RenderableType:
    """A title and a table whose first `left` columns are texts; its others are numbers, set to the right.

    The first `unbroken` columns keep their texts on one line, where others are folded to the width.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        side: Literal["left", "right"] = "left" if place < left else "right"
        table.add_column(name, justify=side, overflow="fold", no_wrap=place < unbroken)
    for row in rows:
        table.add_row(*row)
    return Group(Text(title, "bold"), table)  # a title of the table's own is wrapped to the table's width


def program_syntax(text: str) -> Syntax:
    """A program as highlighted code."""
    return Syntax(
        text.rstrip("\n"), "python", theme=PROGRAM_THEME, background_color="default", word_wrap=True
    )


def recognition_line(known: Recognition) -> Text:
    """Which known optimizer a program is, as a sentence."""
    return Text(f"{known.sentence[0].upper()}{known.sentence[1:]}.", "bold")


def number(value: float | None, digits: int = 4) -> str:
    """A score for a table: `digits` significant digits, or a word where there is none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "failed"
    return f"{value:#.{digits}g}".rstrip(".")


def percent(share: float) -> str:
    """A share as a percentage.

    >>> percent(0.891)
    '89.1 %'
    """
    return f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(3725)
    '1 h 02 min'
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
