"""The law of lag: a history follows from rules and outcomes, not from when outcomes are told."""

from dataclasses import replace

import pytest
from evolution_fakes import (
    MUTATION,
    Drive,
    Event,
    Schedule,
    World,
    as_late_as_allowed,
    at_once,
    backwards_in_bursts,
    in_any_order,
    make_rules,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evosearch.evolution import Budget, Child, HurdleRules, Restarts, Rules, SeedRules

ACCUMULATING = SeedRules("accumulating", (tuple(range(8)),), start=1, most=8, penalty=0.3)
FRESH = SeedRules("fresh", (tuple(range(8)), tuple(range(5))), start=3)

SHORT = replace(MUTATION, max_statements=9)  # random programs of this length are quicker to find

SEARCHES = {
    "fixed seeds": make_rules(),
    "fresh seeds": make_rules(seeds=FRESH),
    "accumulating seeds": make_rules(seeds=ACCUMULATING),
    "random": make_rules(method="random", mutation=SHORT, budget=Budget(programs=120)),
    "hurdles": make_rules(hurdles=HurdleRules(2), population=10),
    "runs": make_rules(restarts=Restarts(2, 2, 90), seeds=ACCUMULATING),
    "patience": make_rules(restarts=Restarts(4, 3, patience=40)),
    "patience, accumulating": make_rules(restarts=Restarts(4, 3, patience=30), seeds=ACCUMULATING),
    "evaluations": make_rules(budget=Budget(evaluations=150)),
    "steps": make_rules(budget=Budget(steps=3000)),
    "steps and runs": make_rules(budget=Budget(steps=3000), restarts=Restarts(9, 9, 30)),
    "fingerprints": make_rules(fingerprint=True, budget=Budget(programs=250)),
    "a cache of few": make_rules(cache=3),
    "a cache of few, accumulating": make_rules(cache=3, seeds=ACCUMULATING),
    "a cache of few, fingerprints": make_rules(cache=3, fingerprint=True, budget=Budget(programs=250)),
}

WORLD = World(hurdles=2, unlucky=0.05)


def history(rules: Rules, schedule: Schedule | None = None) -> list[Event]:
    return Drive(rules, WORLD).run(schedule)


@pytest.mark.parametrize("lag", [1, 7, 128])
@pytest.mark.parametrize("name", SEARCHES)
def test_a_history_does_not_depend_on_when_outcomes_are_told(name: str, lag: int) -> None:
    rules = replace(SEARCHES[name], lag=lag)
    expected = history(rules)
    assert len(expected) > 100
    assert history(rules, as_late_as_allowed) == expected
    assert history(rules, backwards_in_bursts) == expected


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(sorted(SEARCHES)),
    lag=st.sampled_from([1, 2, 7, 40, 128]),
    order=st.integers(0, 2**32),
    share=st.sampled_from([0.02, 0.1, 0.5, 0.9]),
)
def test_a_history_does_not_depend_on_random_delays(name: str, lag: int, order: int, share: float) -> None:
    rules = replace(SEARCHES[name], lag=lag)
    if rules.budget.programs:
        rules = replace(rules, budget=Budget(programs=120))
    assert history(rules, in_any_order(order, share)) == history(rules)


@pytest.mark.parametrize("name", ["fixed seeds", "accumulating seeds", "random", "hurdles", "fingerprints"])
def test_the_lag_itself_is_part_of_the_rules(name: str) -> None:
    if name == "random":  # nothing is bred from the population
        assert [e.hash for e in history(replace(SEARCHES[name], lag=1))] == [
            e.hash for e in history(replace(SEARCHES[name], lag=9))
        ]
    else:
        assert history(replace(SEARCHES[name], lag=1)) != history(replace(SEARCHES[name], lag=9))


@pytest.mark.parametrize("lag", [1, 7, 128])
@pytest.mark.parametrize("schedule", [as_late_as_allowed, backwards_in_bursts, in_any_order(0, 0.01)])
def test_ask_waits_exactly_when_the_lag_demands_an_outcome(lag: int, schedule: Schedule) -> None:
    waits = 0

    def watch(drive: Drive, child: Child | None) -> None:
        nonlocal waits
        bred = len(drive.children)
        if child is not None:
            assert child.id == bred - 1
            assert all(number > child.id - lag for number in drive.untold)
        elif bred < 400:
            assert min(drive.untold) <= bred - lag
            waits += 1
        assert drive.engine.under_way <= lag
        schedule(drive, child)

    drive = Drive(make_rules(lag=lag, budget=Budget(programs=400)))
    events = drive.run(watch)
    assert [event.id for event in events] == list(range(400))
    assert waits > 1


def test_children_take_their_place_exactly_lag_behind() -> None:
    """However early outcomes come."""
    drive = Drive(make_rules(lag=7))
    for number in range(100):
        assert drive.ask() is not None
        at_once(drive, None)
        assert [event.id for event in drive.events] == list(range(max(0, number - 6)))


def test_an_engine_that_waits_stays_as_it_is() -> None:
    drive = Drive(make_rules(lag=4))
    while drive.ask() is not None:
        pass
    bred = len(drive.children)
    for _ in range(5):
        assert drive.ask() is None
    drive.tell(min(drive.untold))
    assert drive.ask() is not None
    assert len(drive.children) == bred + 1


@pytest.mark.parametrize("method", ["evolution", "constants", "random"])
@pytest.mark.parametrize("seeds", [SEARCHES["fixed seeds"].seeds, ACCUMULATING, FRESH])
def test_a_larger_budget_continues_the_same_history(method: str, seeds: SeedRules) -> None:
    mutation = SHORT if method == "random" else MUTATION
    if method == "constants":
        mutation = replace(mutation, weights=(("modify", 1.0),), constants_only=True)
    rules = make_rules(method=method, seeds=seeds, mutation=mutation)
    short = history(replace(rules, budget=Budget(programs=1000 if method != "random" else 100)))
    long = history(replace(rules, budget=Budget(programs=2000 if method != "random" else 200)))
    assert len(long) == 2 * len(short)
    assert long[: len(short)] == short


def test_another_seed_is_another_history() -> None:
    first, second = history(make_rules(seed=0)), history(make_rules(seed=1))
    same = sum(a.text == b.text for a, b in zip(first, second, strict=True))
    assert same < len(first) / 10


def test_a_forgotten_program_is_evaluated_again() -> None:
    evaluated = [
        [event.hash for event in history(make_rules(cache=cache)) if event.steps] for cache in (3, 1000)
    ]
    again = [len(hashes) - len(set(hashes)) for hashes in evaluated]
    assert again[0] > again[1] == 0
