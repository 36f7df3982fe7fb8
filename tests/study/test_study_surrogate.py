"""The tuner's model, and the line search: known valleys, noise, failures."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evosearch.evaluation.references import logarithmic
from evosearch.study.climb import climb
from evosearch.study.surrogate import Surrogate
from evosearch.study.tuning import Effort, tuning

SIZES = (17, 9, 10)
BOTTOM = (9, 4, 6)


def valley(place, sharpness=0.05):
    """A smooth score with its lowest point at BOTTOM."""
    return math.exp(sharpness * sum((a - b) ** 2 for a, b in zip(place, BOTTOM, strict=True)))


def drawn(count, seed=0):
    rng = random.Random(seed)
    return [tuple(rng.randrange(size) for size in SIZES) for _ in range(count)]


def test_it_expects_less_of_a_lucky_setting_than_its_score():
    rng = np.random.RandomState(0)
    places = [(x, y, 5) for x in range(0, 17, 2) for y in range(0, 9, 2)]
    scores = {place: valley(place, 0.03) * math.exp(0.1 * rng.randn()) for place in places}
    lucky = (2, 0, 5)
    scores[lucky] = min(scores.values()) * 0.97
    expected = Surrogate.fit(scores).expected
    assert min(scores, key=scores.get) == lucky
    assert sorted(expected, key=expected.get).index(lucky) > 5


def test_it_proposes_untried_settings_near_the_bottom():
    scores = {place: valley(place) for place in drawn(60)}
    proposed = Surrogate.fit(scores).propose(SIZES, 8, random.Random(0))
    assert len(set(proposed)) == 8
    assert not set(proposed) & scores.keys()
    assert np.median([valley(place) for place in proposed]) < np.quantile(list(scores.values()), 0.1)


def test_the_same_scores_and_draws_give_the_same_proposals():
    scores = {place: valley(place) for place in drawn(40)}
    once, again = (Surrogate.fit(scores).propose(SIZES, 8, random.Random(3)) for _ in range(2))
    assert once == again
    assert once != Surrogate.fit(scores).propose(SIZES, 8, random.Random(4))


def test_failures_are_bad_and_nothing_else():
    scores = {place: valley(place) for place in drawn(50)}
    failed = sorted(scores, key=scores.get)[-10:]
    model = Surrogate.fit({**scores, **dict.fromkeys(failed, math.inf)})
    assert min(model.expected, key=model.expected.get) not in failed
    everything_failed = Surrogate.fit(dict.fromkeys(scores, math.inf))
    assert len(everything_failed.propose(SIZES, 4, random.Random(0))) == 4


def test_a_grid_that_is_used_up_gives_what_is_left():
    scores = {(x, y): float(x + y) for x in range(3) for y in range(3) if (x, y) != (1, 2)}
    assert Surrogate.fit(scores).propose((3, 3), 8, random.Random(0)) == [(1, 2)]
    assert Surrogate.fit(scores).propose((3, 3), 0, random.Random(0)) == []


def test_tuning_ends_near_the_bottom_in_spite_of_noise():
    grids = {
        "lr": logarithmic(-4, 0, 4, -2),
        "decay": logarithmic(-3, 1, 2, -1, zero=True),
        "one_minus_b1": logarithmic(-2, 0, 4, -1),
    }
    bottom = (10, 5, 4)

    def excess(seed):
        noise = np.random.RandomState(seed)
        search = tuning(grids, Effort(), random.Random(seed))
        trials = next(search)
        while True:
            scores = [
                tuple(
                    math.exp(0.02 * sum((a - b) ** 2 for a, b in zip(t.place, bottom, strict=True)))
                    * math.exp(0.2 * noise.randn())
                    for _ in t.seeds
                )
                for t in trials
            ]
            try:
                trials = search.send(scores)
            except StopIteration as end:
                place = end.value.place
                return 0.02 * sum((a - b) ** 2 for a, b in zip(place, bottom, strict=True))

    assert np.mean([excess(seed) for seed in range(5)]) < 0.15


def walk(scores, start):
    """The best place by the line search, and which places it scored, in order."""
    search, asked = climb(len(scores), start), []
    place = next(search)
    while True:
        assert place not in asked
        asked.append(place)
        try:
            place = search.send(scores[place])
        except StopIteration as end:
            return end.value, asked


@given(st.integers(3, 15), st.data())
def test_the_line_search_finds_the_bottom_of_a_valley(size, data):
    bottom = data.draw(st.integers(0, size - 1))
    start = data.draw(st.none() | st.integers(0, size - 1))
    scores = [float(abs(place - bottom)) for place in range(size)]
    assert walk(scores, start)[0] == bottom


@pytest.mark.parametrize(("start", "asked"), [(3, [3, 2, 4, 5, 6]), (5, [5, 4, 6])])
def test_the_line_search_asks_for_little(start, asked):
    scores = [9.0, 8.0, 7.0, 6.0, 5.0, 1.0, 2.0, math.inf, math.nan]
    assert walk(scores, start) == (5, asked)


def test_where_everything_fails_the_line_search_goes_to_the_smallest_rate():
    assert walk([math.inf] * 5, 2) == (0, [2, 1, 0])
    assert walk([math.nan] * 4, None) == (0, [0, 2, 1])
