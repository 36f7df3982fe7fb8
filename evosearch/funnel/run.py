"""A whole funnel in a folder: stage after stage, every training kept, and the same decisions after a crash.

    FUNNEL/
    ├── config.yaml                the funnel, resolved, and what it was made with
    ├── entrants.json              who goes in, as picked when the funnel was begun
    ├── ledger.jsonl, lock         every training, once; a line each
    ├── trainings/STAGE.parquet    the trainings that a stage used, with what for
    ├── survivors/STAGE/NAME.py    the programs that a stage promoted
    └── result.json                what all stages found

The decisions follow from `config.yaml`, `entrants.json` and the trainings. To go on, the funnel begins again,
and the ledger answers for what was trained already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

from evosearch.config.surroundings import first_difference, surroundings
from evosearch.config.yaml_file import dump_yaml, parse_yaml
from evosearch.errors import ConfigError, StudyError
from evosearch.evaluation import Plan, Tuned
from evosearch.evaluation.interpreters import choose
from evosearch.evaluation.references import PREFIX
from evosearch.funnel.config import FunnelConfig
from evosearch.funnel.contest import Noted
from evosearch.funnel.entrants import Entrant, entrant_from
from evosearch.funnel.plan import State
from evosearch.funnel.result import Funnel, funnel_facts
from evosearch.funnel.stage import (
    Reported,
    Staged,
    check_stage,
    report_stage,
    run_stage,
    stage_plan,
)
from evosearch.json_text import from_json, json_text
from evosearch.language import program_text
from evosearch.records.files import TEMPORARY, make_folder, read_text, write_atomically
from evosearch.records.trainings import TrainingRow, read_trainings, write_trainings
from evosearch.study.ledger import FILE, Ledger
from evosearch.study.trials import Trials, View
from evosearch.study.tuning import Optimum
from evosearch.workers import Pool

SCHEMA = 1

ENTRANTS = "entrants.json"

MakePool = Callable[[Plan], AbstractContextManager[Pool]]


class FunnelView(View, Protocol):
    """Shows how far a funnel is."""

    def begun(self, name: str, entrants: int) -> None:
        """A stage begins."""
        ...

    def looked(self, name: str, state: State) -> None:
        """A stage has looked at its scores."""
        ...


def run_funnel(
    config: FunnelConfig,
    folder: Path,
    sources: Sequence[str],
    pick: Callable[[], Sequence[Entrant]],
    make_pool: MakePool,
    view: FunnelView,
) -> Funnel:
    """Run a funnel, or go on with it.

    Args:
        config: of the funnel.
        folder: made if missing.
        sources: what people named: runs, folders, programs.
        pick: says who goes in; called when the funnel is begun, and not again when it goes on.
        make_pool: workers for a stage's plan.
        view: is shown the progress.

    Raises:
        ConfigError: the folder holds another funnel.
        StudyError: a stage that can't go on, such as one whose baseline fails.
        RunError: the folder can't be written, or another process is at work there.
    """
    _check_folder(folder)
    # Picked before the folder is made, so that a mistake leaves nothing behind.
    picked = () if (folder / ENTRANTS).exists() else _picked(config, pick)
    with Ledger(folder) as ledger:
        entrants = _begun(config, folder, tuple(sources), picked)
        stages: list[Staged] = []
        reported: tuple[Reported, ...] = ()
        for stage in config.stages:
            check_stage(stage, len(entrants))
            view.begun(stage.name, len(entrants))
            rows: list[TrainingRow] = []
            plan = stage_plan(stage, entrants)
            make_folder(folder / "trainings", linked=False)
            record = folder / "trainings" / f"{stage.name}.parquet"
            try:
                with make_pool(plan) as pool:
                    trials = Trials(plan, pool, ledger, view)
                    note = lambda noted, rows=rows: rows.append(_row(noted))  # noqa: E731
                    looked = lambda state, name=stage.name: view.looked(name, state)  # noqa: E731
                    staged = run_stage(stage, config.seed, entrants, trials, note, looked)
                    stages.append(staged)
                    if stage is config.stages[-1]:
                        reported = report_stage(stage, staged, config.report, config.seed, trials, note)
            except BaseException:
                # What was stopped early must not take the place of a fuller record.
                if not record.exists() or len(read_trainings(record)) < len(rows):
                    write_trainings(record, rows)
                raise
            write_trainings(record, rows)
            entrants = staged.survivors
            _write_survivors(folder / "survivors" / stage.name, staged)
            if not entrants:
                break
    found = Funnel(config.name, tuple(sources), tuple(stages), reported)
    write_atomically(folder / "result.json", json_text(funnel_facts(found)).encode())
    return found


def _check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else, such as a search's run."""
    if not folder.is_dir() or (folder / ENTRANTS).exists():
        return
    config = folder / "config.yaml"
    data = parse_yaml(read_text(config), str(config)).data if config.exists() else {"stages": []}
    ours = {"config.yaml", "lock", FILE, ENTRANTS + TEMPORARY, "config.yaml" + TEMPORARY}
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in ours)
    if foreign or not isinstance(data, dict) or "stages" not in data:
        what = foreign[0] if foreign else "the config.yaml of something else"
        raise ConfigError(f"{folder} is no funnel's folder, it holds {what}; choose another --out")


