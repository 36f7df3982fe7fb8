"""The comparison after a search: references tuned fairly, everybody on the same fresh seeds."""

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats
from search_fakes import Watch

from evosearch.evaluation import Job, Outcome, Status, Tuned
from evosearch.language import builtin
from evosearch.search.progress import Silent
from evosearch.search.report import TUNING_SEEDS, Bench, Contender, Standing, compare, tune
from evosearch.study.tunable import tunable_reference
from evosearch.study.tuning import Effort
from proxy_tasks import Split

Score = Callable[[Job, int, int], Sequence[float]]
"""Metrics of (job, task, seed), one for each factor."""

BEST, WARM_START, THIRD = (builtin(name).statements for name in ("lion", "adamw", "sgd"))


class FakePool:
    """Outcomes come in random order, some at a time; a training without a finite metric has failed."""

    size = 3

    def __init__(self, score: Score) -> None:
        self.score = score
        self.jobs: list[Job] = []
        self.waiting: list[Job] = []
        self.rng = random.Random(0)

    def submit(self, jobs: Sequence[Job]) -> None:
        assert len({job.id for job in jobs}) == len(jobs)
        assert all(job.id < -1 for job in jobs), "ids of programs and of the warm start are taken"
        self.jobs += jobs
        self.waiting += jobs

    def collect(self, timeout: float | None = None) -> list[tuple[int, Outcome]]:
        self.rng.shuffle(self.waiting)
        count = self.rng.randint(1, 5)
        some, self.waiting = self.waiting[:count], self.waiting[count:]
        return [(job.id, self.outcome(job)) for job in some]

    def outcome(self, job: Job) -> Outcome:
        metrics = tuple(
            tuple(tuple(self.score(job, task, seed)) for seed in seeds)
            for task, seeds in enumerate(job.seeds)
        )
        if any(all(not math.isfinite(x) for x in row) for task in metrics for row in task):
            return Outcome(Status.DIVERGED, metrics)
        return Outcome(Status.OK, metrics)

    def close(self) -> None: ...

    def __enter__(self) -> "FakePool":
        return self

    def __exit__(self, *_: object) -> None: ...


def bench_of(
    score: Score,
    pools: tuple[tuple[int, ...], ...] = ((3, 5),),
    factors: tuple[float, ...] = (1.0,),
    units: tuple[float, ...] = (1.0, 1.0),
    seed: int = 0,
) -> tuple[Bench, FakePool]:
    pool = FakePool(score)
    return Bench(pool, pools, factors, units[: len(pools)], seed, Silent()), pool


# ---------------------------------------------------------------- tuning

ADAMW = tunable_reference("adamw")
GRIDS = tuple(ADAMW.grids.values())
OPTIMUM = (9, 3, 5, 6)
"""Places in the grids."""


