"""Who goes into a funnel: the best programs of runs, programs of a folder, single ones, and planted ones.

A search's score picks who enters. It is told to people, and to no stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evosearch.errors import ProgramError, RunError, StudyError
from evosearch.evaluation.references import PREFIX, REFERENCES
from evosearch.evaluation.settings import Statements
from evosearch.funnel.config import EntrantsConfig
from evosearch.inspection import History, best, read_history
from evosearch.inspection.ancestry import ancestor_ids
from evosearch.inspection.history import Ints
from evosearch.language import Program, analyze, parse, program_text, read_program
from evosearch.language.abstract import live_statements
from evosearch.language.fingerprint import fingerprint
from evosearch.records import Row, RunReader
from evosearch.study.tunable import Tunable, tunable_program, tunable_reference

PLANTED = " (planted)"
"""What the name of a reference that enters ends in: a baseline may be the same optimizer."""

POOL = 10
"""To spread entrants over restarts and lineages, so many times as many of the best are looked at."""


@dataclass(frozen=True)
class Entrant:
    """Somebody who enters, or a baseline.

    Attributes:
        name: unique in a funnel.
        statements: the live statements of a valid program; None for a reference.
        source: where it comes from, for people.
        score: what the search says of it, for people; None where no search did.
    """

    name: str
    statements: Statements | None
    source: str
    score: float | None = None

    @property
    def tunable(self) -> Tunable:
        """How it is tuned."""
        if self.statements is None:
            return tunable_reference(self.text.removeprefix(PREFIX))
        return tunable_program(self.name, self.statements)

    @property
    def text(self) -> str:
        """The program's text; of a reference `optax:NAME`."""
        return self.name.removesuffix(PLANTED) if self.statements is None else program_text(self.statements)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for `entrant_from`."""
        return {"name": self.name, "text": self.text, "source": self.source, "score": self.score}


def entrant_from(data: Mapping[str, Any], place: str) -> Entrant:
    """An entrant from plain data.

    Raises:
        StudyError: the data are damaged.
    """
    try:
        name, text, source, score = (data[key] for key in ("name", "text", "source", "score"))
        if not isinstance(name, str) or not isinstance(source, str):
            raise TypeError(f"expected texts, found {name!r} from {source!r}")
        if name == f"{text}{PLANTED}" and text in {f"{PREFIX}{known}" for known in REFERENCES}:
            return Entrant(name, None, source)
        return of_program(name, parse(text, place), source, None if score is None else float(score))
    except (KeyError, TypeError, ValueError, AttributeError, ProgramError) as error:
        raise StudyError(f"{place} is damaged ({error}); start the funnel anew with another --out") from error


def of_program(name: str, program: Program, source: str, score: float | None = None) -> Entrant:
    """A program as an entrant, without its dead code.

    Raises:
        ProgramError: it is invalid.
    """
    refusal = analyze(program.statements).refusal
    if refusal is not None:
        raise ProgramError(f"{source} is no valid program: {refusal.reason}")
    return Entrant(name, live_statements(program.statements), source, score)


def of_reference(name: str, planted: bool = False) -> Entrant:
    """One of optax's optimizers, by its row in the table of references.

    Args:
        name: of the row.
        planted: whether it enters; as a baseline it does not.

    >>> of_reference("adamw", planted=True).name
    'optax:adamw (planted)'
    """
    return Entrant(f"{PREFIX}{name}{PLANTED if planted else ''}", None, "optax")


def of_folder(folder: Path) -> list[Entrant]:
    """The programs of a folder, in the order of their names.

    Raises:
        ProgramError: one is invalid, or there are none.
    """
    found = [of_program(p.stem, read_program(p), str(p)) for p in sorted(folder.glob("*.py"))]
    if not found:
        raise ProgramError(
            f"{folder} is neither a run (no config.yaml) nor a folder of programs (no file NAME.py)"
        )
    return found


def of_run(run: RunReader, config: EntrantsConfig) -> list[Entrant]:
    """Programs of a run, distinct by hash and behaviour, best first (or in the order of progress).

    The run may still be growing: what its record holds now counts.

    Raises:
        RunError: no program has trained to the end; the run holds primitives that are not known here.
    """
    with own_vocabulary(run, "can't enter", "run the funnel"):
        history = read_history(run)
        history.best_id()  # says what is wrong with a run in which nothing trained
        if config.pick == "progress":
            rows = run.take(progress_ids(history, config.count))
            picked = [(row, row.score) for row in rows]
        else:
            pool = [(found.row, found.score) for found in best(run, history, POOL * config.count)]
            picked = spread(pool, history, config)
        return [of_row(run, row, score) for row, score in picked]


def of_row(run: RunReader, row: Row, score: float) -> Entrant:
    """A program of a run, called FOLDER:ID.

    Raises:
        ProgramError: it is of another vocabulary; see `own_vocabulary`.
    """
    name = f"{run.path.resolve().name}:{row.id}"
    return of_program(name, parse(row.text, f"{run.path}:{row.id}"), str(run.path), score)


@contextmanager
def own_vocabulary(run: RunReader, refusal: str, remedy: str) -> Iterator[None]:
    """Say of a run whose programs can't be read that another evosearch made it.

    Args:
        run: whose programs are read.
        refusal: what the run can't do, for the message.
        remedy: what to do with the other evosearch, for the message.
    """
    try:
        yield
    except ProgramError as error:
        raise RunError(
            f"{run.path} {refusal}, it was made with another vocabulary: {error}; {remedy} with the "
            "evosearch that made it (its config.yaml says which)"
        ) from error


def progress_ids(history: History, count: int) -> list[int]:
    """The best program so far at evenly spaced points of a run's progress, rising, no id twice.

    Fewer than `count` where the best did not change from a point to the next, or was the warm start.
    """
    return sorted({id_ for id_ in course_ids(history, count) if id_ is not None})


def course_ids(history: History, count: int) -> list[int | None]:
    """The best program so far at each of so many evenly spaced points; None while that is the warm start.

    Args:
        history: of the run.
        count: how many points, the end of the run the last.
    """
    ids, best = best_rows(history), history.best_so_far
    found: list[int | None] = []
    for k in range(1, count + 1):
        last = round(len(history) * k / count) - 1
        # A run that does not tell the warm start's score has NaN for it, and nothing is at least NaN.
        warm = last < 0 or ids[last] < 0 or bool(best[last] >= history.warm_score)
        found.append(None if warm else int(ids[last]))
    return found


def best_rows(history: History) -> Ints:
    """(programs,) the id of the best row so far; -1 before the first that trained."""
    better = history.score < np.concatenate([[np.inf], history.best_so_far[:-1]])
    ids = np.where(better, np.arange(len(history)), -1)
    return np.maximum.accumulate(ids)


def spread(
    pool: Sequence[tuple[Row, float]], history: History, config: EntrantsConfig
) -> list[tuple[Row, float]]:
    """The best of a pool, with no more of a restart or of a lineage than is asked for.

    Two programs are relatives if one of the last `config.relatives` steps of both is the same program. Who
    comes too late for its restart or lineage is left out; where that leaves too few, fewer go in.

    Args:
        pool: rows with scores, best first.
        history: of their run.
        config: how many in all, of a restart, of a lineage.
    """
    taken: list[tuple[Row, float]] = []
    families: list[frozenset[int]] = []
    restarts: dict[tuple[int, int], int] = {}
    for row, score in pool:
        if len(taken) == config.count:
            break
        place = (row.round, row.restart)
        if config.per_restart is not None and restarts.get(place, 0) >= config.per_restart:
            continue
        family = frozenset(ancestor_ids(history, row.id)[-config.relatives - 1 :])
        related = sum(bool(family & other) for other in families)
        if config.per_lineage is not None and related >= config.per_lineage:
            continue
        taken.append((row, score))
        families.append(family)
        restarts[place] = restarts.get(place, 0) + 1
    return taken


def distinct(entrants: Iterable[Entrant]) -> tuple[list[Entrant], list[tuple[str, str]]]:
    """Entrants of different behaviour; of several alike the first goes in.

    Returns:
        Who goes in; and for each who does not, its name and the name of the one that behaves the same.

    Raises:
        StudyError: two that differ have one name, or a program has that of a reference; or there is nobody.
    """
    seen: dict[bytes | str, str] = {}
    kept: dict[str, Entrant] = {}
    alike: list[tuple[str, str]] = []
    for entrant in entrants:
        if entrant.statements is not None and entrant.name.startswith(PREFIX):
            raise StudyError(
                f"the program {entrant.source} is named {entrant.name!r} as if it were optax's; rename it, "
                "or name optax's optimizer itself"
            )
        behaviour = entrant.name if entrant.statements is None else fingerprint(entrant.statements)
        if behaviour in seen:
            alike.append((entrant.name, seen[behaviour]))
            continue
        if entrant.name in kept:
            raise StudyError(
                f"two different programs are named {entrant.name!r}, from {kept[entrant.name].source} and "
                f"{entrant.source}; rename one"
            )
        seen[behaviour] = entrant.name
        kept[entrant.name] = entrant
    if not kept:
        raise StudyError("expected a run, a folder, a program or entrants.planted, found nobody to enter")
    return list(kept.values()), alike