def _picked(config: FunnelConfig, pick: Callable[[], Sequence[Entrant]]) -> tuple[Entrant, ...]:
    """Who goes in now; every stage's budget has to pay for as many as may come to it."""
    entrants = tuple(pick())
    people = len(entrants)
    for stage in config.stages:
        check_stage(stage, people)
        people = min(people, stage.promote.most)
    return entrants


def _begun(
    config: FunnelConfig, folder: Path, sources: tuple[str, ...], entrants: tuple[Entrant, ...]
) -> tuple[Entrant, ...]:
    """Who goes in: as picked before, or these."""
    path = folder / ENTRANTS
    if path.exists():
        _check_same(config, folder, sources)
        return _read_entrants(path)
    absolute = [str(Path(source).resolve()) if Path(source).exists() else source for source in sources]
    kept = {**resolved(config), "sources": absolute, "made_with": _made_with(config)}
    write_atomically(folder / "config.yaml", dump_yaml(kept).encode())
    data = {"schema": SCHEMA, "entrants": [entrant.to_json() for entrant in entrants]}
    write_atomically(path, json_text(data).encode())
    return entrants


def _check_same(config: FunnelConfig, folder: Path, sources: tuple[str, ...]) -> None:
    path = folder / "config.yaml"
    before = parse_yaml(read_text(path), str(path)).data
    if not isinstance(before, dict) or not isinstance(before.get("sources"), list):
        raise ConfigError(f"{path} is damaged; start the funnel anew with another --out")
    known = set(before["sources"])
    # Entrants are kept here, so that their sources may be gone by now.
    same = [source if source in known else str(Path(source).resolve()) for source in sources]
    now = {**resolved(config), "sources": same, "made_with": _made_with(config)}
    free = ("workers",)
    old, new = ({k: v for k, v in data.items() if k not in free} for data in (before, now))
    found = first_difference(old, new)
    if found is None:
        return
    key, was, is_ = found
    raise ConfigError(
        f"{folder} holds another funnel: {key} was {was!r} and is {is_!r} now; go on with the same values, "
        "or choose another --out"
    )


def _read_entrants(path: Path) -> tuple[Entrant, ...]:
    try:
        data = from_json(read_text(path))
        rows = data["entrants"] if data["schema"] == SCHEMA else None
    except (ValueError, KeyError, TypeError):
        rows = None
    if not isinstance(rows, list) or not rows:
        raise StudyError(
            f"{path} is damaged, or of another evosearch; start the funnel anew with another --out"
        )
    return tuple(entrant_from(row, f"{path}, entrant {k + 1}") for k, row in enumerate(rows))


def resolved(config: FunnelConfig) -> dict[str, Any]:
    """The configuration as plain data with every default written out."""
    return config.model_dump(mode="json")


def _made_with(config: FunnelConfig) -> dict[str, Any]:
    data = {
        f"{stage.name}.{index}": task.plan().build().data().fingerprint
        for stage in config.stages
        for index, task in enumerate(stage.tasks)
    }
    libraries = {"optax": version("optax"), "scipy": version("scipy")}
    return {**surroundings(), **libraries, "interpreter": choose("auto").name, "data": data}


def _row(noted: Noted) -> TrainingRow:
    candidate, measured = noted.candidate, noted.measured
    text, values = (
        (f"{PREFIX}{candidate.name}", candidate.values)
        if isinstance(candidate, Tuned)
        else (program_text(candidate), ())
    )
    return TrainingRow(
        noted.stage,
        noted.purpose,
        noted.name,
        noted.task,
        noted.split,
        noted.seed,
        text,
        values,
        measured.status.name,
        measured.metric,
        measured.steps,
        round(measured.seconds, 6),  # as the ledger keeps them: equal when the funnel goes on
        measured.curve,
    )


_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def _write_survivors(folder: Path, staged: Staged) -> None:
    make_folder(folder.parent, linked=False)
    make_folder(folder, linked=False)
    taken: set[str] = set()
    for entrant in staged.survivors:
        if entrant.statements is not None:
            name = _file_name(entrant.name, taken)
            taken.add(name)
            settings = [
                f"# On {label}: {_best_setting(staged.settings(entrant.name, task))}."
                for task, label in enumerate(staged.tasks)
            ]
            verdict = next(v for v in staged.verdicts if v.name == entrant.name)
            head = [
                f"# {_plain(entrant.name)}: stage {staged.name} found it {_plain(verdict.reason)}.",
                *settings,
            ]
            write_atomically(folder / f"{name}.py", ("\n".join(head) + "\n" + entrant.text).encode())


def _best_setting(tunings: Sequence[Optimum]) -> str:
    """The setting whose scores in tuning were best, in words."""
    best = min(tunings, key=lambda optimum: optimum.mean)
    many = f", the best of {len(tunings)} tunings" if len(tunings) > 1 else ""
    return ", ".join(f"{name} {value:.4g}" for name, value in best.values.items()) + many


def _file_name(name: str, taken: Set[str]) -> str:
    """A name that any file system takes, with a number where two would be alike.

    >>> _file_name("runs/a:12", {"runs-a-12"})
    'runs-a-12-2'
    """
    plain = _UNSAFE.sub("-", name).strip(".-")[:100] or "program"
    numbered = (f"{plain}-{number}" for number in count(2))
    return next(found for found in chain([plain], numbered) if found not in taken)


def _plain(text: str) -> str:
    """Text that ends no comment."""
    return " ".join(text.split())
