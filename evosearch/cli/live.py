"""How a running search is shown: drawn live on a terminal, as plain lines on a pipe."""

from __future__ import annotations

import math
import time
from collections import deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evosearch.cli.console import duration, make_console, number, percent, program_syntax
from evosearch.search.progress import Progress

LINE_SECONDS = 5.0
CURVE_WIDTH = 60
_BLOCKS = " ▁▂▃▄▅▆▇█"


def time_left(progress: Progress) -> str:
    """How long the search will go on at its pace so far."""
    if progress.share <= 0:
        return "?"
    return duration(progress.seconds * (1 - progress.share) / progress.share)


def progress_line(progress: Progress) -> str:
    """The state of a search in one line of plain text."""
    return "  ".join(
        [
            f"{duration(progress.seconds):>11}",
            f"{progress.generated:,} programs ({progress.programs_per_second:,.0f}/s)",
            f"{progress.evaluated:,} evaluated ({progress.evaluations_per_second:,.0f}/s)",
            f"cache hits {percent(progress.cache_hits)}",
            f"redundant {percent(progress.redundancy)}",
            f"best {number(progress.best_score)} (warm start {number(progress.warm_start_score)})",
            "replaying the record" if progress.replayed else f"{time_left(progress)} left",
            *missing_workers(progress),
        ]
    )


def missing_workers(progress: Progress) -> list[str]:
    """A few words if workers are missing: they start, or wait until there is a machine for them."""
    staff = progress.workers
    if staff is None or staff.ready >= staff.asked:
        return []
    return [f"workers: {staff.ready} of {staff.asked} ready"]


def sparkline(values: list[float], width: int = CURVE_WIDTH) -> str:
    """Values as a line of blocks, the smallest lowest; at most `width` of them.

    >>> sparkline([3.0, 2.0, 1.0])
    '█▄▁'
    """
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return ""
    if len(finite) > width:
        finite = [finite[int(i * len(finite) / width)] for i in range(width - 1)] + finite[-1:]
    low, high = min(finite), max(finite)
    spread = (high - low) or 1.0
    return "".join(_BLOCKS[1 + int((v - low) / spread * 7)] for v in finite)


class LineView:
    """Plain lines, one every few seconds: for pipes, logs and `--json` (on standard error)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def stage(self, name: str, done: int, total: int) -> None:
        """One line when a piece of work is done."""
        if done == total:
            self._console.print(f"{name}: done" if total == 1 else f"{name}: {total} done", markup=False)

    def progress(self, progress: Progress) -> None:
        """One line, unless there was one a moment ago."""
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self._console.print(progress_line(progress), soft_wrap=True, markup=False)


class LiveView:
    """A panel that is drawn anew while the search runs."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._curve: deque[float] = deque(maxlen=4000)
        self._progress: Progress | None = None
        self._stage: tuple[str, int, int] | None = None

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def stage(self, name: str, done: int, total: int) -> None:
        """Show a piece of work besides the search."""
        self._stage = None if done >= total else (name, done, total)
        self._draw()

    def progress(self, progress: Progress) -> None:
        """Show the search."""
        self._progress = progress
        self._curve.append(progress.best_score)
        self._draw()

    def _draw(self) -> None:
        parts: list[RenderableType] = []
        if self._progress is not None:
            parts.append(search_panel(self._progress, list(self._curve)))
        if self._stage is not None:
            parts.append(stage_bar(*self._stage))
        self._live.update(Group(*parts))


def stage_bar(name: str, done: int, total: int) -> RenderableType:
    """One line with a progress bar."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        name, ProgressBar(total=total, completed=done, width=40, complete_style="cyan"), f"{done} of {total}"
    )
    return grid


def search_panel(progress: Progress, curve: list[float]) -> Panel:
    """All of a running search: budget, rates, scores, and the best program."""
    bar = Table.grid(padding=(0, 1))
    state = "replaying the record" if progress.replayed else f"{time_left(progress)} left"
    bar.add_row(
        ProgressBar(total=1.0, completed=progress.share, width=40, complete_style="cyan"),
        Text(f"{percent(progress.share)}  {duration(progress.seconds)} gone, {state}", style="dim"),
    )
    facts = Table.grid(padding=(0, 3))
    for _ in range(4):
        facts.add_column()
    facts.add_row(
        _fact("programs", f"{progress.generated:,}", f"{progress.programs_per_second:,.0f}/s"),
        _fact("evaluated", f"{progress.evaluated:,}", f"{progress.evaluations_per_second:,.0f}/s"),
        _fact("cache hits", percent(progress.cache_hits)),
        _fact("redundant", percent(progress.redundancy)),
    )
    scores = Text.assemble(
        ("score  ", "dim"),
        ("warm start ", "dim"),
        (number(progress.warm_start_score), "bold"),
        ("   best ", "dim"),
        (number(progress.best_score), "bold green"),
        (f"  (program {progress.best_id})" if progress.best_id >= 0 else "", "dim"),
        ("   lower is better", "dim"),
    )
    line = Text(sparkline(curve), style="green")
    where = "  ".join([f"round {progress.round + 1}, run {progress.restart + 1}", *missing_workers(progress)])
    return Panel(
        Group(bar, Text(), facts, Text(), scores, line, Text(), program_syntax(progress.best_text)),
        title=Text.assemble((progress.name, "bold"), f"  {where}"),
        title_align="left",
        subtitle="Ctrl-C stops cleanly",
        subtitle_align="right",
        border_style="cyan",
    )


def _fact(name: str, value: str, more: str = "") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, "bold"), (f" {more}" if more else "", "dim"))


def make_view(as_json: bool) -> LiveView | LineView:
    """Live on a terminal; plain lines on a pipe, or on standard error beside JSON."""
    console = make_console(stderr=as_json)
    return LiveView(console) if console.is_terminal and not as_json else LineView(console)
