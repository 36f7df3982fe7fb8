"""How a running study is shown: a bar on a terminal, plain lines on a pipe; and the options it shares."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from evosearch.cli.console import duration, make_console
from evosearch.config.yaml_file import parse_value
from evosearch.errors import ConfigError, StudyError, nearest
from evosearch.evaluation import Plan, TaskPlan
from evosearch.evaluation.references import REFERENCES
from evosearch.study.trials import Progress
from evosearch.workers import InProcessPool, Pool
from proxy_tasks import TaskError

LINE_SECONDS = 5.0
TIMEOUT_SECONDS = 3600.0
"""No single training of a study takes longer."""


class _Left:
    """How long a study will go on at its pace so far; what the ledger knew took no time.

    A study of several stages begins to count anew with each: their tasks differ in size.
    """

    def __init__(self) -> None:
        self._begin, self._trained = time.monotonic(), 0

    def text(self, progress: Progress) -> str:
        """In words."""
        if progress.trained < self._trained:
            self._begin = time.monotonic()
        self._trained = progress.trained
        if not progress.trained:
            return "?"
        pace = (time.monotonic() - self._begin) / progress.trained
        return duration(pace * (progress.total - progress.done))


class StudyBar:
    """A bar on a terminal; a context manager."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._row = self._bar.add_task("starting workers", total=None, more="")
        self._left = _Left()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        self._bar.update(
            self._row,
            description=progress.label,
            total=progress.total,
            completed=progress.done,
            more=f"{progress.finished}/{progress.pieces} complete, {self._left.text(progress)} left",
        )

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(Text(text), soft_wrap=True)


class StudyLines:
    """Plain lines, one every few seconds; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._left = _Left()
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to put away."""

    def progress(self, progress: Progress) -> None:
        """One line, unless there was one a moment ago."""
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            self.say(
                f"{progress.label}  {progress.done:,} of {progress.total:,} trainings  "
                f"{progress.finished}/{progress.pieces} complete  {self._left.text(progress)} left"
            )

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(Text(text), soft_wrap=True)


def make_study_view(as_json: bool) -> StudyBar | StudyLines:
    """A bar on a terminal; plain lines on a pipe, or on standard error beside JSON."""
    console = make_console(stderr=as_json)
    return StudyBar(console) if console.is_terminal and not as_json else StudyLines(console)


def study_pool(plan: Plan, backend: str, workers: int | Literal["auto"]) -> Pool:
    """Workers for a study."""
    if backend == "in_process":
        return InProcessPool(plan)
    from evosearch.workers.ray_pool import RayPool  # Ray takes seconds to import

    return RayPool(plan, count=workers, timeout=TIMEOUT_SECONDS)


def parse_knobs(preset: str | None, settings: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Knobs from `--preset P` and `--set knob=value`.

    Raises:
        ConfigError: not of that form.
    """
    knobs: dict[str, Any] = {} if preset is None else {"preset": preset}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {text}: expected knob=value, as in steps=100")
        knobs[name] = parse_value(value)
    return tuple(knobs.items())


def check_references(names: Sequence[str]) -> None:
    """Raise StudyError for a name that is no reference, with the nearest one."""
    for name in names:
        if name not in REFERENCES:
            known = ", ".join(REFERENCES)
            raise StudyError(f"unknown reference {name!r}{nearest(name, REFERENCES)} (known: {known})")


def checked_plan(name: str, knobs: tuple[tuple[str, Any], ...]) -> TaskPlan:
    """A task with its knobs. Raises ConfigError where they are wrong."""
    plan = TaskPlan(name, knobs)
    with task_errors():
        plan.build().data()
    return plan


def check_plot(plot: str | None) -> None:
    """A mistake that would show only after hours."""
    if plot is None:
        return
    place = Path(plot)
    if place.suffix.lower() != ".png":
        raise ConfigError(f"--plot {plot}: expected the name of a .png file")
    if not place.absolute().parent.is_dir():
        raise ConfigError(f"--plot {plot}: there is no folder {place.parent}")


def task_facts(plan: TaskPlan) -> dict[str, Any]:
    """What a result says of its task, as plain data."""
    task = plan.build()
    return {
        "name": plan.name,
        "knobs": dict(plan.knobs),
        "steps": task.steps,
        "batch_size": task.batch_size,
        "data": task.data().fingerprint,
    }


@contextmanager
def task_errors() -> Iterator[None]:
    """Turn a person's mistake in a task into one of ours."""
    try:
        yield
    except TaskError as error:
        raise ConfigError(str(error)) from error
