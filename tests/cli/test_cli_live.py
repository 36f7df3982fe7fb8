"""What a running search shows, tested as text."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from rich.console import Console

from evosearch.cli.console import duration, number, percent, printable
from evosearch.cli.live import LineView, LiveView, progress_line, search_panel, sparkline, time_left
from evosearch.search.progress import Progress
from evosearch.workers import Staff

PROGRESS = Progress(
    name="mine",
    seconds=90.0,
    share=0.25,
    generated=12_345,
    evaluated=1_234,
    replayed=0,
    programs_per_second=137.2,
    evaluations_per_second=13.7,
    cache_hits=0.891,
    redundancy=0.698,
    warm_start_score=2.828,
    best_score=2.231,
    best_id=77,
    best_text="def train(w, g, m, v, lr):\n    update = sign(g)\n    return update, m, v\n",
    round=0,
    restart=1,
)


def drawn(console_width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=console_width, force_terminal=False)
    console.print(search_panel(PROGRESS, [2.828, 2.5, 2.231]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_the_panel_shows_all_that_is_promised() -> None:
    text = drawn()
    for part in (
        "mine",
        "round 1, run 2",
        "12,345",
        "137/s",
        "1,234",
        "14/s",
        "89.1 %",
        "69.8 %",
        "25.0 %",
        "4 min 30 s left",
        "warm start 2.828",
        "best 2.231",
        "program 77",
        "update = sign(g)",
    ):
        assert part in text, part


def test_a_line_says_the_same() -> None:
    line = progress_line(PROGRESS)
    for part in ("1 min 30 s", "12,345 programs (137/s)", "1,234 evaluated (14/s)", "cache hits 89.1 %"):
        assert part in line
    assert "best 2.231 (warm start 2.828)" in line
    assert "4 min 30 s left" in line
    assert "replaying the record" in progress_line(replace(PROGRESS, replayed=5))


def test_time_left_before_anything_is_known() -> None:
    assert time_left(replace(PROGRESS, share=0.0)) == "?"


def test_sparkline() -> None:
    assert sparkline([3.0, 2.0, 1.0]) == "█▄▁"
    assert sparkline([]) == ""
    assert sparkline([math.inf, 1.0]) == "▁"
    assert len(sparkline([float(n) for n in range(1000)])) == 60


def test_numbers_for_people() -> None:
    assert number(2.5) == "2.500"
    assert number(math.inf) == "failed"
    assert number(None) == "-"
    assert percent(0.5) == "50.0 %"
    assert duration(3725) == "1 h 02 min"
    assert duration(59) == "59 s"
    assert printable("\x1b[31mred\n") == "\ufffd[31mred\n"


def test_lines_come_seldom_and_stages_once() -> None:
    console = Console(file=io.StringIO(), width=200)
    with LineView(console) as view:
        view.stage("tuning", 1, 2)
        view.stage("tuning", 2, 2)
        view.progress(PROGRESS)
        view.progress(PROGRESS)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.splitlines() == ["tuning: 2 done", progress_line(PROGRESS)]


def test_the_live_view_draws_stages_and_progress() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with LiveView(console) as view:
        view.stage("tuning lion", 3, 10)
        view.progress(PROGRESS)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "tuning lion" in text
    assert "12,345" in text


def test_missing_workers_are_told() -> None:
    def shown(ready: int) -> tuple[str, str]:
        progress = replace(PROGRESS, workers=Staff(ready, 8))
        console = Console(file=io.StringIO(), width=100, force_terminal=False)
        console.print(search_panel(progress, []))
        return progress_line(progress), console.file.getvalue()  # type: ignore[attr-defined]

    assert all("workers: 0 of 8 ready" in text for text in shown(0))
    assert not any("workers" in text for text in shown(8))
