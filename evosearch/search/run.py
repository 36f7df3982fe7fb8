"""A search from start to end: the one place that wires engine, workers and record together."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evosearch.config.yaml_file import parse_yaml
from evosearch.evaluation import Job, Outcome, Plan
from evosearch.evaluation.settings import with_settings
from evosearch.evolution import Absorbed, AnyEngine, Child, MakeEngine, Scale, ToEvaluate, make_engine
from evosearch.evolution.engine import WARM_START, Counts
from evosearch.evolution.population import Scored
from evosearch.language.abstract import live_statements
from evosearch.language.program import Statement, program_text
from evosearch.records import OutcomeReader, Row, RunReader, RunWriter
from evosearch.records.layout import Layout
from evosearch.runtime import rare_garbage_collection
from evosearch.search.config import Config, make_config
from evosearch.search.progress import Progress, Silent, View
from evosearch.search.report import TUNED_REFERENCES, Bench, Contender, Standing, compare, tune
from evosearch.search.resume import config_text, continuation
from evosearch.study.tunable import tunable_reference
from evosearch.workers import HasWorkers, InProcessPool, Pool

SYNC_SECONDS = 1.0
SHOW_SECONDS = 0.25
WAIT_SECONDS = 0.25
"""How long to wait for outcomes before the clocks are looked at again; above zero, see `Pool.collect`."""
FLUSH_SECONDS, FLUSH_SHARE, FLUSH_LONGEST = 30.0, 0.01, 900.0
"""A part is written after so many seconds, or that share of the search's time if it is more: a week leaves a
thousand files, not twenty thousand. Only what viewers see hangs on it: outcomes are in the journal."""
RATE_SECONDS = 10.0
ASKS_BETWEEN_LOOKS = 512

JOBS_BETWEEN_LOOKS = 32
"""So many jobs are handed to several workers together: a look at what has come in costs as much as breeding
two or three, and these are bred in some milliseconds."""

EVALUATED = 0.1
"""About which share of the children is evaluated; the others are cache hits."""

FEWEST_CHILDREN, GOOD_CHILDREN = 20, 40
"""Children under way for each evaluation that workers take at once: with fewer than the first workers clearly
idle, with the second hardly; docs/scale.md has the figures."""

MakePool = Callable[[Config, Plan], Pool]


@dataclass
class Stop:
    """Set `requested` from a signal handler to end a search cleanly."""

    requested: bool = False


@dataclass(frozen=True)
class Summary:
    """What came out of a search.

    Attributes:
        run: the run's folder.
        finished: False if the search was stopped before its budget was spent; it can be resumed.
        programs: generated.
        evaluated: evaluations asked for.
        cache_hits: programs whose score was known.
        steps: training steps done.
        seconds: of searching, over all sessions.
        warm_start_score: lower is better.
        best_id: the best program, by the search's own score; -1 for the warm start.
        best_score: its score.
        best_text: the program, its learning-rate factor written into it.
        best_live_text: the same without the statements that nothing depends on.
        standings: the final comparison, the best program first; empty if there was none.
    """

    run: str
    finished: bool
    programs: int
    evaluated: int
    cache_hits: int
    steps: int
    seconds: float
    warm_start_score: float
    best_id: int
    best_score: float
    best_text: str
    best_live_text: str
    standings: tuple[Standing, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data; `best` is an object of its own, and numbers that are not finite are null."""
        data: dict[str, Any] = _finite(asdict(self))
        best = {key: data.pop(f"best_{key}") for key in ("id", "score", "text", "live_text")}
        return {**data, "best": best}


