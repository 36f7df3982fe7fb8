"""`evosearch fidelity`: do the small tasks rank optimizers as the larger ones do?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, RenderableType
from rich.text import Text

from evosearch.cli.console import make_console, make_table, print_error, print_json, printable
from evosearch.cli.fidelity_plot import plot_fidelity
from evosearch.cli.study_view import checked_plan, make_study_view, study_pool, task_errors
from evosearch.errors import StudyError, nearest
from evosearch.records import RunReader
from evosearch.runtime import processor
from evosearch.study.agreement import Agreement, Prediction, prediction, summary
from evosearch.study.fidelity import FidelityPlan, measure, open_standings
from evosearch.study.ledger import Ledger
from evosearch.study.standings import FidelityFile, known_candidates, read_fidelity, sampled_candidates
from evosearch.study.trials import Trials
from proxy_tasks import PRESETS, TASKS

OUT = Path("studies") / "fidelity"
FAILED = 1


def shipped_file() -> Path:
    """The measurements that ship with evosearch."""
    return Path(str(resources.files("evosearch.study") / "fidelity.json"))


def fidelity_command(
    tasks: Sequence[str],
    presets: Sequence[str],
    runs: Sequence[str],
    sample: int,
    out: str | None,
    file: str | None,
    plot: str | None,
    report_only: bool,
    portfolio: Sequence[str],
    backend: str,
    workers: int | Literal["auto"],
    as_json: bool,
) -> int:
    """Measure what the file does not hold yet, then say what it shows; 1 if it was stopped before the end."""
    path = Path(file) if file else shipped_file()
    console = make_console(stderr=as_json)
    if not report_only:
        wanted = _wanted(tasks, presets, runs, sample, read_fidelity(path))
        left = open_standings(wanted, read_fidelity(path))
        console.print(
            f"{left} standings to measure, of {len(wanted.candidates)} candidates on "
            f"{len(wanted.tasks)} tasks at {len(wanted.presets)} sizes; measurements: {printable(str(path))}",
            markup=False,
            soft_wrap=True,
        )
        if left and not _run(wanted, path, Path(out) if out else OUT, backend, workers, as_json):
            print_error("stopped; nothing is lost: give the same command again to go on")
            return FAILED
    known = read_fidelity(path)
    if not known.standings:
        raise StudyError(f"{path}: expected measurements, found none; leave out --report-only to make them")
    # First, since a mistake in it should be told at once; the intervals of the summary take half a minute.
    predicted = _prediction(known, portfolio, tasks, presets) if portfolio else None
    found = summary(known)
    if as_json:
        more = {} if predicted is None else {"prediction": asdict(predicted)}
        print_json({"file": str(path), **_plain(found), **more})
    else:
        show_summary(console, known, found)
        if predicted is not None:
            show_prediction(console, predicted)
    if plot:
        plot_fidelity(found, Path(plot))
        console.print(f"plot: {printable(plot)}", markup=False)
    return 0


def _wanted(
    tasks: Sequence[str], presets: Sequence[str], runs: Sequence[str], sample: int, known: FidelityFile
) -> FidelityPlan:
    for task in tasks:
        checked_plan(task, ())
    for preset in presets:
        if preset not in PRESETS:
            raise StudyError(
                f"unknown preset {preset!r}{nearest(preset, PRESETS)} (known: {', '.join(PRESETS)})"
            )
    candidates = {who.name: who for who in (*known.candidates, *known_candidates())}
    for run in runs:
        reader = RunReader(run)
        texts = [row.text for row in reader.best(reader.rows)]
        candidates.update({who.name: who for who in sampled_candidates(texts, sample, Path(run).name)})
    ordered = tuple(preset for preset in PRESETS if preset in (presets or PRESETS))
    return FidelityPlan(tuple(candidates.values()), tuple(tasks or TASKS), ordered)


def _run(
    wanted: FidelityPlan, path: Path, out: Path, backend: str, workers: int | Literal["auto"], as_json: bool
) -> bool:
    """Whether it came to its end."""
    try:
        with (
            task_errors(),
            Ledger(out) as ledger,
            make_study_view(as_json) as view,
            study_pool(wanted.plan, backend, workers) as pool,
        ):
            trials = Trials(wanted.plan, pool, ledger, view)
            for standing, _ in measure(wanted, trials, path, processor()):
                view.say(
                    f"{standing.task} {standing.preset}: {standing.candidate}: {standing.mean:.4g} "
                    f"at {standing.rate:g}"
                )
    except KeyboardInterrupt:
        return False
    return True


def _prediction(
    known: FidelityFile, portfolio: Sequence[str], tasks: Sequence[str], presets: Sequence[str]
) -> Prediction:
    """How a portfolio of small tasks predicts the larger ones that were measured, or those that are named."""
    small = {s.task for s in known.standings if s.preset == PRESETS[0]}
    for task in portfolio:
        if task not in small:
            raise StudyError(
                f"--portfolio: expected tasks measured at {PRESETS[0]}, found {task!r}{nearest(task, small)}"
            )
    measured = sorted({(s.task, s.preset) for s in known.standings if s.preset != PRESETS[0]})
    large = [(t, p) for t, p in measured if (not tasks or t in tasks) and (not presets or p in presets)]
    if not large:
        raise StudyError("--portfolio: expected larger tasks that are measured, found none: name others")
    return prediction(known, tuple(dict.fromkeys(portfolio)), large)


def show_prediction(console: Console, found: Prediction) -> None:
    """One line about a portfolio."""
    console.print(
        f"{', '.join(found.tasks)}: {found.rho:.3f} with the mean rank on {found.large} larger tasks, place "
        f"{found.place:,} of {found.sets:,} sets of as many small tasks; the best with hindsight: "
        f"{', '.join(found.best)} {found.best_rho:.3f}, the median {found.median_rho:.3f}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    rows = ("sizes", "across", "portfolios")
    return {**found, **{name: [asdict(row) for row in found[name]] for name in rows}}


def show_summary(console: Console, file: FidelityFile, found: dict[str, Any]) -> None:
    """Tables: each task against its larger forms; the best portfolios."""
    sizes: dict[tuple[str, str, str], Agreement] = {
        (a.first[0], a.first[1], a.second[1]): a for a in found["sizes"]
    }
    rows: list[list[RenderableType]] = []
    for task in [name for name in TASKS if name in found["tasks"]]:
        cells = [_cell(sizes.get((task, a, b)), len(file.candidates)) for a, b in COLUMNS]
        others = [_mean_of_others(found["across"], task, preset) for preset in PRESETS[1:]]
        rows.append([Text(task, "bold cyan"), *cells, *others])
    headings = [f"{a} ~ {b}" for a, b in COLUMNS]
    title = f"Rank correlation (Spearman) of {len(file.candidates)} candidates, 95 % interval"
    headings += [f"{PRESETS[0]} ~ others' {preset}" for preset in PRESETS[1:]]
    console.print(make_table(title, ["task", *headings], rows))
    console.print(
        make_table(
            "Small tasks whose mean rank best predicts the mean rank on all larger tasks measured",
            ["tasks", "correlation", "s a training"],
            [[", ".join(p.tasks), f"{p.rho:.2f}", f"{p.seconds:.2f}"] for p in found["portfolios"]],
        )
    )


COLUMNS = (("tiny", "x10"), ("tiny", "x100"), ("x10", "x100"))


def _mean_of_others(across: Sequence[Agreement], task: str, preset: str) -> str:
    """The mean correlation of a small task with all other tasks of a preset."""
    rhos = [a.rho for a in across if a.first[0] == task and a.second[0] != task and a.second[1] == preset]
    return f"{sum(rhos) / len(rhos):.2f}" if rhos else "-"


def _cell(found: Agreement | None, candidates: int) -> str:
    if found is None:
        return "-"
    interval = "" if found.interval is None else f" [{found.interval[0]:.2f}, {found.interval[1]:.2f}]"
    few = f" of {found.candidates}" if found.candidates < candidates else ""
    return f"{found.rho:.2f}{interval}{few}"
