"""A small search to record: deterministic, with jobs for some candidates only, and replayable."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evosearch.evaluation.outcome import Outcome, Status
from evosearch.records import OutcomeReader, Row, RunReader, RunWriter

LAG = 4
ROWS_PER_PART = 10


def evaluated(id_: int) -> bool:
    """Whether a candidate needs a job; the others are cache hits."""
    return id_ % 3 != 1


def seeds_of(id_: int) -> tuple[tuple[int, ...], ...]:
    return (tuple(range(1 + id_ % 3)), (id_ % 7,))


def outcome_of(id_: int, attempt: int = 0) -> Outcome:
    """What a job gives; its duration depends on the attempt, as it does on a clock."""
    rng = random.Random(id_)
    seconds = rng.random() + attempt
    if id_ % 5 == 0 and id_ > 0:
        return Outcome(Status.DIVERGED, ((), ((math.inf, -math.inf),)), (), 3, seconds)
    metrics = (tuple((rng.random(), math.inf) for _ in seeds_of(id_)[0]), ((rng.gauss(0, 1e-9),),))
    return Outcome(Status.OK, metrics, (((0.1 + id_,),),), 100 + id_, seconds)


def row_of(id_: int, outcome: Outcome | None) -> Row:
    """The row that the search makes of an outcome; None for a cache hit."""
    rng = random.Random(id_)
    text = f"def train(w, g, m, v, lr):\n    update = g * {rng.random()}\n    return update, m, v\n"
    score = math.inf if outcome is not None and not outcome.ok else round(rng.random(), 1)
    return Row(
        id=id_,
        parent=id_ // 2 - 1,
        round=id_ // 20,
        restart=id_ % 2,
        mutation=("insert", "modify", "delete", "random")[id_ % 4],
        statement=id_ % 9,
        before="" if id_ % 4 == 0 else "update = sign(g)",
        after="" if id_ % 4 == 2 else f"update = g * {id_}",
        invalid=id_ % 3,
        hash=rng.randbytes(16),
        text=text,
        statements=1 + id_ % 40,
        live_statements=1,
        cache_hit=outcome is None,
        outcome="OK" if outcome is None else outcome.status.name,
        score=score,
        seeds=1,
        steps=0 if outcome is None else outcome.steps,
        seconds=0.0 if outcome is None else outcome.seconds,
    )


class Search:
    """Runs the script against a writer and keeps count of what it evaluated and what was synced."""

    def __init__(self, attempt: int = 0, told: Callable[[str], Any] = lambda line: None) -> None:
        self.attempt = attempt
        self.told = told
        self.evaluated: list[int] = []
        self.synced: set[int] = set()
        self.most_buffered = 0

    def __call__(self, writer: RunWriter, count: int) -> None:
        """Breed `count` candidates: jobs run `LAG` ahead of the rows, the journal is synced now and then."""
        known = writer.outcomes()
        seen: dict[int, Outcome] = {-1: self._outcome(writer, known, -1)}
        for id_ in range(count + LAG):
            if id_ < count and evaluated(id_):
                seen[id_] = self._outcome(writer, known, id_)
            if id_ % 6 == 5:
                writer.sync()
                self._tell(seen)
            if id_ == 17:
                writer.write_best("def train(w, g, m, v, lr): ...\n")
            if id_ >= LAG:
                writer.add(row_of(id_ - LAG, seen.get(id_ - LAG)))
            self.most_buffered = max(self.most_buffered, known.buffered)
        writer.flush()
        self._tell(seen)
        writer.write_summary({"programs": count})

    def _outcome(self, writer: RunWriter, known: OutcomeReader, id_: int) -> Outcome:
        outcome = known.take(id_)
        if outcome is None:
            outcome = outcome_of(id_, self.attempt)
            self.evaluated.append(id_)
            writer.acknowledge(id_, seeds_of(id_), outcome)
        return outcome

    def _tell(self, seen: dict[int, Outcome]) -> None:
        self.synced = set(seen)
        self.told(f"synced {max(seen)}")


def finished(path: Path, count: int = 40, rows_per_part: int = ROWS_PER_PART) -> RunReader:
    """A run of the script without any trouble."""
    with RunWriter.create(path, "name: script\n", rows_per_part=rows_per_part) as writer:
        Search()(writer, count)
    return RunReader.open(path)


def content(path: Path) -> tuple[Any, ...]:
    """All that a reader sees, and the outcomes that a resumed search would get, the warm start's included."""
    reader = RunReader.open(path)
    with RunWriter.resume(path) as writer:
        known = writer.outcomes()
        outcomes = {id_: known.take(id_) for id_ in range(-1, reader.rows)}
    assert [row["id"] for row in reader.candidates(["id"]).to_pylist()] == list(range(reader.rows))
    return (
        reader.config_text,
        reader.candidates().to_pylist(),
        reader.evaluations().to_pylist(),
        outcomes,
        reader.best_text,
        reader.summary,
    )