def run_search(
    config: Config,
    folder: Path,
    *,
    resume: bool = False,
    elsewhere: bool = False,
    view: View | None = None,
    stop: Stop | None = None,
    workers: MakePool | None = None,
    engine: MakeEngine = make_engine,
    say: Callable[[str], None] | None = None,
) -> Summary:
    """Run a search, or go on with one.

    Args:
        config: the search.
        folder: the run's folder; it must not exist, or with `resume` hold a run of the same search.
        resume: go on with an interrupted run. Budget, workers and report may differ from the run's.
        elsewhere: go on also where versions or the processor are others than the run was made with.
        view: who is shown the progress.
        stop: where to ask for a clean end.
        workers: makes the pool, which this closes; by default `make_pool`.
        engine: makes the engine; whichever it is, the history is the same.
        say: is told what a person should know before a long search, a line at a time.

    Raises:
        EvosearchError: what is wrong, and what to do.

    Example:
        summary = run_search(load_config(Path("configs/quickstart.yaml")), Path("runs/mine"))
    """
    view, stop = view or Silent(), stop or Stop()
    with ExitStack() as stack:
        writer, seconds = None, 0.0
        if resume:
            found = continuation(config, folder, elsewhere=elsewhere, say=say or _nobody)
            seconds = found.seconds
            writer = stack.enter_context(RunWriter.resume(folder))
            if found.config_text is not None:
                writer.write_config(found.config_text)
        else:
            Layout(folder).check_free()
        view.stage("starting workers", 0, 1)
        pool = stack.enter_context((workers or make_pool)(config, config.plan()))
        view.stage("starting workers", 1, 1)
        idle = idle_line(config.search.lag, pool.size)
        if say and idle:
            say(idle)
        outcomes = writer.outcomes() if writer else None
        baseline = outcomes.take(WARM_START) if outcomes else None
        if baseline is None:
            baseline = train_warm_start(config, pool, view)
            # Nothing is written before it is clear that the search can begin.
            writer = writer or stack.enter_context(RunWriter.create(folder, config_text(config)))
            writer.acknowledge(WARM_START, config.rules().seeds.pools, baseline)
            writer.sync()
        assert writer is not None
        known = outcomes or writer.outcomes()
        session = _Session(config, writer, pool, view, stop, seconds, baseline, known, engine)
        rare_garbage_collection()
        session.search()
        return session.finish()


def _nobody(line: str) -> None:
    """Tell nobody."""


def train_warm_start(config: Config, pool: Pool, view: View) -> Outcome:
    """The warm start trained with all seeds of the pools; scores are relative to it.

    Raises:
        SearchError: it does not train.
    """
    view.stage("training the warm start", 0, 1)
    pools = config.rules().seeds.pools
    pool.submit([Job(WARM_START, config.program().statements, pools)])
    ((_, outcome),) = pool.collect(None)
    view.stage("training the warm start", 1, 1)
    Scale.of(pools, outcome)  # raises if it does not train
    return outcome


def idle_line(lag: int, size: int) -> str:
    """A sentence if workers will wait for want of children to evaluate; "" otherwise.

    The lag can't follow the number of workers: it decides what is bred, and the history would depend on them.

    Args:
        lag: `search.lag`, how many children are under way.
        size: how many jobs keep everybody busy, see `Pool.size`.

    >>> idle_line(128, 2)
    ''
    """
    if size == 1 or lag >= FEWEST_CHILDREN * size:
        return ""
    return (
        f"workers will idle: search.lag {lag} keeps about {max(1, round(lag * EVALUATED))} evaluations under "
        f"way, and {round(FEWEST_CHILDREN * size * EVALUATED)} or more keep them busy; "
        f"set search.lag={GOOD_CHILDREN * size} (another lag is another search)"
    )


def flush_interval(seconds: float) -> float:
    """How long rows may wait for their part, in a search of that age.

    >>> flush_interval(60.0), flush_interval(36_000.0)
    (30.0, 360.0)
    """
    return max(FLUSH_SECONDS, min(FLUSH_SHARE * seconds, FLUSH_LONGEST))


def make_pool(config: Config, plan: Plan) -> Pool:
    """The workers that a configuration asks for."""
    workers = config.workers
    if workers.backend == "in_process":
        return InProcessPool(plan)
    from evosearch.workers.ray_pool import RayPool  # Ray takes seconds to import

    return RayPool(
        plan,
        count=workers.count,
        address=workers.address,
        timeout=config.evaluation.timeout,
        retries=config.evaluation.retries,
    )


def run_config(run: RunReader) -> Config:
    """The configuration that a run was made with.

    Raises:
        ConfigError: its `config.yaml` is damaged.
    """
    source = str(run.path / "config.yaml")
    return make_config(parse_yaml(run.config_text, source), source)


