"""Recorded runs for tests: real breeding, made-up outcomes, no training."""

import random
from collections.abc import Sequence
from pathlib import Path

from evosearch.evaluation import Outcome, Status
from evosearch.evolution import Absorbed, Budget, Engine, HurdleRules, Restarts, Rules, SeedRules
from evosearch.language import builtin
from evosearch.language.mutation import MutationRules
from evosearch.language.vocabulary import vocabulary
from evosearch.records import Row, RunReader, RunWriter
from evosearch.search.run import row_of

WARM_SCORE = 2.0
FAILURES = (Status.DIVERGED, Status.CUT, Status.TIMED_OUT)


def outcome(metric: float, seeds: int = 1) -> Outcome:
    """A training that reached `metric`, or failed where that is infinite."""
    if metric == float("inf"):
        return Outcome(FAILURES[seeds % 3], (), (), 7, 0.25)
    return Outcome(Status.OK, (((metric,),) * seeds,), (((),) * seeds,), 20, 0.5)


def bred_run(
    path: Path,
    programs: int = 600,
    *,
    method: str = "evolution",
    policy: str = "fixed",
    fail: float = 0.3,
    restarts: Restarts | None = None,
    rows_per_part: int = 250,
) -> RunReader:
    """A run of a search whose scores are drawn from the hash; a share of the programs fails."""
    pool = (0, 1, 2) if policy == "accumulating" else (0,)
    rules = Rules(
        seed=1,
        method=method,
        population=20,
        tournament=3,
        lag=8,
        mutation=MutationRules((("insert", 1.0), ("modify", 1.0), ("delete", 1.0)), vocabulary("paper")),
        restarts=restarts or Restarts(),
        budget=Budget(programs=programs),
        seeds=SeedRules(policy, (pool,), 1, len(pool)),
        hurdles=HurdleRules(),
        fingerprint=False,
    )
    with RunWriter.create(path, "name: bred\n", rows_per_part=rows_per_part) as writer:

        def record(absorbed: Absorbed) -> None:
            writer.add(row_of(absorbed))

        engine = Engine(rules, builtin("adamw").statements, outcome(WARM_SCORE, len(pool)), record)
        while not engine.finished:
            child = engine.ask()
            if child is None or child.request is None:
                continue
            luck = random.Random(child.hash + bytes(child.request.seeds[0]))
            metric = float("inf") if luck.random() < fail else 1.0 + 3 * luck.random() ** 2
            found = outcome(metric, child.id if metric == float("inf") else len(child.request.seeds[0]))
            writer.acknowledge(child.id, child.request.seeds, found)
            engine.tell(child.id, found)
        writer.flush()
    return RunReader(path)


def written_run(path: Path, rows: Sequence[Row]) -> RunReader:
    """A run that holds these rows, whatever they say; nothing of it was evaluated."""
    with RunWriter.create(path, "name: written\n") as writer:
        for row in rows:
            writer.add(row)
        writer.flush()
    return RunReader(path)
