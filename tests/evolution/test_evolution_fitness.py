"""What is known of a program's score, number by number."""

import math

import pytest

from evosearch.evaluation import Outcome, Status
from evosearch.evaluation.outcome import Hurdles, Metrics
from evosearch.evolution import Known, Scale

INF = math.inf


def ok(metrics: Metrics, hurdles: Hurdles = ()) -> Outcome:
    return Outcome(Status.OK, metrics, hurdles or tuple(tuple(() for _ in task) for task in metrics))


def scale_of(pools: tuple[tuple[int, ...], ...], metrics: Metrics, hurdles: Hurdles = ()) -> Scale:
    return Scale.of(pools, ok(metrics, hurdles))


def learned(scale: Scale, *jobs: tuple[tuple[tuple[int, ...], ...], Outcome], penalty: float = 0.0) -> Known:
    known = Known()
    for seeds, outcome in jobs:
        known.learn(scale, seeds, outcome, penalty)
    return known


ONE_TASK = scale_of(((5, 6),), (((2.0,), (4.0,)),))
TWO_TASKS = scale_of(((5, 6), (1, 2)), (((2.0,), (4.0,)), ((0.1,), (0.2,))))


def test_nothing_is_known_at_first() -> None:
    known = Known()
    assert (known.status, known.fitness, known.mean, known.count, known.alive) == (None, INF, INF, 0, False)


def test_on_one_task_scores_are_in_the_unit_of_the_metric() -> None:
    assert ONE_TASK.unit == 3.0
    warm_start = learned(ONE_TASK, (((5, 6),), ok((((2.0,), (4.0,)),))))
    assert warm_start.fitness == 3.0
    # Half of the warm start's metric on each seed: half of its mean metric.
    assert learned(ONE_TASK, (((5, 6),), ok((((1.0,), (2.0,)),)))).fitness == 1.5


def test_scores_are_relative_to_the_warm_start_on_the_same_seed() -> None:
    """So it does not matter whether a program was lucky to be trained with an easy seed."""
    easy = learned(ONE_TASK, (((5,),), ok((((1.0,),),))))
    hard = learned(ONE_TASK, (((6,),), ok((((2.0,),),))))
    assert easy.fitness == hard.fitness == 1.5
    both = learned(ONE_TASK, (((6, 5),), ok((((3.0,), (1.0,)),))))
    assert both.fitness == pytest.approx(3.0 * (3 / 4 + 1 / 2) / 2)


def test_on_several_tasks_the_warm_start_has_score_1() -> None:
    assert TWO_TASKS.unit == 1.0
    assert learned(
        TWO_TASKS, (((5, 6), (1, 2)), ok((((2.0,), (4.0,)), ((0.1,), (0.2,)))))
    ).fitness == pytest.approx(1.0)
    found = learned(TWO_TASKS, (((6,), (1,)), ok((((6.0,),), ((0.05,),)))))
    assert found.fitness == pytest.approx((1.5 + 0.5) / 2)


def test_each_task_has_its_best_learning_rate_factor() -> None:
    scale = scale_of(((0, 1), (0, 1)), (((9.0, 1.0), (9.0, 1.0)), ((1.0, 9.0), (1.0, 9.0))))
    assert scale.metrics == ({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0})
    metrics = (((0.3, 0.5), (0.9, 0.5)), ((0.8, 0.2), (0.8, 0.4)))
    found = learned(scale, (((0, 1), (0, 1)), ok(metrics)))
    assert found.best_factors == (1, 1)  # the best mean, not the best single training
    assert found.fitness == pytest.approx((0.5 + 0.3) / 2)


def test_the_best_factor_is_that_of_all_seeds_together() -> None:
    """A factor that was best on the first seed can lose on the next."""
    scale = scale_of(((0, 1),), (((1.0, 1.0), (1.0, 1.0)),))
    known = learned(scale, (((0,),), ok((((0.4, 0.5),),))))
    assert (known.best_factors, known.fitness) == ((0,), 0.4)
    known.learn(scale, ((1,),), ok((((0.8, 0.5),),)), 0.0)
    assert (known.best_factors, known.fitness) == ((1,), 0.5)


