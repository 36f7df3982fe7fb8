"""What fidelity studies measure: who was trained on what, and the file that keeps it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from evosearch.errors import StudyError
from evosearch.evaluation import Tuned
from evosearch.evaluation.references import REFERENCES, logarithmic
from evosearch.evaluation.settings import with_settings
from evosearch.json_text import from_json
from evosearch.language import builtin, builtin_names, parse, program_text
from evosearch.records.files import write_atomically
from evosearch.regular_files import read_regular
from evosearch.study.tunable import Candidate

SCHEMA = 1

MAX_BYTES = 100_000_000
"""Of a file of measurements; the shipped one has a hundredth of that."""

FACTORS = logarithmic(-3, 3, 2, 0)
"""Learning rates of programs: factors on what is written in them."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Who(_Part):
    """A candidate.

    Attributes:
        name: unique.
        origin: where it comes from, in words.
        text: a program, or null.
        reference: a row of the table of references, or null.
        settings: its hyperparameters but for the learning rate, by name.
    """

    name: str
    origin: str
    text: str | None = None
    reference: str | None = None
    settings: dict[str, FiniteFloat] = Field(default_factory=dict)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, or factors, that it may be trained at; half a decade apart."""
        return FACTORS.values if self.reference is None else logarithmic(-4, 1.5, 2, -2).values

    def at(self, rate: float) -> Candidate:
        """What to train."""
        if self.reference is None:
            return with_settings(parse(self.text or "", self.name).statements, factor=rate)
        values = {"lr": rate, **self.settings}
        return Tuned(self.reference, tuple(values[name] for name in REFERENCES[self.reference].grids))


class Standing(_Part):
    """How a candidate does on a task at its best learning rate.

    Attributes:
        candidate: its name.
        task: a row of the table of tasks.
        preset: of the task.
        rate: the learning rate, or factor.
        scores: metrics on the report split, a seed each; null where training failed.
        seconds: of all its trainings here.
        data: fingerprint of the task's data.
    """

    candidate: str
    task: str
    preset: str
    rate: FiniteFloat
    scores: list[FiniteFloat | None]
    seconds: float
    data: str

    @property
    def mean(self) -> float:
        """Over the seeds; infinite if any failed."""
        scores = [score for score in self.scores if score is not None]
        return sum(scores) / len(scores) if len(scores) == len(self.scores) else float("inf")


Index: TypeAlias = Mapping[tuple[str, str, str], Standing]


class FidelityFile(_Part):
    """Everything that was measured; `fidelity.json` ships with evosearch."""

    schema_version: int = SCHEMA
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    candidates: list[Who] = Field(default_factory=list)
    standings: list[Standing] = Field(default_factory=list)

    @property
    def index(self) -> Index:
        """The standings by candidate, task and preset."""
        return {(s.candidate, s.task, s.preset): s for s in self.standings}


def read_fidelity(path: Path) -> FidelityFile:
    """The file, empty if there is none.

    Raises:
        StudyError: it is damaged or of another schema.
    """
    if not path.exists():
        return FidelityFile()
    try:
        return FidelityFile.model_validate(from_json(read_regular(path, MAX_BYTES)))
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise StudyError(
            f"{path}: expected what `evosearch fidelity` wrote, found damage: {first}"
        ) from error


def write_fidelity(path: Path, file: FidelityFile) -> None:
    """Replace the file in one move."""
    rows = file.model_dump()
    lines = {name: "[\n" + ",\n".join(json.dumps(row) for row in rows[name]) + "\n]" for name in _LISTS}
    parts = [
        f'"{name}": {lines[name] if name in lines else json.dumps(value)}' for name, value in rows.items()
    ]
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


_LISTS = ("candidates", "standings")


_BETAS = {"adamw": ((0.1, 0.001), (0.1, 0.05), (0.2, 0.1)), "lion": ((0.1, 0.01), (0.1, 0.05), (0.2, 0.1))}


def known_candidates() -> list[Who]:
    """Every shipped program, and the references AdamW and Lion at several settings."""
    programs = [
        Who(name=name, origin="shipped", text=program_text(builtin(name).statements))
        for name in builtin_names()
    ]
    references = [
        Who(
            name=f"optax:{name} ({1 - a:g}, {1 - b:g})",
            origin="optax",
            reference=name,
            settings={"decay": 0.1, "one_minus_b1": a, "one_minus_b2": b},
        )
        for name, betas in _BETAS.items()
        for a, b in betas
    ]
    return [*programs, *references]


def sampled_candidates(texts: Sequence[str], count: int, origin: str, seed: int = 0) -> list[Who]:
    """Some of a search's programs.

    Args:
        texts: programs with different hashes, the best first.
        count: how many; they are spread evenly over the ranks, one drawn from each stretch.
        origin: where they come from.
        seed: of the drawing.
    """
    rng = random.Random(f"fidelity {seed} {origin}")
    count = min(count, len(texts))
    edges = [round(i * len(texts) / count) for i in range(count + 1)]
    chosen = [rng.randrange(edges[i], edges[i + 1]) for i in range(count)]
    return [Who(name=f"{origin} rank {place + 1}", origin=origin, text=texts[place]) for place in chosen]