def place_of(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(grid.values.index(value) for grid, value in zip(GRIDS, values, strict=True))


def planted(job: Job, task: int, seed: int) -> list[float]:
    assert isinstance(job.candidate, Tuned)
    assert job.candidate.name == "adamw"
    far = sum((a - b) ** 2 for a, b in zip(place_of(job.candidate.values), OPTIMUM, strict=True))
    return [1 + 0.01 * far + 0.1 * (seed % 2)]


def test_tuning_finds_a_planted_optimum() -> None:
    bench, _ = bench_of(planted)
    optimum = tune(bench, ADAMW, 200)
    assert sum(abs(a - b) for a, b in zip(optimum.place, OPTIMUM, strict=True)) <= 2
    assert optimum.settings == 200
    assert ADAMW.at(optimum.place) == Tuned("adamw", tuple(optimum.values.values()))


def test_tuning_is_shown_as_one_piece_of_work() -> None:
    bench, _ = bench_of(planted)
    bench.view = Watch()
    tune(bench, ADAMW, 57)
    shown = [(done, total) for name, done, total in bench.view.stages if name == "tuning adamw"]
    assert shown == [(done, 57) for done in sorted({done for done, _ in shown})]
    assert shown[-1] == (57, 57)
    assert {name for name, _, _ in bench.view.stages} <= {"tuning adamw", "finalists of tuning adamw"}


@pytest.mark.parametrize("settings", [1, 2, 3, 10, 57])
def test_tuning_tries_so_many_settings(settings: int) -> None:
    bench, pool = bench_of(planted)
    optimum = tune(bench, ADAMW, settings)
    first, finals = pool.jobs[:settings], pool.jobs[settings:]
    assert optimum.settings == len({job.candidate for job in pool.jobs}) == settings
    assert {job.candidate for job in finals} <= {job.candidate for job in first}
    assert all(job.split is Split.SEARCH for job in pool.jobs)
    assert {job.seeds for job in first} == {((3, 5)[: Effort().first],)}
    assert len(finals) == (min(settings, Effort().finalists) if Effort().first == 1 else 0)
    assert {seed for job in pool.jobs for seed in job.seeds[0]} == {3, 5}


def test_tuning_depends_on_the_seed_of_the_search_alone() -> None:
    def tried(seed: int) -> list[object]:
        bench, pool = bench_of(planted, seed=seed)
        tune(bench, ADAMW, 40)
        return [job.candidate for job in pool.jobs]

    assert tried(4) == tried(4) != tried(5)


def test_tuning_takes_a_few_of_the_searchs_seeds() -> None:
    """A few for each setting, more for the best few; a task with fewer seeds than another begins anew."""
    pools = (tuple(range(10, 50)), tuple(range(3)))
    bench, pool = bench_of(lambda job, task, seed: [1.0], pools)
    tune(bench, ADAMW, 5)
    places = range(TUNING_SEEDS)
    first, more = (
        (tuple(10 + p for p in some), tuple(p % 3 for p in some))
        for some in (places[: Effort().first], places[Effort().first :])
    )
    assert [job.seeds for job in pool.jobs] == [first] * 5 + [more] * min(5, Effort().finalists)


def test_settings_that_fail_are_not_chosen() -> None:
    def score(job: Job, task: int, seed: int) -> list[float]:
        large = place_of(job.candidate.values)[0] >= OPTIMUM[0]  # type: ignore[union-attr]
        return [math.inf if large and seed == 5 else planted(job, task, seed)[0]]

    bench, _ = bench_of(score)
    assert tune(bench, ADAMW, 200).place == (OPTIMUM[0] - 1, *OPTIMUM[1:])
    bench, _ = bench_of(lambda job, task, seed: [math.inf])
    assert tune(bench, ADAMW, 5).mean == math.inf


def test_each_setting_is_judged_at_its_best_factor() -> None:
    def score(job: Job, task: int, seed: int) -> list[float]:
        return [math.inf, planted(job, task, seed)[0], 9.0]

    bench, _ = bench_of(score, factors=(1.0, 2.0, 3.0))
    plain, _ = bench_of(planted)
    assert tune(bench, ADAMW, 20) == tune(plain, ADAMW, 20)


def test_tasks_count_in_their_own_units() -> None:
    """However large the numbers of a metric are."""
    wanted = (2, 10)

    def score(job: Job, task: int, seed: int) -> list[float]:
        far = place_of(job.candidate.values)[0] - wanted[task]  # type: ignore[union-attr]
        return [(1000.0, 1.0)[task] * (1 + far**2)]

    def lr(units: tuple[float, float]) -> int:
        return tune(bench_of(score, ((0,), (0,)), units=units)[0], ADAMW, 60).place[0]

    assert lr((1000.0, 1.0)) == 6
    assert lr((1.0, 1000.0)) == wanted[0]


# ---------------------------------------------------------------- comparison

CONTENDERS = [
    Contender("best program", BEST, 123),
    Contender("warm start", WARM_START, 1),
    Contender("another", THIRD, 7),
    Contender("adamw, tuned", Tuned("adamw", (0.1, 0.2, 0.3, 0.4)), 40),
]


def of(table: dict[object, Callable[[Split, int, int], Sequence[float]]]) -> Score:
    """Scores by candidate: functions of (split, task, seed)."""
    return lambda job, task, seed: table[job.candidate](job.split, task, seed)


RNG = np.random.Generator(np.random.Philox(key=1))
LUCK = RNG.normal(size=12)
NOISE = {name: RNG.normal(size=12) * 0.01 for name in ("best", "warm", "third", "tuned")}


def on(name: str, level: float) -> Callable[[Split, int, int], Sequence[float]]:
    """On fresh seeds all share the luck of the seed; on the search's own seeds they are all better."""
    return lambda split, task, seed: [
        level + 0.1 * LUCK[seed] + NOISE[name][seed] if split is Split.REPORT else level - 0.5
    ]


TABLE = {
    BEST: on("best", 1.0),
    WARM_START: on("warm", 1.3),
    THIRD: on("third", 1.1),
    CONTENDERS[3].candidate: on("tuned", 0.9),
}


def compared(
    table: dict[object, Callable[[Split, int, int], Sequence[float]]], **options: object
) -> list[Standing]:
    bench, _ = bench_of(of(table), **options)  # type: ignore[arg-type]
    return compare(bench, CONTENDERS, 12)


def fresh(name: str, level: float) -> np.ndarray:
    return level + 0.1 * LUCK + NOISE[name]


def test_everybody_is_compared_on_the_same_fresh_seeds() -> None:
    standings = compared(TABLE)
    assert [s.name for s in standings] == [c.name for c in CONTENDERS]
    assert [s.settings for s in standings] == [123, 1, 7, 40]
    assert [s.own for s in standings] == pytest.approx([0.5, 0.8, 0.6, 0.4])
    levels = {"best": 1.0, "warm": 1.3, "third": 1.1, "tuned": 0.9}
    ours = fresh("best", 1.0)
    assert (standings[0].difference, standings[0].interval) == (None, None)
    for standing, (name, level) in zip(standings, levels.items(), strict=True):
        scores = fresh(name, level)
        assert standing.fresh == pytest.approx(scores.mean())
        assert standing.fresh_error == pytest.approx(scores.std(ddof=1) / math.sqrt(12))
        assert standing.failed == 0
        if name != "best":
            assert standing.difference == pytest.approx((ours - scores).mean())
            assert standing.interval == pytest.approx(
                tuple(stats.ttest_rel(ours, scores).confidence_interval(0.95))
            )
            # Pairing takes the luck of the seeds away, which is ten times the noise.
            assert standing.interval is not None
            assert standing.interval[1] - standing.interval[0] < 0.05
    assert standings[3].hyperparameters == {"lr": 0.1, "decay": 0.2, "one_minus_b1": 0.3, "one_minus_b2": 0.4}
    assert standings[0].hyperparameters == {}


def test_what_is_evaluated() -> None:
    bench, pool = bench_of(of(TABLE), pools=((3, 5), (1, 2)))
    compare(bench, CONTENDERS, 6)
    own = [job for job in pool.jobs if job.split is Split.SEARCH]
    assert [(job.candidate, job.seeds) for job in own] == [
        (c.candidate, ((3, 5), (1, 2))) for c in CONTENDERS
    ]
    later = [job for job in pool.jobs if job.split is Split.REPORT]
    assert [(job.candidate, job.seeds) for job in later] == [
        (c.candidate, ((s,), (s,))) for c in CONTENDERS for s in range(6)
    ]
    assert all(job.thresholds == () for job in pool.jobs)


def test_failed_trainings_are_counted_and_left_out_of_pairs() -> None:
    def failing(seeds: set[int], name: str, level: float) -> Callable[[Split, int, int], Sequence[float]]:
        usual = on(name, level)
        return lambda split, task, seed: (
            [math.inf] if split is Split.REPORT and seed in seeds else usual(split, task, seed)
        )

    table = {**TABLE, BEST: failing({2}, "best", 1.0), THIRD: failing({2, 7, 9}, "third", 1.1)}
    standings = compared(table)
    assert [s.failed for s in standings] == [1, 0, 3, 0]
    both = [s for s in range(12) if s not in {2, 7, 9}]
    ours, third = fresh("best", 1.0), fresh("third", 1.1)
    assert standings[2].difference == pytest.approx((ours - third)[both].mean())
    assert standings[2].interval == pytest.approx(
        tuple(stats.ttest_rel(ours[both], third[both]).confidence_interval(0.95))
    )
    assert standings[2].fresh == pytest.approx(third[both].mean())
    without = [s for s in range(12) if s != 2]
    assert standings[0].fresh == pytest.approx(ours[without].mean())
    assert standings[1].difference == pytest.approx((ours - fresh("warm", 1.3))[without].mean())


def test_who_fails_everywhere_has_no_difference() -> None:
    standings = compared({**TABLE, THIRD: lambda split, task, seed: [math.inf]})
    lost = standings[2]
    assert (lost.failed, lost.own, lost.fresh, lost.difference, lost.interval) == (
        12,
        math.inf,
        math.inf,
        None,
        None,
    )
    assert math.isnan(lost.fresh_error)


def test_a_difference_without_spread() -> None:
    standings = compared({**TABLE, WARM_START: TABLE[BEST]})
    assert standings[1].difference == 0
    assert standings[1].interval == (0, 0)


def test_factors_are_chosen_on_the_searchs_own_seeds() -> None:
    """The report's seeds would choose the other one."""

    def score(split: Split, task: int, seed: int) -> list[float]:
        return [5.0, 9.0, 1.0] if split is Split.REPORT else [2.0, 1.0, math.inf]

    standings = compared(dict.fromkeys(TABLE, score), factors=(0.1, 1.0, 10.0))
    assert {s.factors for s in standings} == {(1.0,)}
    assert {(s.own, s.fresh) for s in standings} == {(1.0, 9.0)}


def test_on_several_tasks_scores_are_relative_to_the_warm_start() -> None:
    """Each task has its own unit and its own factor."""
    levels = {BEST: (8.0, 0.03), WARM_START: (10.0, 0.05), THIRD: (20.0, 0.05)}

    def score(job: Job, task: int, seed: int) -> list[float]:
        level = levels.get(job.candidate, (10.0, 0.05))[task]  # type: ignore[arg-type]
        level *= 2 if job.split is Split.REPORT else 1
        return [level, 3 * level] if task == 0 else [3 * level, level]

    bench, _ = bench_of(score, pools=((0, 1), (0, 1)), factors=(1.0, 4.0))
    standings = compare(bench, CONTENDERS, 4)
    assert {s.factors for s in standings} == {(1.0, 4.0)}
    expected = [(0.8 + 0.6) / 2, 1.0, 1.5, 1.0]
    assert [s.own for s in standings] == pytest.approx(expected)
    assert [s.fresh for s in standings] == pytest.approx(expected)
    assert standings[1].difference == pytest.approx(-0.3)


def test_a_failure_of_the_warm_start_spoils_nobody_elses_score() -> None:
    def score(job: Job, task: int, seed: int) -> list[float]:
        if job.candidate == WARM_START and job.split is Split.REPORT and seed == 1:
            return [math.inf]
        return [2.0 if job.candidate == BEST else 4.0]

    bench, _ = bench_of(score, pools=((0, 1), (0, 1)))
    standings = compare(bench, CONTENDERS, 4)
    assert [s.fresh for s in standings] == pytest.approx([0.5, 1.0, 1.0, 1.0])
    assert [s.failed for s in standings] == [0, 1, 0, 0]
