"""The engine: what it breeds, what it asks for, when it starts anew, when it ends."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from evolution_fakes import (
    ADAMW,
    EVEN,
    MUTATION,
    Drive,
    Event,
    World,
    as_late_as_allowed,
    at_once,
    hash_of,
    make_rules,
)

from evosearch.errors import SearchError
from evosearch.evaluation import Outcome, Status
from evosearch.evolution import (
    Absorbed,
    Budget,
    Child,
    Engine,
    HurdleRules,
    Known,
    Request,
    Restarts,
    SeedRules,
)
from evosearch.evolution.engine import WARM_START
from evosearch.language import Constant, Program, Statement, analyze, builtin
from evosearch.language.fingerprint import fingerprint

POOL = tuple(range(6))
CONSTANTS = replace(MUTATION, weights=(("modify", 1.0),), constants_only=True)
ACCUMULATING = SeedRules("accumulating", (POOL,), start=1, most=6, penalty=0.15)


def requested(drive: Drive) -> list[tuple[Child, Request]]:
    return [(c, c.request) for c in drive.children if c.request is not None]


def text(child: Child) -> str:
    return str(Program(child.statements))


# ---------------------------------------------------------------- aging and selection


@pytest.mark.parametrize(("population", "lag"), [(1, 1), (5, 1), (5, 3), (40, 7), (3, 20)])
def test_parents_are_the_youngest_that_have_their_place(population: int, lag: int) -> None:
    events = Drive(make_rules(population=population, lag=lag, budget=Budget(programs=1500))).run()
    ages = Counter()
    for event in events:
        absorbed = event.id - lag + 1  # so many children had their place
        alive = set(range(max(0, absorbed - population), absorbed))
        if absorbed < population:
            alive.add(WARM_START)
        assert event.parent in alive
        if absorbed >= population:
            ages[event.id - event.parent] += 1
    # Every place of the population gives parents, the youngest and the oldest included.
    assert set(ages) == set(range(lag, lag + population))


def test_a_child_is_its_parent_with_one_mutation() -> None:
    drive = Drive(make_rules())
    drive.run()
    by_id = {child.id: child.statements for child in drive.children} | {WARM_START: ADAMW}
    kinds = Counter()
    for child in drive.children:
        parent, place = by_id[child.parent], child.mutation.statement
        before, after = child.mutation.before, child.mutation.after
        old, new = [s.text for s in parent], [s.text for s in child.statements]
        assert old[place : place + 1] == [before] if before else True
        assert new == old[:place] + [after] * bool(after) + old[place + bool(before) :]
        assert analyze(child.statements).hash == child.hash.hex()
        assert sum(analyze(child.statements).live) == child.live
        kinds[child.mutation.kind] += 1
    assert set(kinds) == {"insert", "modify", "delete"}
    assert max(len(child.statements) for child in drive.children) <= MUTATION.max_statements


def mean_rank_of_parents(tournament: int) -> float:
    """0 is the best of the population at that moment, 1 the worst; 0.5 if nobody is preferred."""
    # Children that differ in constants only: hardly any two are equal, so there are few ties.
    rules = make_rules(tournament=tournament, mutation=CONSTANTS, lag=1, population=30)
    events = Drive(replace(rules, budget=Budget(programs=2000))).run()
    ranks = []
    for event in events[30:]:
        alive = [e.fitness for e in events[event.id - 30 : event.id]]
        mine = events[event.parent].fitness
        below, ties = sum(f < mine for f in alive), sum(f == mine for f in alive)
        ranks.append((below + ties / 2) / 30)
    return sum(ranks) / len(ranks)


def test_tournaments_prefer_the_better_and_a_tournament_of_one_nobody() -> None:
    none, two, five = map(mean_rank_of_parents, (1, 2, 5))
    assert none == pytest.approx(0.5, abs=0.02)
    assert two == pytest.approx(1 / 3, abs=0.04)  # the mean of the lower of two uniform numbers
    assert five == pytest.approx(1 / 6, abs=0.04)


# ---------------------------------------------------------------- the cache


@pytest.mark.parametrize("fingerprints", [False, True])
def test_each_program_is_evaluated_once(fingerprints: bool) -> None:
    drive = Drive(make_rules(fingerprint=fingerprints, budget=Budget(programs=600)))
    events = drive.run(as_late_as_allowed)
    counts = drive.engine.counts
    hits = [e for e in events if e.cache_hit]
    assert counts.generated == len(events) == 600
    assert counts.requests + counts.cache_hits == 600
    assert (counts.requests, counts.cache_hits) == (len(requested(drive)), len(hits))
    assert all((e.request is None) == e.cache_hit for e in events)
    evaluated = [e.hash for e in events if e.request is not None]
    assert len(set(evaluated)) == len(evaluated)
    assert hash_of(ADAMW) not in evaluated
    assert len(hits) > 100
    assert counts.invalid == sum(e.invalid for e in events) > 0
    assert counts.statements == sum(len(e.text) for e in events)
    assert counts.live_statements == sum(e.live for e in events)
    assert counts.steps == sum(e.steps for e in events) > 0


def test_equal_hashes_have_equal_scores() -> None:
    drive = Drive(make_rules())
    scores = defaultdict(set)
    for event in drive.run():
        scores[event.hash].add((event.fitness, event.status, event.seeds))
    assert {len(found) for found in scores.values()} == {1}
    warm_start = drive.engine.warm_start.known
    assert scores[hash_of(ADAMW)] == {(warm_start.fitness, Status.OK, 2)}


def test_a_duplicate_under_way_is_a_hit_and_gets_the_same_score() -> None:
    drive = Drive(make_rules(lag=60))
    first: dict[bytes, int] = {}
    twins = []

    def schedule(drive: Drive, child: Child | None) -> None:
        if child is not None and child.cache_hit and child.known.status is None:
            twins.append((first[child.hash], child.id))
        if child is not None:
            first.setdefault(child.hash, child.id)
        as_late_as_allowed(drive, child)

    events = drive.run(schedule)
    assert len(twins) > 5
    for one, other in twins:
        assert events[one].request is not None
        assert events[other].request is None
        assert events[other].fitness == events[one].fitness


def test_programs_that_behave_alike_share_a_score() -> None:
    drive = Drive(make_rules(fingerprint=True, budget=Budget(programs=600)))
    events = drive.run()
    scores: dict[bytes, tuple[float, Status]] = {}
    hashes: dict[bytes, set[bytes]] = defaultdict(set)
    for event in events:
        behaviour = fingerprint(drive.children[event.id].statements)
        known = behaviour in scores or behaviour == fingerprint(ADAMW)
        assert event.cache_hit == (known or event.hash in hashes[behaviour])
        assert scores.setdefault(behaviour, (event.fitness, event.status)) == (event.fitness, event.status)
        hashes[behaviour].add(event.hash)
    assert sum(len(some) > 1 for some in hashes.values()) > 3  # merged beyond the hash


# ---------------------------------------------------------------- restarts


def runs_of(events: Sequence[Event]) -> dict[tuple[int, int], list[Event]]:
    found: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        found[event.round, event.restart].append(event)
    return found


def test_runs_and_rounds() -> None:
    rules = make_rules(restarts=Restarts(rounds=3, runs=2, programs=120), budget=Budget(), lag=7)
    drive = Drive(rules)
    events = drive.run()
    assert [e.id for e in events] == list(range(720))
    runs = runs_of(events)
    assert list(runs) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert {len(run) for run in runs.values()} == {120}
    founders = set()
    for (round_, _), run in runs.items():
        first = run[0].id
        founder = WARM_START
        if round_:
            # The earliest of the best so far, the warm start included.
            known = {WARM_START: drive.engine.warm_start.known.fitness}
            known |= {e.id: e.fitness for e in events[:first]}
            founder = min(known, key=lambda i: (known[i], i))
        founders.add(founder)
        # The founder alone is alive until the first child has its place; nobody of another run ever is.
        assert {e.parent for e in run[:7]} == {founder}
        assert all(e.parent >= first or e.parent == founder for e in run)
        assert any(e.parent >= first for e in run)
    assert len(founders) > 1
    assert drive.engine.finished


def test_all_children_of_a_run_have_their_place_before_the_next_begins() -> None:
    drive = Drive(make_rules(restarts=Restarts(1, 3, 50), budget=Budget(), lag=20))

    def watch(drive: Drive, child: Child | None) -> None:
        if child is not None and child.id % 50 == 0:
            assert len(drive.events) == child.id
        as_late_as_allowed(drive, child)

    assert len(drive.run(watch)) == 150


@pytest.mark.parametrize("patience", [1, 25, 60])
def test_a_run_ends_when_it_does_not_improve(patience: int) -> None:
    rules = make_rules(restarts=Restarts(2, 3, patience=patience), budget=Budget(), lag=1)
    drive = Drive(rules)
    events = drive.run()
    runs = runs_of(events)
    assert len(runs) == 6
    for (round_, _), run in runs.items():
        first = run[0].id
        before = [e.fitness for e in events[:first]] if round_ else []
        best, improved = min([drive.engine.warm_start.known.fitness, *before]), first
        for event in run:
            if event.fitness < best:
                best, improved = event.fitness, event.id
        assert run[-1].id == improved + patience - 1 or (patience == 1 and run[-1].id == improved)


def test_patience_counts_from_the_last_improvement_known_at_that_moment() -> None:
    """With a lag, an improvement that is still under way does not save the run."""
    lag, patience = 10, 30
    events = Drive(make_rules(restarts=Restarts(1, 4, patience=patience), budget=Budget(), lag=lag)).run()
    for run in list(runs_of(events).values()):
        first, last = run[0].id, run[-1].id
        best, improved = Drive(make_rules()).engine.warm_start.known.fitness, first
        for number in range(first, last + 2):  # the ask for `number`
            seen = number - lag
            if seen >= first and events[seen].fitness < best:
                best, improved = events[seen].fitness, seen
            assert (number - improved >= patience) == (number == last + 1)


# ---------------------------------------------------------------- budgets


@pytest.mark.parametrize("lag", [1, 50])
def test_budgets_are_exact(lag: int) -> None:
    assert len(Drive(make_rules(budget=Budget(programs=123), lag=lag)).run()) == 123
    drive = Drive(make_rules(budget=Budget(evaluations=77), lag=lag))
    events = drive.run()
    assert drive.engine.counts.requests == 77
    assert events[-1].request is not None
    events = Drive(make_rules(budget=Budget(steps=1000), lag=lag)).run()
    known = len(events) - lag + 1  # so many had their place when the next child was asked for
    assert sum(e.steps for e in events[:known]) >= 1000 > sum(e.steps for e in events[: known - 1])


def test_whichever_budget_is_spent_first_counts() -> None:
    assert len(Drive(make_rules(budget=Budget(40, 10_000, 10_000_000))).run()) == 40
    drive = Drive(make_rules(budget=Budget(100_000, 30, 10_000_000)))
    drive.run()
    assert drive.engine.counts.requests == 30
    assert len(Drive(make_rules(budget=Budget(60), restarts=Restarts(1, 9, 50))).run()) == 60


def test_stop_waits_for_the_children_under_way() -> None:
    drive = Drive(make_rules(lag=30))
    for _ in range(20):
        drive.ask()
    engine = drive.engine
    engine.stop()
    assert drive.ask() is None
    assert not engine.finished
    waiting = sorted(drive.untold)
    for number in reversed(waiting):
        assert not engine.finished
        drive.tell(number)
        assert drive.ask() is None
    assert engine.finished
    assert engine.under_way == 0
    assert [e.id for e in drive.events] == list(range(20))
    uninterrupted = Drive(make_rules(lag=30)).run()
    assert uninterrupted[:20] == drive.events


# ---------------------------------------------------------------- seeds


def test_fixed_seeds_are_all_seeds() -> None:
    pools = ((3, 1), (7, 9))
    drive = Drive(make_rules(seeds=SeedRules("fixed", pools)))
    drive.run()
    assert {request.seeds for _, request in requested(drive)} == {pools}


def test_fresh_seeds_are_drawn_for_each_child() -> None:
    pools = (tuple(range(10, 18)), tuple(range(5)))
    drive = Drive(make_rules(seeds=SeedRules("fresh", pools, start=3), budget=Budget(programs=900)))
    drive.run()
    drawn = [request.seeds for _, request in requested(drive)]
    assert len(drawn) > 200
    for seeds in drawn:
        for pool, some in zip(pools, seeds, strict=True):
            assert len(set(some)) == len(some) == 3
            assert set(some) <= set(pool)
    for task, pool in enumerate(pools):
        counts = Counter(seed for seeds in drawn for seed in seeds[task])
        expected = 3 * len(drawn) / len(pool)
        assert set(counts) == set(pool)
        assert max(counts.values()) < 1.3 * expected
        assert min(counts.values()) > 0.7 * expected
    assert len(set(drawn)) > 0.9 * len(drawn)


def test_fresh_seeds_depend_on_the_child_and_on_nothing_before_it() -> None:
    """Two histories that differ from the first child on draw the same seeds for the same id."""
    seeds = SeedRules("fresh", (tuple(range(50)),), start=4)
    first, second = (Drive(make_rules(seeds=seeds, tournament=t, lag=1)) for t in (1, 5))
    first.run(), second.run()
    drawn = [{c.id: r.seeds for c, r in requested(drive)} for drive in (first, second)]
    both = set(drawn[0]) & set(drawn[1])
    assert len(both) > 30
    assert sum(text(first.children[i]) != text(second.children[i]) for i in both) > 30
    assert all(drawn[0][i] == drawn[1][i] for i in both)
    other = Drive(make_rules(seeds=seeds, seed=1, lag=1))
    other.run()
    different = {c.id: r.seeds for c, r in requested(other)}
    assert all(drawn[0][i] != different[i] for i in set(drawn[0]) & set(different))


def by_program(drive: Drive) -> list[list[Child]]:
    """Children that share a score, in order."""
    found: dict[int, list[Child]] = defaultdict(list)
    for child in drive.children:
        found[id(child.known)].append(child)
    return list(found.values())


def test_seeds_accumulate_each_time_a_program_is_bred_again() -> None:
    pools = (POOL, tuple(range(20, 30)))
    rules = make_rules(
        seeds=SeedRules("accumulating", pools, start=2, most=5, penalty=0.3),
        budget=Budget(programs=2000),
        lag=1,
    )
    drive = Drive(rules)
    events = drive.run()
    most = 0
    for children in by_program(drive):
        if children[0].hash == hash_of(ADAMW):
            assert all(c.request is None for c in children)
            continue
        alive = events[children[0].id].status is Status.OK
        for nth, child in enumerate(children):
            wanted = (2 if nth == 0 else 1) if nth == 0 or (alive and nth + 2 <= 5) else 0
            assert len(child.request.seeds[0] if child.request else ()) == wanted
            assert child.cache_hit == (nth > 0)
            assert events[child.id].seeds == (min(nth + 2, 5) if alive else 0)
        for task, pool in enumerate(pools):
            seeds = [s for c in children if c.request for s in c.request.seeds[task]]
            assert len(set(seeds)) == len(seeds)
            assert set(seeds) <= set(pool)
            most = max(most, len(seeds))
    assert most == 5
    counts = drive.engine.counts
    assert counts.requests + counts.cache_hits > counts.generated  # hits that earned a seed


def test_programs_begin_their_walk_anywhere_in_the_pool() -> None:
    drive = Drive(make_rules(seeds=ACCUMULATING, budget=Budget(programs=2000)))
    drive.run()
    first = Counter(c.request.seeds[0][0] for c in drive.children if c.request and not c.cache_hit)
    assert set(first) == set(POOL)
    assert max(first.values()) < 2 * min(first.values())


def test_a_program_goes_through_the_whole_pool() -> None:
    drive = Drive(make_rules(seeds=ACCUMULATING, budget=Budget(programs=2000)))
    drive.run()
    walks = [[s for c in children if c.request for s in c.request.seeds[0]] for children in by_program(drive)]
    whole = [walk for walk in walks if len(walk) == len(POOL)]
    assert len(whole) > 3
    assert all(sorted(walk) == list(POOL) for walk in whole)


@pytest.mark.parametrize("lag", [1, 40])
def test_fitness_is_the_mean_so_far_with_the_penalty(lag: int) -> None:
    world = World(factors=2)
    drive = Drive(make_rules(seeds=ACCUMULATING, lag=lag, budget=Budget(programs=1500)), world)
    events = drive.run()
    scale = drive.engine.scale
    base = {s: min(world.metric(hash_of(ADAMW), 0, s, f) for f in (0, 1)) for s in POOL}
    sums = [sum(world.metric(hash_of(ADAMW), 0, s, f) for s in POOL) for f in (0, 1)]
    best = sums.index(min(sums))
    base = {s: world.metric(hash_of(ADAMW), 0, s, best) for s in POOL}
    assert scale.unit == pytest.approx(min(sums) / 6)
    checked = 0
    for children in by_program(drive):
        digest, seeds = children[0].hash, []
        for child in children:
            event = events[child.id]
            seeds += child.request.seeds[0] if child.request else ()
            if digest == hash_of(ADAMW) or event.status is not Status.OK:
                continue
            means = [sum(world.metric(digest, 0, s, f) / base[s] for s in seeds) / len(seeds) for f in (0, 1)]
            assert event.seeds == len(seeds)
            assert event.fitness == pytest.approx(scale.unit * (min(means) + 0.15 / math.sqrt(len(seeds))))
            checked += len(seeds) > 2
    assert checked > 20


@pytest.mark.parametrize("lag", [1, 40])
def test_a_program_that_fails_on_one_seed_has_failed_and_gets_no_more(lag: int) -> None:
    world = World(failing=0.0, unlucky=0.15)
    drive = Drive(make_rules(seeds=ACCUMULATING, lag=lag, budget=Budget(programs=2000)), world)
    events = drive.run()
    late = 0
    for children in by_program(drive):
        failed = None
        for child in children:
            event = events[child.id]
            if failed is not None:
                assert (event.status, event.fitness) == (Status.DIVERGED, math.inf)
                # Only seeds given out before the failure was known.
                assert child.request is None or child.id < failed + lag
            seeds = child.request.seeds[0] if child.request else ()
            if any(world.fails(child.hash, 0, s) for s in seeds):
                failed = child.id if failed is None else failed
                assert (event.status, event.fitness) == (Status.DIVERGED, math.inf)
        late += failed is not None and failed > children[0].id
    assert late > 5
    assert all(math.isfinite(m.known.fitness) for m in drive.engine.leaders())


def test_a_program_under_way_for_the_first_time_earns_nothing() -> None:
    drive = Drive(make_rules(seeds=ACCUMULATING, lag=60))
    seen = 0

    def schedule(drive: Drive, child: Child | None) -> None:
        nonlocal seen
        if child is not None and child.cache_hit and child.known.status is None:
            seen += 1
            assert child.request is None
        as_late_as_allowed(drive, child)

    drive.run(schedule)
    assert seen > 5


def test_the_best_program_of_a_search_can_lose_its_place() -> None:
    drive = Drive(make_rules(seeds=replace(ACCUMULATING, penalty=0.02), budget=Budget(programs=2000), lag=1))
    best: list[float] = []
    ids: list[int] = []

    def watch(drive: Drive, child: Child | None) -> None:
        best.append(drive.engine.best().known.fitness)
        ids.append(drive.engine.best().id)
        as_late_as_allowed(drive, child)

    drive.run(watch)
    assert any(b > a for a, b in pairwise(best))
    assert any(j < i for i, j in pairwise(ids))  # back to an older one


def test_leaders_are_the_best_of_the_history() -> None:
    drive = Drive(make_rules(budget=Budget(programs=1500)))
    events = drive.run()
    earliest: dict[bytes, tuple[float, int]] = {
        hash_of(ADAMW): (drive.engine.warm_start.known.fitness, WARM_START)
    }
    for event in events:
        earliest.setdefault(event.hash, (event.fitness, event.id))
    expected = sorted(found for found in earliest.values() if math.isfinite(found[0]))[:50]
    assert [(m.known.fitness, m.id) for m in drive.engine.leaders()] == expected
    assert drive.engine.best().id == expected[0][1]


# ---------------------------------------------------------------- hurdles


@pytest.mark.parametrize("lag", [1, 10])
def test_thresholds_follow_the_population(lag: int) -> None:
    world = World(hurdles=2, failing=0.05)
    pools = ((0, 1, 2), (4, 5, 6))
    hurdles = HurdleRules(count=2, quantile=0.5, slack=0.2)
    rules = make_rules(
        seeds=SeedRules("fresh", pools, start=2), hurdles=hurdles, lag=lag, population=15,
        budget=Budget(programs=700), restarts=Restarts(1, 2, 350),
    )  # fmt: skip
    drive = Drive(rules, world)
    drive.run()
    warm_start = drive.engine.warm_start.known
    assert warm_start.hurdles == ((1.0, 1.0), (1.0, 1.0))

    def quantile(members: Sequence[Known], task: int, hurdle: int) -> float:
        ratios = sorted(k.hurdles[task][hurdle] if k.alive else math.inf for k in members)
        return ratios[len(ratios) // 2]

    levels: set[object] = set()
    ratios: list[list[float]] = []
    run, at = -1, 0
    for child in drive.children:
        if child.restart != run:
            run, at, ratios = child.restart, 0, []
        if child.request is None:
            continue
        if not ratios or child.id - at >= 64:
            at = child.id
            first = 350 * run
            absorbed = [c.known for c in drive.children[first : max(first, child.id - lag + 1)]]
            alive = ([warm_start] * 15 + absorbed)[-15:]
            ratios = [[1.2 * quantile(alive, task, h) for h in (0, 1)] for task in (0, 1)]
            levels.add(str(ratios))
        for task, seeds in enumerate(child.request.seeds):
            for place, seed in enumerate(seeds):
                assert child.request.thresholds[task][place] == pytest.approx(
                    [ratios[task][h] * world.hurdle(hash_of(ADAMW), task, seed, h) for h in (0, 1)]
                )
                assert all(map(math.isfinite, child.request.thresholds[task][place]))
    assert len(levels) > 4


def test_the_first_thresholds_of_a_run_are_those_of_its_founder() -> None:
    world = World(hurdles=1)
    drive = Drive(make_rules(hurdles=HurdleRules(1, 0.9, 0.05), lag=9), world)
    first = next(request for _, request in requested(drive_on(drive, 9)))
    losses = [world.hurdle(hash_of(ADAMW), 0, seed, 0) for seed in (0, 1)]
    assert [t[0] for t in first.thresholds[0]] == pytest.approx([1.05 * loss for loss in losses])


def drive_on(drive: Drive, children: int) -> Drive:
    for _ in range(children):
        assert drive.ask() is not None
    return drive


def test_where_too_many_fail_nothing_is_cut() -> None:
    world = World(hurdles=1, failing=0.9)
    drive = Drive(make_rules(hurdles=HurdleRules(1, 0.9, 0.05), tournament=1), world)
    drive.run()
    thresholds = [request.thresholds for _, request in requested(drive)]
    assert all(len(t) == 1 for t in thresholds)
    assert thresholds[-1] == (((math.inf,), (math.inf,)),)


def test_no_hurdles_no_thresholds() -> None:
    drive = Drive(make_rules(), World(hurdles=0))
    drive.run()
    assert {request.thresholds for _, request in requested(drive)} == {()}


def test_further_seeds_of_a_program_are_not_cut() -> None:
    drive = Drive(make_rules(seeds=ACCUMULATING, hurdles=HurdleRules(2)), World(hurdles=2))
    drive.run()
    asked = requested(drive)
    assert any(child.cache_hit for child, _ in asked)
    assert all(child.cache_hit == (request.thresholds == ()) for child, request in asked)


def test_limits_follow_the_scores_of_the_population() -> None:
    world = World(failing=0.05)
    pools = ((0, 1, 2), (4, 5, 6))
    rules = make_rules(
        seeds=SeedRules("fresh", pools, start=2), hurdles=HurdleRules(0, 0.5, 0.2, seeds=True), lag=10,
        population=15, budget=Budget(programs=400),
    )  # fmt: skip
    drive = Drive(rules, world)
    drive.run()
    scale = drive.engine.scale
    at, heights = -64, [0.0, 0.0]
    levels: set[tuple[float, ...]] = set()
    for child, request in requested(drive):
        if child.id - at >= 64:
            at = child.id
            absorbed = [c.known for c in drive.children[: max(0, child.id - 9)]]
            alive = ([drive.engine.warm_start.known] * 15 + absorbed)[-15:]
            for task in (0, 1):
                scores = sorted(min(k.sums[task]) / k.count if k.alive else math.inf for k in alive)
                heights[task] = 1.2 * scores[7]
            levels.add(tuple(heights))
        for task, seeds in enumerate(request.seeds):
            expected = [heights[task] / scale.unit * scale.metrics[task][seed] for seed in seeds]
            assert request.limits[task] == pytest.approx(expected)
    assert len(levels) > 3


def test_further_seeds_are_trained_with_the_promising_factors_only() -> None:
    world = World(factors=3)
    rules = replace(make_rules(seeds=ACCUMULATING), factor_slack=0.1)
    drive = Drive(rules, world)
    asked = []
    while not drive.engine.finished:
        child = drive.ask()
        if child is not None and child.request is not None and child.cache_hit:
            sums = child.known.sums[0]
            asked.append(child.request.factors[0])
            assert asked[-1] == tuple(f for f, s in enumerate(sums) if s <= 1.1 * min(sums))
        at_once(drive, child)
    assert {len(factors) for factors in asked} > {1}


# ---------------------------------------------------------------- control methods


def test_the_method_constants_changes_nothing_but_constants() -> None:
    drive = Drive(make_rules(method="constants", mutation=CONSTANTS))
    drive.run()

    def form(statements: Sequence[Statement]) -> list[tuple[object, ...]]:
        return [
            (s.target, s.primitive, *["c" if isinstance(a, Constant) else a for a in s.args])
            for s in statements
        ]

    assert all(form(child.statements) == form(ADAMW) for child in drive.children)
    assert {child.mutation.kind for child in drive.children} == {"modify"}
    assert len({text(child) for child in drive.children}) > 300
    changed = {s.text for child in drive.children for s in child.statements} - {s.text for s in ADAMW}
    assert {line.split(" = ")[0] for line in changed} == {"m", "v", "wd", "lr"}  # each constant


def test_the_method_random_draws_valid_programs_from_nothing() -> None:
    drive = Drive(make_rules(method="random", budget=Budget(programs=200)))
    drive.run()
    assert all(analyze(child.statements).valid for child in drive.children)
    assert {(c.parent, c.mutation.kind, c.mutation.before) for c in drive.children} == {
        (WARM_START, "random", "")
    }
    assert len({text(child) for child in drive.children}) > 190
    assert all(1 <= len(child.statements) <= MUTATION.max_statements for child in drive.children)
    assert drive.engine.counts.invalid > 1000


# ---------------------------------------------------------------- what can't be searched


def start(warm_start: tuple[Statement, ...], outcome: Outcome | None = None, **rules: object) -> Engine:
    good = Outcome(Status.OK, (((1.0,), (1.0,)),), (((), ()),))
    absorbed: list[Absorbed] = []
    return Engine(make_rules(**rules), warm_start, outcome or good, absorbed.append)


def test_an_invalid_warm_start_is_refused() -> None:
    with pytest.raises(
        SearchError, match=r"^the warm start is not a valid program: update is never defined$"
    ):
        start((Statement("m", "square", ("g",)),))
    bad = (Statement("update", "square", ("g",)), Statement("m", "interp", ("g", "m", "g")))
    with pytest.raises(SearchError, match=r"^the warm start is not a valid program: .* \(statement 2\)$"):
        start(bad)


def test_a_warm_start_that_is_too_long_is_refused() -> None:
    program8 = builtin("program8").statements
    message = r"^the warm start has 21 statements, more than mutation\.max_statements = 20$"
    with pytest.raises(SearchError, match=message):
        start(program8)
    start(program8[:0] + ADAMW, mutation=replace(MUTATION, max_statements=len(ADAMW)))


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_a_warm_start_that_does_not_train_is_refused(status: Status) -> None:
    with pytest.raises(SearchError, match=f"^the warm start does not train: {status.value}; choose another"):
        start(ADAMW, Outcome(status))


def test_a_search_that_can_breed_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evosearch.evolution.engine.MAX_ATTEMPTS", 200)
    no_constants = (Statement("update", "sign", ("g",)),)
    with pytest.raises(SearchError, match=r"^no valid child in 200 mutations; allow more kinds"):
        start(no_constants, mutation=CONSTANTS).ask()
    scalars = replace(MUTATION, weights=EVEN, primitives=("get_pi",))
    with pytest.raises(SearchError, match=r"^no valid program in 200 random ones; allow more primitives$"):
        start(ADAMW, method="random", mutation=scalars).ask()
