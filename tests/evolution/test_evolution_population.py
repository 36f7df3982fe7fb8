"""Selection, age, and the list of the best."""

import math
import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosearch.evaluation import Outcome, Status
from evosearch.evolution import Known, Scale
from evosearch.evolution.population import Leaders, Member, Population

SCALE = Scale(({0: 1.0, 1: 1.0},), 1.0, ({0: (), 1: ()},))


def known_of(*metrics: float) -> Known:
    known = Known()
    for metric in metrics:
        learn(known, metric)
    return known


def learn(known: Known, metric: float) -> None:
    status = Status.OK if math.isfinite(metric) else Status.DIVERGED
    known.learn(SCALE, ((0,),), Outcome(status, (((metric,),),)), 0.0)


def member(number: int, known: Known) -> Member:
    return Member(number, known, (), ())


def of_fitness(*values: float) -> Population:
    population = Population(member(-1, known_of(99.0)), len(values))
    for number, value in enumerate(values):
        population.add(member(number, known_of(value)))
    return population


def winners(population: Population, size: int, draws: int = 20_000) -> Counter[int]:
    rng = random.Random(0)
    return Counter(population.tournament(rng, size).id for _ in range(draws))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_chance_of_each_rank_is_that_of_the_best_of_a_sample(size: int) -> None:
    """The best of n drawn from p with replacement has rank r with chance ((p-r)^n - (p-r-1)^n) / p^n."""
    order = [3, 0, 4, 1, 2, 7, 6, 5]
    p, draws = len(order), 20_000
    counts = winners(of_fitness(*map(float, order)), size, draws)
    for place, rank in enumerate(order):
        expected = draws * ((p - rank) ** size - (p - rank - 1) ** size) / p**size
        assert counts[place] == pytest.approx(expected, abs=4 * math.sqrt(expected + 1))


def test_failed_programs_lose_and_ties_go_to_the_first_drawn() -> None:
    counts = winners(of_fitness(math.inf, 1.0), 8)
    assert counts[1] > 0.99 * counts.total()
    even = winners(of_fitness(1.0, 1.0, 1.0, 1.0), 3)
    assert max(even.values()) < 1.1 * min(even.values())


def test_tournaments_use_the_estimate_of_the_moment() -> None:
    population = of_fitness(1.0, 2.0)
    first = population.tournament(random.Random(0), 50)
    assert first.id == 0
    learn(first.known, 9.0)
    assert population.tournament(random.Random(0), 50).id == 1


def test_the_oldest_leaves_however_good_it_is() -> None:
    population = of_fitness(0.0, 1.0, 2.0)
    population.add(member(3, known_of(3.0)))
    assert set(winners(population, 1)) == {1, 2, 3}
    assert set(winners(population, 50)) == {1}


def test_a_population_begins_as_copies_of_its_founder() -> None:
    population = Population(member(-1, known_of(1.0)), 3)
    population.add(member(0, known_of(2.0)))
    counts = winners(population, 1)
    assert counts[-1] == pytest.approx(2 * counts[0], rel=0.1)


def with_hurdles(*ratios: float | None) -> Population:
    """None: the program failed."""
    population = Population(member(-1, known_of(1.0)), len(ratios))
    for number, ratio in enumerate(ratios):
        known = known_of(1.0 if ratio is not None else math.inf)
        known.hurdles = ((0.0, ratio if ratio is not None else 0.1),)
        population.add(member(number, known))
    return population


def test_the_quantile_at_a_hurdle() -> None:
    population = with_hurdles(5.0, 1.0, 3.0, 2.0, 4.0, 9.0, 8.0, 7.0, 6.0, 10.0)
    quantiles = [population.hurdle_quantile(0, 1, q) for q in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert quantiles == [1.0, 2.0, 6.0, 10.0, 10.0]


def test_failed_programs_count_as_the_worst_at_a_hurdle() -> None:
    population = with_hurdles(1.0, None, 2.0, None)
    assert [population.hurdle_quantile(0, 1, q) for q in (0.0, 0.25, 0.5)] == [1.0, 2.0, math.inf]


# ---------------------------------------------------------------- leaders


def test_leaders_are_few_ranked_and_distinct() -> None:
    leaders = Leaders(3)
    knowns = {value: known_of(value) for value in (5.0, 3.0, 4.0, 1.0, 2.0)}
    for number, known in enumerate(knowns.values()):
        leaders.offer(member(number, known))
        leaders.offer(member(number + 100, known))  # the same program, bred again
    assert [(m.id, m.known.fitness) for m in leaders.ranked()] == [(3, 1.0), (4, 2.0), (1, 3.0)]
    assert leaders.best().id == 3


def test_leaders_of_equal_fitness_rank_by_age() -> None:
    leaders = Leaders(9)
    for number in (4, 2, 7):
        leaders.offer(member(number, known_of(1.0)))
    assert [m.id for m in leaders.ranked()] == [2, 4, 7]
    assert leaders.best().id == 2


def test_programs_that_failed_do_not_lead() -> None:
    leaders = Leaders(3)
    leaders.offer(member(0, known_of(math.inf)))
    good = known_of(1.0)
    leaders.offer(member(1, good))
    leaders.offer(member(2, known_of(2.0)))
    assert [m.id for m in leaders.ranked()] == [1, 2]
    learn(good, math.inf)
    assert [m.id for m in leaders.ranked()] == [2]
    assert leaders.best().id == 2


def test_the_best_can_lose_its_place_when_its_mean_worsens() -> None:
    leaders = Leaders(3)
    lucky = known_of(1.0)
    leaders.offer(member(0, lucky))
    leaders.offer(member(1, known_of(2.0)))
    learn(lucky, 5.0)
    assert [m.id for m in leaders.ranked()] == [1, 0]
    assert leaders.best().id == 1


def test_a_place_becomes_free_when_a_leader_worsens() -> None:
    """Lucky programs that lead at first do not keep a sound one out for ever."""
    leaders = Leaders(2)
    lucky = [member(0, known_of(1.0)), member(1, known_of(1.1))]
    for each in lucky:
        leaders.offer(each)
    leaders.offer(member(2, known_of(2.0)))
    assert [m.id for m in leaders.ranked()] == [0, 1]
    for each in lucky:
        learn(each.known, 9.0)
        leaders.offer(member(each.id + 10, each.known))
    leaders.offer(member(3, known_of(2.0)))
    assert [m.id for m in leaders.ranked()] == [3, 0]
    learn(lucky[0].known, math.inf)
    leaders.offer(member(20, lucky[0].known))
    leaders.offer(member(4, known_of(8.0)))
    assert [m.id for m in leaders.ranked()] == [3, 4]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(1, 8))
def test_leaders_are_the_best_of_all_where_estimates_stay(values: list[int], size: int) -> None:
    leaders = Leaders(size)
    for number, value in enumerate(values):
        leaders.offer(member(number, known_of(float(value))))
    ranked = [m.known.fitness for m in leaders.ranked()]
    assert ranked == sorted(map(float, values))[:size]
    assert all(a.id < b.id for a, b in pairwise(leaders.ranked()) if a.known.fitness == b.known.fitness)
