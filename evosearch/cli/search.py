"""`evosearch search`: run a search and say what came out."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.text import Text

from evosearch.cli.console import (
    duration,
    make_console,
    make_table,
    number,
    percent,
    print_json,
    printable,
    program_syntax,
    recognition_line,
)
from evosearch.cli.find import is_run
from evosearch.cli.live import make_view
from evosearch.errors import ConfigError, RunError
from evosearch.evaluation.interpreters import choose
from evosearch.evolution import without_machine_code
from evosearch.language import parse
from evosearch.records import RunReader
from evosearch.search.config import Config, load_config
from evosearch.search.report import Standing
from evosearch.search.run import Stop, Summary, run_search
from evosearch.simplify import known_as

RUNS = Path("runs")


def search_command(
    config_path: str,
    out: str | None,
    overrides: Sequence[str],
    as_json: bool,
    *,
    resume: bool,
    elsewhere: bool,
) -> int:
    """Run a search, or go on with one; 0 also if it was stopped cleanly."""
    if elsewhere and not resume:
        raise ConfigError("--elsewhere goes with --resume: expected both, or neither")
    console = make_console(stderr=as_json)

    def say(line: str) -> None:
        console.print(printable(line), style="yellow", markup=False, soft_wrap=True)

    path = Path(config_path)
    if is_run(config_path):
        config, folder = _config_of_run(path, overrides, out, say, resume=resume), path
    else:
        config = load_config(path, overrides)
        folder = run_folder(config, out, resume)
    console.print(f"run: {printable(str(folder))}", markup=False)
    if config.evaluation.way == "interpreter":
        choice = choose(config.evaluation.interpreter)
        reason = f" ({choice.reason})" if choice.reason else ""
        console.print(f"interpreter: {choice.name}{printable(reason)}", markup=False)
    if without_machine_code():
        console.print(f"engine: python ({printable(without_machine_code())})", markup=False)
    stop = Stop()
    with make_view(as_json) as view, _clean_stop(stop, console):
        summary = run_search(
            config,
            folder,
            resume=resume,
            elsewhere=elsewhere,
            view=view,
            stop=stop,
            say=say,
        )
    if as_json:
        data = summary.to_json()
        known = known_as(parse(summary.best_live_text).statements)
        data["best"]["recognised"] = None if known is None else known.to_json()
        print_json(data)
    else:
        show_summary(console, summary)
    if not summary.finished:
        command = ["evosearch", "search", config_path, "--resume"]
        command += [] if path == folder else ["--out", str(folder)]
        command += [word for override in overrides for word in ("--set", override)]
        console.print(f"Stopped; nothing is lost. To go on: {printable(shlex.join(command))}", markup=False)
    return 0


def _config_of_run(
    run: Path, overrides: Sequence[str], out: str | None, say: Callable[[str], None], *, resume: bool
) -> Config:
    """The configuration to go on with a run that is named by its folder.

    Raises:
        ConfigError: nobody asked to go on with it, or --out names another folder.
        RunError: the folder is no run.
    """
    if not resume:
        raise ConfigError(
            f"{run} is a folder: expected a YAML file; to go on with the run in it, add --resume"
        )
    if out is not None and Path(out) != run:
        raise ConfigError(f"{run} and --out {out} are two runs to go on with: expected one")
    RunReader(run)  # says what is wrong with a folder that is no run
    config = load_config(run / "config.yaml", overrides)
    if config.workers.address is None or any(each.startswith("workers.address=") for each in overrides):
        return config
    # The run may be someone else's, and so the cluster; its driver would run what that cluster sends.
    wanted = shlex.quote(f"workers.address={config.workers.address}")
    say(f"workers.address of {run} is not used; to join that cluster add --set {wanted}")
    return config.model_copy(update={"workers": config.workers.model_copy(update={"address": None})})


def run_folder(config: Config, out: str | None, resume: bool) -> Path:
    """The folder of the run: `out`, or runs/NAME with the first free number; to resume, the latest.

    Raises:
        RunError: there is nothing to resume.
    """
    if out is not None:
        return Path(out)
    taken = []
    number = 1
    while (folder := RUNS / (config.name if number == 1 else f"{config.name}-{number}")).exists():
        taken.append(folder)
        number += 1
    if not resume:
        return folder
    if not taken:
        raise RunError(
            f"there is no run {RUNS / config.name} to resume; start one without --resume, or name --out"
        )
    return taken[-1]


@contextmanager
def _clean_stop(stop: Stop, console: Console) -> Iterator[None]:
    """Ctrl-C once: finish what is under way and stop; twice: stop at once."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True
        console.print("Stopping after what is under way; Ctrl-C again stops at once.")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def show_summary(console: Console, summary: Summary) -> None:
    """Print what came out: the best program, and how it compares."""
    name = "the warm start" if summary.best_id < 0 else f"{summary.run}:{summary.best_id}"
    title = f"best program, {name}, its live statements"
    panel = Panel(
        program_syntax(summary.best_live_text), title=Text(title), title_align="left", border_style="green"
    )
    console.print(panel)
    known = known_as(parse(summary.best_live_text).statements)
    if known is not None:
        console.print(recognition_line(known))
    hits = summary.cache_hits / max(1, summary.programs)
    console.print(
        f"{summary.programs:,} programs, {summary.evaluated:,} evaluations, {percent(hits)} cache hits, "
        f"{summary.steps:,} training steps in {duration(summary.seconds)}. "
        f"Score {number(summary.best_score)}, warm start {number(summary.warm_start_score)}; lower is better."
    )
    if summary.standings:
        console.print(standings_table(summary.standings))
        for standing in summary.standings:
            if standing.hyperparameters:
                console.print(Text(settings_line(standing), "dim"))
        for line in verdicts(summary.standings):
            console.print(line)
    console.print(
        f"The record: {printable(summary.run)}; see `evosearch inspect {printable(summary.run)}`",
        markup=False,
    )


