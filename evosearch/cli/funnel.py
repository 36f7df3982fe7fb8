"""`evosearch funnel`: which programs really are better, on larger tasks, against tuned baselines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, number, print_error, print_json, printable
from evosearch.cli.find import find_program
from evosearch.cli.funnel_plots import draw_stage, draw_survivors
from evosearch.cli.study_view import TIMEOUT_SECONDS, StudyBar, StudyLines, make_study_view, task_errors
from evosearch.errors import ConfigError, ProgramError, nearest
from evosearch.evaluation import Plan
from evosearch.evaluation.references import PREFIX, REFERENCES
from evosearch.funnel.config import FunnelConfig, load_funnel
from evosearch.funnel.entrants import Entrant, distinct, of_folder, of_program, of_reference, of_run
from evosearch.funnel.plan import State
from evosearch.funnel.result import Funnel, funnel_facts
from evosearch.funnel.run import ENTRANTS, run_funnel
from evosearch.funnel.stage import Staged
from evosearch.funnel.verdict import TOO_WIDE, Decision, Difference
from evosearch.records import RunReader
from evosearch.records.files import make_folder, remove
from evosearch.study.statistics import Paired
from evosearch.study.trials import Progress
from evosearch.workers import InProcessPool, Pool

FAILED = 1
LARGE = 100
"""Percents from here on are told without decimals."""
ROWS = 25
"""Of a stage's table; the others are counted below it and are in `result.json`."""


def funnel_command(
    config_path: str, what: Sequence[str], overrides: Sequence[str], out: str | None, as_json: bool
) -> int:
    """Run a funnel, or go on with it; 1 if it was stopped before the end.

    Args:
        config_path: the YAML.
        what: runs, folders of programs, programs.
        overrides: `a.b.0.c=value`.
        out: the funnel's folder; `funnels/NAME` if None.
        as_json: print plain data.
    """
    config = load_funnel(Path(config_path), overrides)
    folder = Path(out) if out else Path("funnels") / config.name
    console = make_console(stderr=as_json)

    def pick() -> list[Entrant]:
        entrants, alike = distinct(_named(what, config))
        for name, other in alike:
            line = f"left out: {printable(name)} behaves like {printable(other)}"
            console.print(line, markup=False, soft_wrap=True)
        return entrants

    if (folder / ENTRANTS).exists():
        console.print(f"going on with {printable(str(folder))}: entrants as they were picked", markup=False)
    try:
        with task_errors(), make_study_view(as_json) as view:
            funnel = run_funnel(config, folder, what, pick, lambda plan: _pool(plan, config), _Watched(view))
    except KeyboardInterrupt:
        print_error(f"stopped; nothing is lost: give the same command again to go on with {folder}")
        return FAILED
    if as_json:
        pictures = _draw(folder / "plots", funnel)
        print_json({**funnel_facts(funnel), "folder": str(folder), "pictures": pictures})
        return 0
    show(console, funnel)
    _draw(folder / "plots", funnel)
    places = f"{folder}/result.json, survivors in {folder}/survivors, pictures in {folder}/plots"
    console.print(f"Written: {printable(places)}", markup=False, soft_wrap=True)
    return 0


# ---------------------------------------------------------------- who goes in


def _named(what: Sequence[str], config: FunnelConfig) -> Iterator[Entrant]:
    for text in what:
        yield from _entrants(text, config)
    for text in config.entrants.planted:
        yield _planted(text)


def _entrants(text: str, config: FunnelConfig) -> list[Entrant]:
    path = Path(text)
    if path.is_dir() and not (path / "config.yaml").exists():
        return of_folder(path)
    if (path / ENTRANTS).exists():
        raise ConfigError(
            f"{text} is a funnel's folder, expected a run, a folder of programs or a program; those that a "
            f"stage promoted are in {path / 'survivors'}/STAGE"
        )
    if path.is_dir():
        return of_run(RunReader(path), config.entrants)
    return [_planted(text)]


def _planted(text: str) -> Entrant:
    """A program, or `optax:NAME`."""
    name = text.removeprefix(PREFIX)
    if name != text and name in REFERENCES:
        return of_reference(name, planted=True)
    if name != text and not Path(text).exists():
        raise ConfigError(
            f"unknown reference {name!r}{nearest(name, REFERENCES)} (known: {', '.join(REFERENCES)})"
        )
    try:
        found = find_program(text)
    except ProgramError as error:
        raise ConfigError(f"{error}; optax's optimizers are named {PREFIX}NAME") from None
    is_file = Path(text).is_file()
    return of_program(Path(text).stem if is_file else found.name, found.program, text)


def _pool(plan: Plan, config: FunnelConfig) -> Pool:
    workers = config.workers
    if workers.backend == "in_process":
        return InProcessPool(plan)
    from evosearch.workers.ray_pool import RayPool  # Ray takes seconds to import

    return RayPool(plan, count=workers.count, address=workers.address, timeout=TIMEOUT_SECONDS)


# ---------------------------------------------------------------- how it is shown


class _Watched:
    """A study's view that also tells of stages and looks."""

    def __init__(self, view: StudyBar | StudyLines) -> None:
        self._view = view

    def progress(self, progress: Progress) -> None:
        """Move the bar."""
        self._view.progress(progress)

    def begun(self, name: str, entrants: int) -> None:
        """A stage begins."""
        self._view.say(f"stage {name}: {entrants} go in")

    def looked(self, name: str, state: State) -> None:
        """A stage has looked at its scores."""
        decided = Counter(finding.decision for finding in state.findings)
        told = ", ".join(
            f"{count} {'open' if decision is Decision.RUNNING else _word(decision)}"
            for decision, count in sorted(decided.items(), key=lambda item: list(Decision).index(item[0]))
        )
        seeds = state.plan.looks[state.look - 1]
        self._view.say(f"stage {name}, {seeds} seeds, {state.trainings:,} trainings to compare: {told}")


