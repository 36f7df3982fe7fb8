"""Trainings and their outcomes: when they stop, what is measured, and what a score depends on."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, isfinite

import jax
import numpy as np
import psutil
import pytest
from strategies import descendant

from evosearch.evaluation import Evaluator, Job, Outcome, Plan, Schedule, Status, TaskPlan, Tuned
from evosearch.evaluation.flow import Capacity
from evosearch.language import Statement, builtin, builtin_names, parse
from proxy_tasks import Split, TaskError

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 20
SMALL = (("steps", STEPS), ("batch", 8), ("width", 8))
RISING = Schedule("constant", 0.5)
"""lr is 0.1, 0.2, ... 1 at the first ten steps."""

FACTORS = (1.0, 2.0, 1e30)
HURDLES = (0.1, 0.5, 0.9)
PLAN = Plan((TaskPlan("char_mlp", SMALL, RISING), TaskPlan("digits_mlp", SMALL, RISING)), FACTORS, HURDLES)
SGD = builtin("sgd").statements


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    """Two tasks, three factors of which the last is absurd, three hurdles."""
    return Evaluator(PLAN)


@pytest.fixture(scope="module")
def plain() -> Evaluator:
    """The first task with one factor and the hurdles."""
    return Evaluator(replace(PLAN, tasks=PLAN.tasks[:1], factors=(1.0,)))


@pytest.fixture(scope="module")
def quick() -> Evaluator:
    """Five steps of a tiny network."""
    knobs = {**dict(SMALL), "steps": 5}
    return Evaluator(Plan((TaskPlan("char_mlp", tuple(knobs.items())),)))


def body(*lines: str) -> tuple[Statement, ...]:
    text = "\n    ".join(["def train(w, g, m, v, lr):", *lines, "return update, m, v"])
    return parse(text + "\n").statements


def timeless(outcome: Outcome) -> Outcome:
    return replace(outcome, seconds=0.0)


def candidates(count: int) -> list[tuple[Statement, ...]]:
    """Programs that differ in their text."""
    rng = random.Random(0)
    found: dict[str, tuple[Statement, ...]] = {}
    while len(found) < count:
        start = builtin(rng.choice(builtin_names())).statements
        statements = descendant(rng, start, rng.randrange(1, 60))
        found["\n".join(s.text for s in statements)] = statements
    return list(found.values())


# ---------------------------------------------------------------- shapes


def test_metrics_and_hurdles_are_by_task_seed_and_factor(evaluator: Evaluator) -> None:
    outcome = evaluator.evaluate(Job(7, SGD, ((0, 1, 2), (5, 6))))
    assert outcome.status is Status.OK
    assert [[len(row) for row in task] for task in outcome.metrics] == [[3, 3, 3], [3, 3]]
    assert [[len(row) for row in task] for task in outcome.hurdles] == [[3, 3, 3], [3, 3]]
    assert all(isfinite(row[0]) and isfinite(row[1]) for task in outcome.metrics for row in task)
    assert outcome.seconds > 0


def test_a_failing_factor_is_dropped_on_later_seeds(evaluator: Evaluator) -> None:
    one = evaluator.evaluate(Job(0, SGD, ((0,), ())))
    three = evaluator.evaluate(Job(0, SGD, ((0, 1, 2), ())))
    assert [row[2] for row in three.metrics[0]] == [inf, inf, inf]
    absurd = one.steps - 2 * STEPS
    assert 0 < absurd < STEPS
    assert three.steps == 3 * 2 * STEPS + absurd


def test_above_its_limit_a_candidate_gets_no_further_seed_or_task(evaluator: Evaluator) -> None:
    free = evaluator.evaluate(Job(0, SGD, ((0, 1), (0,))))
    best = [[min(row) for row in task] for task in free.metrics]
    at_it = tuple(map(tuple, best))
    assert evaluator.evaluate(Job(0, SGD, ((0, 1), (0,)), limits=at_it)).metrics == free.metrics
    for seeds_done, below in (
        (1, ((best[0][0] * 0.99, inf), (inf,))),
        (2, ((inf, best[0][1] * 0.99), (inf,))),
    ):
        cut = evaluator.evaluate(Job(0, SGD, ((0, 1), (0,)), limits=below))
        assert cut.status is Status.CUT
        assert cut.metrics == (free.metrics[0][:seeds_done],)
        assert cut.steps < free.steps
    last = evaluator.evaluate(Job(0, SGD, ((0, 1), (0,)), limits=((inf, inf), (0.0,))))
    assert last.metrics == free.metrics  # nothing was left to be saved
    assert last.status is Status.OK


def test_a_factor_that_is_clearly_worse_is_dropped_on_later_seeds() -> None:
    job = Job(0, SGD, ((0, 1, 2), ()))
    free = Evaluator(PLAN).evaluate(job)
    first = free.metrics[0][0]
    gap = max(first[:2]) / min(first[:2]) - 1
    strict, loose = (
        Evaluator(replace(PLAN, factor_slack=slack)).evaluate(job) for slack in (gap * 0.9, gap * 1.1)
    )
    worse = first.index(max(first[:2]))
    assert strict.metrics[0][0] == first
    assert [row[worse] for row in strict.metrics[0][1:]] == [inf, inf]
    assert [row[1 - worse] for row in strict.metrics[0]] == [row[1 - worse] for row in free.metrics[0]]
    assert strict.steps == free.steps - 2 * STEPS
    assert loose.metrics[0][1] == free.metrics[0][1]


def test_a_job_may_name_its_factors(evaluator: Evaluator) -> None:
    free = evaluator.evaluate(Job(0, SGD, ((0,), (0,))))
    named = evaluator.evaluate(Job(0, SGD, ((0,), (0,)), factors=((1,), (0, 1))))
    assert named.metrics[0] == ((inf, free.metrics[0][0][1], inf),)
    assert named.metrics[1][0][:2] == free.metrics[1][0][:2]


def test_a_task_that_fails_ends_the_evaluation(evaluator: Evaluator) -> None:
    outcome = evaluator.evaluate(Job(0, body("z = g - g", "update = arccosh(z)"), ((0, 1), (0,))))
    assert outcome == Outcome(Status.DIVERGED, (((inf,) * 3,),), (((inf,) * 3,),), 3, outcome.seconds)


# ---------------------------------------------------------------- when training stops


@pytest.mark.parametrize("bad_step", [1, 2, 5, 10])
def test_training_stops_at_the_first_value_that_is_not_finite(evaluator: Evaluator, bad_step: int) -> None:
    # arcsin is NaN from where lr * limit exceeds 1, and lr is bad_step / 10 in that step.
    limit = 10 / (bad_step - 0.5)
    program = body(f"s = lr * {limit}", "s = arcsin(s)", "s = s * 0.0", "update = g * s")
    outcome = evaluator.evaluate(Job(0, program, ((0,), ())))
    assert outcome.status is Status.DIVERGED
    assert outcome.metrics == (((inf, inf, inf),),)
    assert outcome.steps == 3 * bad_step
    reached = [isfinite(loss) for loss in outcome.hurdles[0][0]]
    assert reached == [round(share * STEPS) <= bad_step for share in HURDLES]


def test_hurdles_cut_exactly_where_they_stand(plain: Evaluator) -> None:
    def run(thresholds: Sequence[float]) -> Outcome:
        return timeless(plain.evaluate(Job(0, SGD, ((3,),), thresholds=((tuple(thresholds),),))))

    free = timeless(plain.evaluate(Job(0, SGD, ((3,),))))
    losses = free.hurdles[0][0]
    assert free.status is Status.OK
    assert all(isfinite(loss) for loss in losses)
    assert run([inf] * 3) == free
    assert run(losses) == free  # cut is who is worse, not who is equal
    for index, share in enumerate(HURDLES):
        thresholds = [inf] * 3
        thresholds[index] = float(np.nextafter(np.float32(losses[index]), np.float32(0)))
        cut = run(thresholds)
        assert cut.status is Status.CUT
        assert cut.steps == round(share * STEPS)
        assert cut.metrics == (((inf,),),)
        assert cut.hurdles[0][0] == (*losses[: index + 1], *[inf] * (2 - index))


def test_the_running_loss_is_what_it_says(plain: Evaluator) -> None:
    task = plain.tasks[0]
    train = task.data().splits[Split.TRAIN]
    weights, order = jax.random.split(jax.random.fold_in(jax.random.key(1), 3))  # search is the second split
    w, batches = task.init(weights, train), task.draw(order, train, STEPS)
    running = 0.0
    for step in range(2):
        batch = jax.tree.map(lambda x, step=step: x[step], batches)
        loss, g = jax.value_and_grad(task.loss)(w, train, batch)
        running = float(loss) if step == 0 else 0.9 * running + 0.1 * float(loss)
        rate = 0.1 * (step + 1) / 10
        w = jax.tree.map(lambda x, g, rate=rate: x - rate * g, w, g)
    outcome = plain.evaluate(Job(0, SGD, ((3,),)))
    assert outcome.hurdles[0][0][0] == pytest.approx(running, rel=1e-5)


# ---------------------------------------------------------------- what a score depends on


def test_a_factor_scales_every_update(evaluator: Evaluator) -> None:
    faster = body("lr = lr * 0.2", "update = g * lr")
    seeds = ((0, 1), (0,))
    once, double = (evaluator.evaluate(Job(0, program, seeds)) for program in (SGD, faster))
    for ours, theirs in zip(once.metrics, double.metrics, strict=True):
        assert [row[1] for row in ours] == [row[0] for row in theirs]  # bit for bit: 2 is a power of 2
        assert all(row[0] != row[1] for row in ours)


def test_splits_and_seeds_differ_and_nothing_else(evaluator: Evaluator) -> None:
    jobs = [
        Job(0, SGD, ((seed,), ()), split) for seed in (0, 1, 2) for split in Split if split is not Split.TRAIN
    ]
    scores = [evaluator.evaluate(job).metrics[0][0][0] for job in jobs]
    assert len(set(scores)) == len(jobs)
    assert [evaluator.evaluate(job).metrics[0][0][0] for job in jobs] == scores


def test_a_score_does_not_depend_on_what_was_evaluated_before(quick: Evaluator) -> None:
    jobs = [Job(i, candidate, ((i % 3, 7),)) for i, candidate in enumerate(candidates(60))]
    first = {job.id: timeless(quick.evaluate(job)) for job in jobs}
    random.Random(1).shuffle(jobs)
    assert {job.id: timeless(quick.evaluate(job)) for job in jobs} == first
    another = Evaluator(quick.plan)
    assert {job.id: timeless(another.evaluate(job)) for job in jobs} == first
    assert sum(outcome.ok for outcome in first.values()) > 30


def test_more_seeds_than_are_kept_prepared_change_nothing(quick: Evaluator) -> None:
    job = Job(0, SGD, ((0,),))
    first = quick.evaluate(job).metrics
    quick.evaluate(Job(1, SGD, (tuple(range(1, 100)),)))
    assert quick.evaluate(job).metrics == first


# ---------------------------------------------------------------- other ways and other candidates


def test_the_compiled_way_scores_like_the_interpreter(quick: Evaluator) -> None:
    compiled = Evaluator(replace(quick.plan, way="compiled"))
    for name in ("adamw", "lion"):
        job = Job(0, builtin(name).statements, ((0, 1),))
        ours, theirs = quick.evaluate(job), compiled.evaluate(job)
        assert ours.status is theirs.status
        np.testing.assert_allclose(ours.metrics, theirs.metrics, rtol=1e-5)
        np.testing.assert_allclose(ours.hurdles, theirs.hurdles, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "values"), [("adamw", (0.05, 0.1, 0.1, 0.01)), ("lion", (0.01, 0.1, 0.1, 0.1))]
)
def test_tuned_references_train_well(name: str, values: tuple[float, ...]) -> None:
    evaluator = Evaluator(Plan((TaskPlan("char_mlp"),)))
    outcome = evaluator.evaluate(Job(0, Tuned(name, values), ((0, 1),)))
    assert outcome.ok
    assert outcome.steps == 400
    assert all(metric < 2.5 < evaluator.tasks[0].chance for (metric,) in outcome.metrics[0])


def test_a_program_beyond_the_capacity_is_a_bug(quick: Evaluator) -> None:
    small = Evaluator(replace(quick.plan, capacity=Capacity(1)))
    with pytest.raises(ValueError, match="expected at most 1 live statements, found 2"):
        small.evaluate(Job(0, SGD, ((0,),)))


def test_an_unknown_task_is_told() -> None:
    with pytest.raises(TaskError, match="unknown task 'char_mpl': did you mean 'char_mlp'"):
        Evaluator(Plan((TaskPlan("char_mpl"),)))


# ---------------------------------------------------------------- thousands of candidates


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """A list that grows with each compilation by XLA."""
    found: list[str] = []

    def listen(event: str, _: float, **__: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_no_candidate_is_compiled_and_none_leaves_anything_behind(
    quick: Evaluator, compilations: list[str]
) -> None:
    programs = candidates(1000)
    quick.evaluate(Job(0, SGD, ((0,),)))
    jax.jit(lambda x: x + len(programs))(1.0)
    assert compilations  # the listener hears
    compilations.clear()
    resident = []
    for round_ in range(3):
        for index, program in enumerate(programs):
            quick.evaluate(Job(index, program, ((round_,),)))
            if index % 500 == 499:
                resident.append(psutil.Process().memory_info().rss / 2**20)
    assert compilations == []
    assert max(resident) - resident[0] < 30