def standings_table(standings: Sequence[Standing]) -> RenderableType:
    """The final comparison as a table."""
    rows: list[list[RenderableType]] = []
    for s in standings:
        fresh = (
            "failed"
            if s.failed and s.fresh_error != s.fresh_error
            else f"{number(s.fresh)} ± {s.fresh_error:.2g}"
        )
        rows.append(
            [
                Text(s.name, "bold green" if s is standings[0] else ""),
                f"{s.settings:,}",
                number(s.own),
                fresh + (f" ({s.failed} failed)" if s.failed else ""),
                "" if s.difference is None else f"{s.difference:+.3g}",
                "" if s.interval is None else f"[{s.interval[0]:+.3g}, {s.interval[1]:+.3g}]",
            ]
        )
    columns = ["", "tried", "own seeds", "fresh seeds", "best - this", "95 % interval"]
    return make_table("Scores, lower is better; fresh seeds are scored on the report split", columns, rows)


def settings_line(standing: Standing) -> str:
    """What a reference was tuned to; betas as people write them."""
    settings = [
        f"{name.removeprefix('one_minus_')} {1 - value if name.startswith('one_minus_') else value:.3g}"
        for name, value in standing.hyperparameters.items()
    ]
    return f"{standing.name}: {', '.join(settings)}"


def verdicts(standings: Sequence[Standing]) -> list[str]:
    """What the comparison says, in words: against each other contender."""
    best, *others = standings
    lines = []
    if best.failed:
        lines.append(f"The best program failed on {best.failed} of the fresh seeds: it is not robust.")
    for other in others:
        own = "better" if best.own < other.own else "not better"
        text = f"Against {other.name}: {own} on the search's own seeds"
        if other.interval is not None:
            low, high = other.interval
            sure = "better" if high < 0 else "worse" if low > 0 else "no different within the interval"
            where = "those fresh seeds on which both train" if best.failed or other.failed else "fresh seeds"
            text += f"; on {where} {sure}"
        lines.append(text + ".")
    return lines