def test_a_factor_that_failed_on_one_seed_is_never_chosen() -> None:
    scale = scale_of(((0, 1, 2),), (((1.0, 1.0), (1.0, 1.0), (1.0, 1.0)),))
    known = learned(scale, (((0, 1),), ok((((0.1, 0.9), (INF, 0.9)),))), (((2,),), ok((((0.1, 0.9),),))))
    assert known.best_factors == (1,)
    assert known.fitness == pytest.approx(0.9)


def test_the_warm_starts_failed_factor_is_not_the_scale() -> None:
    scale = scale_of(((0, 1),), (((0.1, 2.0), (INF, 4.0)),))
    assert scale.metrics == ({0: 2.0, 1: 4.0},)


def test_the_estimate_is_the_mean_with_a_penalty_for_few_seeds() -> None:
    scale = scale_of(((0, 1, 2, 3),), (tuple((2.0,) for _ in range(4)),))
    known = Known()
    metrics = [0.5, 0.9, 0.1, 0.3]
    for seed, metric in enumerate(metrics):
        known.learn(scale, ((seed,),), ok((((metric,),),)), 0.2)
        n = seed + 1
        assert known.count == n
        assert known.mean == pytest.approx(sum(metrics[:n]) / n)
        assert known.fitness == pytest.approx(sum(metrics[:n]) / n + 0.2 * 2.0 / math.sqrt(n))


def test_several_seeds_at_once_weigh_as_much_as_one_after_the_other() -> None:
    scale = scale_of(((0, 1, 2),), (((1.0,), (2.0,), (4.0,)),))
    at_once = learned(scale, (((2, 0, 1),), ok((((0.4,), (0.6,), (0.8,)),))), penalty=0.1)
    single = learned(
        scale,
        (((2,),), ok((((0.4,),),))),
        (((0, 1),), ok((((0.6,), (0.8,)),))),
        penalty=0.1,
    )
    assert at_once.count == single.count == 3
    assert at_once.fitness == pytest.approx(single.fitness)


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_one_failed_training_is_final(status: Status) -> None:
    """Also where a further seed was under way meanwhile, and got through."""
    good = ((0,),), ok((((0.5,),),))
    scale = scale_of(((0, 1, 2),), (((1.0,), (1.0,), (1.0,)),))
    known = learned(scale, good, (((1,),), Outcome(status)))
    assert (known.status, known.fitness, known.alive) == (status, INF, False)
    known.learn(scale, ((2,),), ok((((0.5,),),)), 0.0)
    assert (known.status, known.fitness, known.alive) == (status, INF, False)


def test_a_program_without_a_factor_that_gets_through_on_every_seed_has_failed() -> None:
    scale = scale_of(((0, 1),), (((1.0, 1.0), (1.0, 1.0)),))
    known = learned(scale, (((0,),), ok((((0.5, INF),),))), (((1,),), ok((((INF, 0.5),),))))
    assert (known.status, known.fitness, known.alive) == (Status.DIVERGED, INF, False)


def test_hurdles_are_relative_to_the_warm_start_on_the_same_seed() -> None:
    scale = scale_of(((5, 6),), (((1.0,), (1.0,)),), (((2.0, 1.0), (4.0, 0.5)),))
    assert scale.hurdles == ({5: (2.0, 1.0), 6: (4.0, 0.5)},)
    known = learned(scale, (((6, 5),), ok((((1.0,), (1.0,)),), (((4.0, 1.0), (3.0, 2.0)),))))
    assert known.hurdles == (((4 / 4 + 3 / 2) / 2, (1 / 0.5 + 2 / 1) / 2),)


def test_hurdles_are_those_of_the_first_evaluation() -> None:
    scale = scale_of(((0, 1),), (((1.0,), (1.0,)),), (((1.0,), (1.0,)),))
    known = learned(
        scale, (((0,),), ok((((1.0,),),), (((3.0,),),))), (((1,),), ok((((1.0,),),), (((9.0,),),)))
    )
    assert known.hurdles == ((3.0,),)


def test_a_training_that_was_cut_says_how_far_it_got() -> None:
    scale = scale_of(((0, 1),), (((1.0,), (1.0,)),), (((1.0, 1.0), (1.0, 1.0)),))
    cut = Outcome(Status.CUT, (((INF,),),), (((3.0, INF),),))
    known = learned(scale, (((0, 1),), cut))
    assert (known.hurdles, known.fitness) == (((3.0, INF),), INF)