def _draw(folder: Path, funnel: Funnel) -> list[str]:
    make_folder(folder, linked=False)
    pictures = [folder / "survivors.png"]
    for name in ("survivors", *(f"stage-{staged.name}" for staged in funnel.stages)):
        remove(folder / f"{name}.png")  # may be a link, and is drawn through it otherwise
    draw_survivors(pictures[0], funnel)
    for staged in funnel.stages:
        pictures.append(folder / f"stage-{staged.name}.png")
        draw_stage(pictures[-1], staged)
    return [str(picture) for picture in pictures]


def show(console: Console, funnel: Funnel) -> None:
    """A table for each stage, and one for the report."""
    for staged in funnel.stages:
        console.print(stage_table(staged))
        for line in stage_lines(staged):
            console.print(line, markup=False, soft_wrap=True)
        console.print()
    if funnel.reported:
        console.print(report_table(funnel))
    for line in conclusions(funnel):
        console.print(line, markup=False, soft_wrap=True)


def stage_table(staged: Staged) -> RenderableType:
    """Who, score, baseline, difference with interval, promoted or why not."""
    cells: list[list[RenderableType]] = []
    for baseline in staged.baselines:
        name, none = Text(baseline.name, "bold"), ["" for _ in staged.baselines]
        cells.append([name, str(staged.seeds[baseline.name]), *_scores(staged, baseline.name), *none, ""])
    for verdict in staged.ranked[:ROWS]:
        versus = {difference.baseline: difference for difference in staged.differences[verdict.name]}
        cells.append(
            [
                Text(printable(verdict.name), "bold green" if verdict.promoted else ""),
                str(verdict.seeds),
                *_scores(staged, verdict.name),
                *(difference_text(versus.get(baseline.name)) for baseline in staged.baselines),
                Text(_word(verdict.decision), "green" if verdict.promoted else "dim"),
            ]
        )
    columns = ["", "seeds", *staged.tasks, *_against(staged), "decision"]
    tested = any(verdict.differences for verdict in staged.verdicts)
    sure = "each bound for all programs and looks together" if tested else "95 % intervals, each alone"
    return make_table(f"Stage {staged.name}: lower is better; {sure}", columns, cells, unbroken=1)


def _against(staged: Staged) -> list[str]:
    return [f"to {baseline.name.removeprefix(PREFIX)}, %" for baseline in staged.baselines]


def _word(decision: Decision) -> str:
    return decision.name.lower()


def _scores(staged: Staged, name: str) -> list[str]:
    return [number(mean.mean) for mean in staged.means[name]] or ["" for _ in staged.tasks]


def difference_text(difference: Difference | None) -> str:
    """A difference in percent with its interval; infinite bounds are left open.

    >>> difference_text(Difference("adamw", -0.012, -0.021, -0.004))
    '-1.2 [-2.1, -0.4]'
    """
    if difference is None:
        return ""
    if difference.high - difference.low > TOO_WIDE:
        return f"{100 * difference.mean:+.0f} (too wide)"
    mean, low, high = (100 * share for share in (difference.mean, difference.low, difference.high))
    digits = 1 if max(abs(low), abs(high)) < LARGE else 0
    return f"{mean:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"


def stage_lines(staged: Staged) -> list[str]:
    """What else there is to say of a stage."""
    decided = Counter(verdict.decision for verdict in staged.verdicts)
    lines = [f"{task}: {metric}" for task, metric in zip(staged.tasks, staged.metrics, strict=True)]
    lines.append(f"{len(staged.survivors)} of {len(staged.entrants)} go on.")
    for decision, count in decided.most_common():
        meaning = "" if decision.value == _word(decision) else f" ({decision.value})"
        lines.append(f"  {count} {_word(decision)}{meaning}")
    contest = sum(staged.seeds.values()) * len(staged.tasks)
    lines.append(
        f"{staged.trainings:,} trainings, {staged.trainings - contest:,} of them to tune. Equal seeds for "
        f"all would have taken {staged.equal / contest:.1f} times the others."
    )
    if len(staged.verdicts) > ROWS:
        lines.append(f"{len(staged.verdicts) - ROWS} others are in result.json.")
    return lines


def report_table(funnel: Funnel) -> RenderableType:
    """Survivors on the report split."""
    staged = funnel.stages[-1]
    cells: list[list[RenderableType]] = []
    for row in funnel.reported:
        failed = sum(mean.failed for mean in row.means)
        cells.append(
            [
                Text(printable(row.name) + (f" ({failed} failed)" if failed else "")),
                *(f"{number(mean.mean)} ± {mean.error:.2g}" for mean in row.means),
                *(_versus(row.name, b.name, row.differences) for b in staged.baselines),
            ]
        )
    columns = ["", *staged.tasks, *_against(staged)]
    return make_table(
        f"Report: fresh seeds and data that no stage has seen; {staged.name}, 95 % intervals, each alone",
        columns,
        cells,
    )


def _versus(name: str, baseline: str, differences: Mapping[str, Paired | None]) -> str:
    found = differences.get(baseline)
    if name == baseline:
        return ""
    if found is None:
        return "failed"
    low, high = found.interval
    return f"{100 * found.difference:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def conclusions(funnel: Funnel) -> list[str]:
    """What the funnel says, in words."""
    last = funnel.stages[-1]
    if not last.survivors:
        return [f"Nobody came through: stage {last.name} promoted none."]
    names = ", ".join(printable(entrant.name) for entrant in last.survivors)
    return [f"Came through all stages: {names}."]
