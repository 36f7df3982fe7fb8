"""Many trainings at once: the merged sequence, and that nobody's outcome shows who trained beside them."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, isfinite
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import descendant, programs, trying

from evosearch.config.yaml_file import dump_yaml
from evosearch.evaluation import (
    BatchedEvaluator,
    Evaluator,
    Job,
    Outcome,
    Plan,
    Schedule,
    Status,
    TaskPlan,
    Tuned,
    batch_of,
    interpreters,
    make_evaluator,
)
from evosearch.evaluation.batched.interpreter import AXES, BatchedInterpreter
from evosearch.evaluation.batched.schedule import merged
from evosearch.evaluation.flow import Capacity, Flow, flow_of
from evosearch.evaluation.interpreters import choose
from evosearch.language import Program, Statement, builtin, builtin_names, parse
from evosearch.records import RunReader
from evosearch.search import run
from evosearch.search.config import load_config
from evosearch.workers import InProcessPool
from evosearch.workers.pace import Pace
from proxy_tasks import Split

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 8
LR = Schedule().values(STEPS)
PLAN = Plan(
    (
        TaskPlan("digits_mlp", (("steps", STEPS), ("batch", 8), ("width", 8)), curve=2),
        TaskPlan("modular_addition", (("steps", STEPS), ("width", 8))),
    ),
    (1.0, 0.5, 1e30),
    (0.25, 0.5),
    interpreter="batched",
    batch=6,
)
ONE_TASK = ((0, 1, 2), ())
SGD = builtin("sgd").statements


@pytest.fixture(scope="module")
def batched() -> BatchedEvaluator:
    """Two tasks, of which the first has a curve; three factors, the last absurd; two hurdles."""
    evaluator = make_evaluator(PLAN)
    assert isinstance(evaluator, BatchedEvaluator)
    return evaluator


@pytest.fixture(scope="module")
def alone() -> Evaluator:
    """The same plan, one training after the other."""
    return Evaluator(replace(PLAN, interpreter="xla"))


def body(*lines: str) -> tuple[Statement, ...]:
    text = "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"])
    return parse(text + "\n").statements


DIVERGING = body("x = lr - 3.0", "x = arcsin(x)", "update = g * x")  # NaN at the first step
HALTING = body(
    "m = interp(g, m, 0.5)", "x = lr * 1.2", "x = arccosh(x)", "update = m * x"
)  # NaN where lr < 0.8


def mutants(count: int) -> list[tuple[Statement, ...]]:
    rng = random.Random(5)
    return [descendant(rng, builtin("adamw").statements, rng.randint(5, 30)) for _ in range(count)]


def timeless(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return [replace(outcome, seconds=0.0) for outcome in outcomes]


def agree(ours: Outcome, theirs: Outcome) -> bool:
    """The same status and steps, and numbers that differ by rounding errors only."""
    close = all(
        np.allclose(flat(a), flat(b), rtol=1e-4, atol=1e-6)
        for a, b in (
            (ours.metrics, theirs.metrics),
            (ours.hurdles, theirs.hurdles),
            (ours.curves, theirs.curves),
        )
    )
    return close and (ours.status, ours.steps) == (theirs.status, theirs.steps)


def flat(nested: object) -> list[float]:
    if isinstance(nested, tuple):
        return [number for part in nested for number in [*flat(part), -1.0]]  # -1 tells the shape
    assert isinstance(nested, float)
    return [nested]


# ---------------------------------------------------------------- one sequence for many programs


def flow(program: Program) -> Flow:
    return flow_of(program.statements, LR, Capacity())


@trying(100)
@given(st.lists(programs(), min_size=1, max_size=8))
def test_the_sequence_serves_every_program_in_an_order_that_its_data_allow(some: list[Program]) -> None:
    flows = [flow(program) for program in some]
    primitives, turns = merged(flows)
    for own, each in zip(turns, flows, strict=True):
        steps, indices = [step for step, _ in own], [index for _, index in own]
        assert steps == sorted(set(steps))
        assert sorted(indices) == list(range(len(each.instructions)))
        known = {0, 1, 2, 3}
        for step, index in own:
            instruction = each.instructions[index]
            assert instruction.primitive == primitives[step]
            assert {number for is_column, number in instruction.operands if not is_column} <= known
            known.add(instruction.result)
    assert set(range(len(primitives))) == {step for own in turns for step, _ in own}  # no step for nobody


def test_equal_programs_make_no_sequence_longer() -> None:
    adamw = flow(builtin("adamw"))
    assert Counter(merged([adamw] * 5).primitives) == Counter(i.primitive for i in adamw.instructions)


def test_sequences_of_mutants_are_short() -> None:
    flows = [flow_of(program, LR, Capacity()) for program in mutants(64)]
    mean = sum(len(each.instructions) for each in flows) / len(flows)
    assert len(merged(flows).primitives) < 12 * mean  # 46 primitives x the longest would be a hundred times


# ---------------------------------------------------------------- the same outcomes as one after the other


def test_shipped_programs_and_mutants_get_the_outcomes_that_they_get_alone(
    batched: BatchedEvaluator, alone: Evaluator
) -> None:
    candidates = [*(builtin(name).statements for name in builtin_names()), *mutants(20), DIVERGING, HALTING]
    jobs = [Job(i, candidate, ((0, 1), (5,))) for i, candidate in enumerate(candidates)]
    ours, theirs = batched.evaluate_many(jobs), [alone.evaluate(job) for job in jobs]
    # A mutant may be ill-conditioned: rounding errors decide a sign, and then everything.
    close = [agree(a, b) for a, b in zip(ours, theirs, strict=True)]
    assert all(close[: len(builtin_names())])
    assert all(close[-2:])
    assert sum(close) >= len(close) - 2
    statuses = Counter(outcome.status for outcome in ours)
    assert statuses[Status.OK] > 10
    assert statuses[Status.DIVERGED] > 1
    assert all(outcome.seconds > 0 for outcome in ours)


def test_what_would_not_have_been_tried_alone_is_left_out(
    batched: BatchedEvaluator, alone: Evaluator
) -> None:
    # The absurd factor fails on the first seed: its training on others must not be counted.
    jobs = [Job(0, SGD, ONE_TASK), Job(1, DIVERGING, ONE_TASK), Job(2, SGD, ((), (3, 4)))]
    ours = batched.evaluate_many(jobs)
    assert [[row[2] for row in ours[0].metrics[0]]] == [[inf] * 3]
    assert 2 * 3 * STEPS < ours[0].steps < 2 * 3 * STEPS + STEPS
    assert ours[1].steps == 3
    assert ours[1].metrics == (((inf,) * 3,),)
    assert ours[2].metrics[0] == ()
    for outcome, job in zip(ours, jobs, strict=True):
        assert agree(outcome, alone.evaluate(job))


def test_hurdles_cut_single_trainings_of_a_batch(batched: BatchedEvaluator, alone: Evaluator) -> None:
    free = alone.evaluate(Job(0, SGD, ((3, 4), ()))).hurdles[0]
    below = tuple(tuple(0.99 * loss for loss in seed) for seed in free)
    above = tuple(tuple(1.01 * loss for loss in seed) for seed in free)
    jobs = [
        Job(number, SGD, ((3, 4), ()), thresholds=(limits, ()))
        for number, limits in enumerate(
            [above, below, (above[0], below[1]), ((above[0][0], below[0][1]), above[1])]
        )
    ]
    ours = batched.evaluate_many(jobs)
    assert [outcome.status for outcome in ours] == [Status.OK, Status.CUT, Status.CUT, Status.CUT]
    assert not isfinite(ours[1].hurdles[0][0][1])
    assert isfinite(ours[2].metrics[0][0][0])
    for outcome, job in zip(ours, jobs, strict=True):
        assert agree(outcome, alone.evaluate(job))


def test_limits_on_metrics_stop_single_jobs_of_a_batch(batched: BatchedEvaluator, alone: Evaluator) -> None:
    metrics = [min(row) for row in alone.evaluate(Job(0, SGD, ONE_TASK)).metrics[0]]
    jobs = [
        Job(number, SGD, ONE_TASK, limits=(limits, ()), factors=((0, 1), ()))
        for number, limits in enumerate(
            [(inf, inf, inf), (0.99 * metrics[0], inf, inf), (inf, 0.99 * metrics[1], inf)]
        )
    ]
    ours = batched.evaluate_many(jobs)
    assert [(outcome.status, outcome.steps) for outcome in ours] == [
        (Status.OK, 6 * STEPS),
        (Status.CUT, 2 * STEPS),
        (Status.CUT, 4 * STEPS),
    ]
    for outcome, job in zip(ours, jobs, strict=True):
        assert agree(outcome, alone.evaluate(job))


def test_splits_and_tuned_references_go_side_by_side(batched: BatchedEvaluator, alone: Evaluator) -> None:
    jobs = [
        Job(0, SGD, ((0,), ()), Split.SEARCH),
        Job(1, Tuned("lion", (0.01, 0.1, 0.1, 0.1)), ((0,), ())),
        Job(4, Tuned("lion", (0.02, 0.1, 0.1, 0.1)), ((0, 1), ())),
        Job(2, SGD, ((0,), ()), Split.REPORT),
        Job(3, SGD, ((), ())),
    ]
    ours = batched.evaluate_many(jobs)
    assert ours[0].metrics != ours[3].metrics
    assert ours[4].metrics == ((), ())
    assert all(agree(outcome, alone.evaluate(job)) for outcome, job in zip(ours, jobs, strict=True))
    assert batched.evaluate_many([]) == []


# ---------------------------------------------------------------- company


def test_no_outcome_shows_who_else_was_in_the_batch(batched: BatchedEvaluator) -> None:
    jobs = [Job(i, candidate, ((i % 3, 7), ())) for i, candidate in enumerate([*mutants(15), HALTING, SGD])]
    together = timeless(batched.evaluate_many(jobs))
    assert timeless([batched.evaluate(job) for job in jobs]) == together  # bit for bit, on a CPU
    order = list(range(len(jobs)))
    random.Random(1).shuffle(order)
    shuffled = timeless(batched.evaluate_many([jobs[i] for i in order]))
    assert shuffled == [together[i] for i in order]


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    found: list[str] = []

    def listen(event: str, _: float, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_no_further_batch_is_compiled(batched: BatchedEvaluator, compilations: list[str]) -> None:
    batched.evaluate_many([Job(0, SGD, ((0,), (0,)))])
    jax.jit(lambda x: x + len(compilations))(1.0)
    assert compilations  # the listener hears
    compilations.clear()
    batched.evaluate_many([Job(i, candidate, ((i, 9), (2,))) for i, candidate in enumerate(mutants(10))])
    assert compilations == []


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_one_primitive_is_computed_at_a_time_on_every_platform(platform: str) -> None:
    rule = BatchedInterpreter(jnp.zeros(3), Capacity())
    batch = rule.encode_all([flow_of(program, LR, Capacity()) for program in mutants(2)], [0, 1], STEPS)
    step = jax.jit(jax.vmap(rule.step, in_axes=(AXES, 0, 0, 0, None, 0)))
    state, w, steps = jnp.zeros((2, 2, 3)), jnp.zeros((2, 3)), jnp.arange(2)
    lowered = step.trace(batch, state, w, w, jnp.float32(1), steps).lower(lowering_platforms=(platform,))
    assert lowered.as_text().count("stablehlo.case") == 1  # vmap makes a switch of its own into selects


def test_a_program_beyond_the_capacity_is_a_bug() -> None:
    small = BatchedEvaluator(replace(PLAN, capacity=Capacity(1)))
    with pytest.raises(ValueError, match="expected at most 1 live statements, found 2"):
        small.evaluate(Job(0, SGD, ((0,), ())))


# ---------------------------------------------------------------- who asks for it


def test_accelerators_get_batches_unless_something_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(PLAN.tasks)
    assert batch_of(plan) == 1
    choose.cache_clear()
    monkeypatch.setattr(interpreters.jax, "default_backend", lambda: "gpu")
    try:
        assert choose("auto") == ("batched", "JAX computes on gpu")
        assert batch_of(plan) == 64
        assert [batch_of(replace(plan, interpreter="xla")), batch_of(replace(plan, way="compiled"))] == [1, 1]
        assert type(make_evaluator(replace(plan, way="compiled"))) is Evaluator
    finally:
        choose.cache_clear()


def test_the_pool_in_this_process_hands_over_whole_batches() -> None:
    calls: list[list[int]] = []

    class Notes(BatchedEvaluator):
        def evaluate_many(self, jobs: Sequence[Job]) -> list[Outcome]:
            calls.append([job.id for job in jobs])
            return [Outcome(Status.OK) for _ in jobs]

    jobs = [Job(i, SGD, ((0,), ())) for i in range(10)]
    with InProcessPool(PLAN, Notes) as pool:
        assert pool.size == PLAN.batch == 6
        pool.submit(jobs[:4])
        assert pool.collect(0.0) == []  # more may come
        pool.submit(jobs[4:])
        assert [id_ for id_, _ in pool.collect(0.0)] == [0, 1, 2, 3, 4, 5]
        assert pool.collect(0.0) == []
        assert [id_ for id_, _ in pool.collect()] == [6, 7, 8, 9]
        assert pool.collect() == []
    assert calls == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]


def test_a_message_to_a_worker_holds_a_whole_batch_whatever_jobs_take() -> None:
    pace = Pace(together=6)
    assert [pace.batch(waiting, 2) for waiting in (1, 6, 100)] == [1, 6, 6]
    pace.observe([Outcome(Status.OK, seconds=10.0)])
    assert pace.batch(100, 2) == 6


SEARCH = {
    "name": "small",
    "tasks": [{"name": "digits_mlp", "steps": 5, "width": 8, "batch": 8, "seeds": 2}],
    "search": {"population": 10, "lag": 40, "budget": {"programs": 120}},
    "evaluation": {"interpreter": "batched", "batch": 8, "hurdles": {"at": [0.5]}},
    "workers": {"backend": "in_process"},
    "report": {"references": False, "seeds": 2},
}


def test_a_search_in_batches_has_one_history_however_its_batches_are_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(dump_yaml(SEARCH))
    config = load_config(tmp_path / "small.yaml")
    histories = []
    sizes: list[list[int]] = []
    evaluate_many = BatchedEvaluator.evaluate_many

    def in_pieces(self: BatchedEvaluator, jobs: Sequence[Job]) -> list[Outcome]:
        pieces = [jobs[i : i + piece] for i in range(0, len(jobs), piece)]
        sizes[-1] += map(len, pieces)
        return [outcome for some in pieces for outcome in evaluate_many(self, some)]

    monkeypatch.setattr(BatchedEvaluator, "evaluate_many", in_pieces)
    for piece in (8, 3):
        sizes.append([])
        summary = run.run_search(config, tmp_path / str(piece))
        assert summary.finished
        assert [standing.name for standing in summary.standings] == ["best program", "warm start"]
        histories.append(RunReader(tmp_path / str(piece)).candidates().drop_columns(["seconds"]))
    assert summary.evaluated > 20
    assert [max(some) for some in sizes] == [8, 3]
    assert histories[0] == histories[1]
