"""A run's columns as arrays: read once, asked many questions. No program's text is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.errors import ProgramError, RunError
from evosearch.evolution.engine import WARM_START
from evosearch.language import Program, Statement, analyze, parse
from evosearch.language.program import FOOTER, HEADER
from evosearch.records import RunReader

RANDOM = "random"
"""The kind of mutation of programs that were drawn from nothing (`method: random`); they have no parent."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NUMBERS = ("parent", "score", "cache_hit", "statements", "live_statements", "invalid", "seeds", "steps")


@dataclass(frozen=True)
class Category:
    """A column of few different texts.

    Attributes:
        names: the different texts, in the order of their first row.
        codes: (programs,) for each row the index of its text.
    """

    names: tuple[str, ...]
    codes: Ints

    def is_(self, name: str) -> NDArray[np.bool_]:
        """(programs,) which rows have this text."""
        return np.equal(self.codes, self.names.index(name) if name in self.names else -1)


@dataclass(frozen=True)
class History:
    """What was generated, row by row; the index of a row is its id. `Row` tells what the columns mean.

    Attributes:
        run: the run's folder, for messages.
        parent: (programs,) -1 for the warm start.
        mutation: the kinds.
        outcome: names of `Status`.
        program: (programs,) a number for each different hash.
        different: how many different hashes there are.
        score: (programs,) infinite where training failed.
        cache_hit: (programs,) bool.
        statements: (programs,) lengths.
        live_statements: (programs,) lengths without dead code.
        invalid: (programs,) children thrown away before this one.
        seeds: (programs,) behind the score.
        steps: (programs,) trained for this row.
        warm_start: the program that all descend from; None if they were drawn at random, or if it has
            primitives that are not known here.
        warm_program: its number in `program`; -1 if no row has its hash.
        warm_score: its score; NaN if neither a row nor `summary.json` tells it.
    """

    run: str
    parent: Ints
    mutation: Category
    outcome: Category
    program: Ints
    different: int
    score: Floats
    cache_hit: NDArray[np.bool_]
    statements: Ints
    live_statements: Ints
    invalid: Ints
    seeds: Ints
    steps: Ints
    warm_start: Program | None
    warm_program: int
    warm_score: float

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def drawn(self) -> bool:
        """Whether every program was drawn at random, so that there was no warm start."""
        return bool(self.mutation.is_(RANDOM).all())

    @property
    def parent_score(self) -> Floats:
        """(programs,) the score of each row's parent, as the parent's row tells it."""
        return np.where(self.parent < 0, self.warm_score, self.score[self.parent])

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(programs,) whether the hash differs from the parent's: the mutation reached live code."""
        parents = np.where(self.parent < 0, self.warm_program, self.program[self.parent])
        return np.asarray(self.program != parents)

    @property
    def best_so_far(self) -> Floats:
        """(programs,) the lowest score of any row so far."""
        return np.minimum.accumulate(self.score)

    @property
    def first_rows(self) -> Ints:
        """(different,) the first id of each different hash, by its number, which follows their order."""
        return np.unique(self.program, return_index=True)[1].astype(np.int64)

    def ranked(self) -> Ints:
        """Ids of the programs that trained, best first, one for each hash: its latest row.

        A program that was bred again may have a later, better founded score; `first_id` tells who was first.
        """
        latest = len(self) - 1 - np.unique(self.program[::-1], return_index=True)[1]
        latest = latest[np.isfinite(self.score[latest])]
        return latest[np.lexsort((latest, self.score[latest]))].astype(np.int64)

    def first_id(self, id: int) -> int:
        """The first program with the same hash."""
        return int(self.first_rows[self.program[id]])

    def best_id(self) -> int:
        """The id of the best program, the first of its hash.

        Raises:
            RunError: none has trained to the end.
        """
        ranked = self.ranked()
        if not len(ranked):
            raise RunError(
                f"no program of {self.run} has trained to the end, so none is best: name one as "
                f"{self.run}:ID, or see --outcomes for the reasons"
            )
        return self.first_id(int(ranked[0]))


def read_history(run: RunReader) -> History:
    """Read a run's columns.

    Raises:
        RunError: the run has no programs yet, or is damaged.
    """
    if not run.rows:
        raise RunError(
            f"{run.path} holds no programs yet: a search writes them every half minute and at its end; "
            "wait, or go on with --resume"
        )
    table = run.candidates([*_NUMBERS, "mutation", "outcome", "hash"])
    columns: dict[str, Any] = {name: table[name].to_numpy() for name in _NUMBERS}
    hashes = table["hash"].combine_chunks().dictionary_encode()
    known = {digest: number for number, digest in enumerate(hashes.dictionary.to_pylist())}
    program = hashes.indices.to_numpy().astype(np.int64)
    warm_start = _warm_start(run, columns["parent"], _category(table["mutation"]))
    digest = analyze(warm_start.statements).hash if warm_start else ""
    number = known.get(bytes.fromhex(digest), -1) if digest else -1
    return History(
        run=str(run.path),
        mutation=_category(table["mutation"]),
        outcome=_category(table["outcome"]),
        program=program,
        different=len(known),
        warm_start=warm_start,
        warm_program=number,
        warm_score=_warm_score(run, columns["score"][program == number]),
        **{name: np.asarray(column) for name, column in columns.items()},
    )


def _category(column: Any) -> Category:
    encoded = column.combine_chunks().dictionary_encode()
    return Category(tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64))


def _warm_start(run: RunReader, parent: Ints, mutation: Category) -> Program | None:
    """The warm start: the first child with its mutation undone."""
    children = np.flatnonzero((parent == WARM_START) & ~mutation.is_(RANDOM))
    if not len(children):
        return None
    row = run.row(int(children[0]))
    source = f"{run.path}:{row.id}"
    try:
        child = parse(row.text, source).statements
    except ProgramError:  # made with another vocabulary; whoever asks for the program itself is told
        return None
    return Program(exchanged(child, row.statement, row.after, row.before, source))


def _warm_score(run: RunReader, scores: Floats) -> float:
    """From a program with its hash, which shares its score; else from the summary."""
    if len(scores):
        return float(scores[0])
    known = (run.summary or {}).get("warm_start_score")
    return float("nan") if known is None else float(known)


def exchanged(
    statements: tuple[Statement, ...], position: int, gone: str, new: str, source: str
) -> tuple[Statement, ...]:
    """Statements with the one at `position` taken out, put in, or exchanged for another.

    Args:
        statements: of a program.
        position: index of the statement.
        gone: text of the statement that stands there; "" if none is taken out.
        new: text of the statement that comes there; "" if none is put in.
        source: whose mutation this is, for messages.

    Raises:
        RunError: another statement stands there, or `new` can't be read.
    """
    after = position + 1 if gone else position
    found = [s.text for s in statements[position:after]]
    if position < 0 or after > len(statements) or found != ([gone] if gone else []):
        raise RunError(
            f"{source} does not fit its parent: expected {gone or 'a place'!r} as statement {position + 1}, "
            f"found {found[0] if found else 'none'!r}; restore the run from a copy"
        )
    return (*statements[:position], *_statement(new, source), *statements[after:])


def _statement(text: str, source: str) -> tuple[Statement, ...]:
    if not text:
        return ()
    try:
        return parse(f"{HEADER}\n    {text}\n{FOOTER}\n", source).statements
    except ProgramError as error:
        raise RunError(
            f"the mutation of {source} can't be read ({error}); restore the run from a copy"
        ) from error