@dataclass
class _Session:
    """One process's share of a search."""

    config: Config
    writer: RunWriter
    pool: Pool
    view: View
    stop: Stop
    seconds_before: float
    baseline: Outcome
    outcomes: OutcomeReader
    make_engine: MakeEngine
    begin: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.rules = self.config.rules()
        self.replaying = self.writer.durable_rows + self.outcomes.buffered > 0
        self.sent: dict[int, Job] = {}
        self.last_sync = self.last_show = self.last_flush = self.begin
        self.best_written: tuple[int, float] | None = None
        self.window: deque[tuple[float, Counts]] = deque()
        warm_start = self.config.program().statements
        writer = self.writer
        self.engine: AnyEngine = self.make_engine(
            self.rules, warm_start, self.baseline, self._record, writer.add_columns
        )

    # ------------------------------------------------------------------ the loop

    def search(self) -> None:
        """Until the budget is spent, or somebody asks to stop."""
        while not self.engine.finished:
            jobs = self._breed()
            if jobs:
                self.pool.submit(jobs)
                self.sent.update({job.id: job for job in jobs})
            if self.sent:
                self._take_in(self.pool.collect(0.0 if jobs or not self.engine.waits else WAIT_SECONDS))
            self._housekeeping()
        self._flush()

    def _breed(self) -> list[Job]:
        """Children, until outcomes are needed, there is work for each worker, or it is time to look up."""
        jobs: list[Job] = []
        enough = max(self.pool.size, JOBS_BETWEEN_LOOKS) if self.pool.size > 1 else 1
        for _ in range(ASKS_BETWEEN_LOOKS):
            child = self.engine.ask()
            if child is None:
                break
            if child.request is not None:
                recorded = self.outcomes.take(child.id)
                if recorded is None:
                    self.replaying = False
                    jobs.append(_job(child))
                    if len(jobs) >= enough:
                        break
                else:
                    self.engine.tell(child.id, recorded)
        return jobs

    def _take_in(self, results: list[tuple[int, Outcome]]) -> None:
        for number, outcome in results:
            self.writer.acknowledge(number, self.sent.pop(number).seeds, outcome)
            self.engine.tell(number, outcome)

    def _flush(self) -> None:
        """Write all rows that there are as a part."""
        self.engine.hand_over()
        self.writer.flush()

    def _record(self, absorbed: Absorbed) -> None:
        self.writer.add(row_of(absorbed))

    def _housekeeping(self) -> None:
        """Clocks: they decide when to write and show, and when the minutes are spent; never what is bred."""
        now = time.monotonic()
        if now - self.last_sync >= SYNC_SECONDS:
            self.writer.sync()
            self.last_sync = now
        if now - self.last_show >= SHOW_SECONDS:
            self.view.progress(self._progress(now))
            self.last_show = now
        if now - self.last_flush >= flush_interval(self._seconds(now)):
            self._flush()
            self._write_state(self._summary(now))
            self.last_flush = now
        minutes = self.config.search.budget.minutes
        spent = minutes is not None and self._seconds(now) >= 60 * minutes
        if self.stop.requested or (spent and not self.replaying):
            self.engine.stop()

    # ------------------------------------------------------------------ what is shown

    def _seconds(self, now: float) -> float:
        return self.seconds_before + now - self.begin

    def _share(self, seconds: float) -> float:
        budget, counts = self.config.search.budget, self.engine.counts
        shares = [
            done / limit
            for done, limit in (
                (counts.generated, budget.programs),
                (counts.requests, budget.evaluations),
                (counts.steps, budget.steps),
                (seconds / 60, budget.minutes),
            )
            if limit is not None
        ]
        return min(1.0, max(shares))

    def _progress(self, now: float) -> Progress:
        engine, counts = self.engine, self.engine.counts
        self.window.append((now, Counts(**asdict(counts))))
        while len(self.window) > 2 and now - self.window[0][0] > RATE_SECONDS:
            self.window.popleft()
        then, old = self.window[0]
        seconds = max(now - then, 1e-9) if len(self.window) > 1 else math.inf
        bred = max(1, counts.generated - old.generated)
        statements = max(1, counts.statements - old.statements)
        best = engine.best()
        return Progress(
            name=self.config.name,
            seconds=self._seconds(now),
            share=self._share(self._seconds(now)),
            generated=counts.generated,
            evaluated=counts.requests,
            replayed=counts.generated if self.replaying else 0,
            programs_per_second=(counts.generated - old.generated) / seconds,
            evaluations_per_second=(counts.requests - old.requests) / seconds,
            cache_hits=(counts.cache_hits - old.cache_hits) / bred,
            redundancy=1 - (counts.live_statements - old.live_statements) / statements,
            warm_start_score=engine.warm_start.known.fitness,
            best_score=best.known.fitness,
            best_id=best.id,
            best_text=program_text(live_statements(best.statements)),
            round=engine.round,
            restart=engine.restart,
            workers=self.pool.workers if isinstance(self.pool, HasWorkers) else None,
        )

    def _summary(self, now: float, standings: tuple[Standing, ...] = (), finished: bool = False) -> Summary:
        counts, best = self.engine.counts, self.engine.best()
        return Summary(
            run=str(self.writer.path),
            finished=finished,
            programs=counts.generated,
            evaluated=counts.requests,
            cache_hits=counts.cache_hits,
            steps=counts.steps,
            seconds=self._seconds(now),
            warm_start_score=self.engine.warm_start.known.fitness,
            best_id=best.id,
            best_score=best.known.fitness,
            best_text=self._text(best.statements, best),
            best_live_text=self._text(live_statements(best.statements), best),
            standings=standings,
        )

    def _text(self, statements: tuple[Statement, ...], member: Scored) -> str:
        # A factor is part of the program only if all tasks agree on it.
        factors = set(self._factors(member))
        return program_text(with_settings(statements, factors.pop() if len(factors) == 1 else 1.0))

    def _factors(self, member: Scored) -> tuple[float, ...]:
        return tuple(self.config.evaluation.lr_factors[f] for f in member.known.best_factors)

    def _write_state(self, summary: Summary) -> None:
        """Write `best.py` and `summary.json`, unless this session still repeats what the record tells."""
        if self.engine.counts.generated >= self.writer.durable_rows:
            self._write_best()
            self.writer.write_summary(summary.to_json())

    def _write_best(self) -> None:
        best = self.engine.best()
        state = (best.id, best.known.fitness)
        if state == self.best_written:
            return
        self.best_written = state
        factors = ", ".join(f"{f:g}" for f in self._factors(best))
        self.writer.write_best(
            f"# Program {best.id} of the run {self.config.name}: score {best.known.fitness:.6g} "
            f"(seeds: {best.known.count}), warm start {self.engine.warm_start.known.fitness:.6g}.\n"
            f"# Learning-rate factor of each task: {factors}.\n" + self._text(best.statements, best)
        )

    # ------------------------------------------------------------------ the end

    def finish(self) -> Summary:
        """Write the record's end, and compare the best program if the search came to its end."""
        now = time.monotonic()
        stopped = self.stop.requested
        self._write_state(self._summary(now))
        self.view.progress(self._progress(now))
        if stopped:
            return self._summary(now)
        summary = self._summary(now, tuple(self._compare()), finished=True)
        self._write_state(summary)
        return summary

    def _compare(self) -> list[Standing]:
        report, best = self.config.report, self.engine.best()
        bench = Bench(
            self.pool,
            self.rules.seeds.pools,
            tuple(self.config.evaluation.lr_factors),
            tuple(sum(task.values()) / len(task) for task in self.engine.scale.metrics),
            self.rules.seed,
            self.view,
        )
        contenders = [
            Contender("best program", best.statements, self.engine.counts.requests),
            Contender("warm start", self.engine.warm_start.statements, 1),
        ]
        for name in TUNED_REFERENCES if report.references else ():
            reference = tunable_reference(name)
            optimum = tune(bench, reference, report.settings)
            contenders.append(Contender(f"{name}, tuned", reference.at(optimum.place), optimum.settings))
        return compare(bench, contenders, report.seeds)


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _job(child: Child | ToEvaluate) -> Job:
    assert child.request is not None
    request = child.request
    return Job(
        child.id,
        child.statements,
        request.seeds,
        thresholds=request.thresholds,
        limits=request.limits,
        factors=request.factors,
    )


def row_of(absorbed: Absorbed) -> Row:
    """A child that has taken its place, as a row of the record."""
    child, outcome, mutation = absorbed.child, absorbed.outcome, absorbed.child.mutation
    return Row(
        child.id,
        child.parent,
        child.round,
        child.restart,
        mutation.kind,
        mutation.statement,
        mutation.before,
        mutation.after,
        child.invalid,
        child.hash,
        program_text(child.statements),
        len(child.statements),
        child.live,
        child.cache_hit,
        absorbed.status.name,
        absorbed.fitness,
        absorbed.seeds,
        outcome.steps if outcome else 0,
        outcome.seconds if outcome else 0.0,
    )
