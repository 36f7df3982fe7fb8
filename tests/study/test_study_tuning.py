"""The tuner, with functions in place of trainings."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence

import pytest

from evosearch.evaluation import Tuned
from evosearch.evaluation.references import REFERENCES, Grid
from evosearch.language import builtin
from evosearch.study.tunable import PROGRAM_GRIDS, tunable_program, tunable_reference
from evosearch.study.tuning import Effort, Optimum, Trial, coarse, tuning

Score = Callable[[dict[str, float], int], float]

GRIDS = REFERENCES["adamw"].grids


def drive(
    grids: Mapping[str, Grid], score: Score, effort: Effort | None = None, seed: int = 0
) -> tuple[Optimum, list[tuple[Trial, ...]]]:
    """The optimum, and the batches of trials that were asked for."""
    search = tuning(grids, effort or Effort(), random.Random(seed))
    batches = [next(search)]
    while True:
        scores = [
            tuple(
                score({n: g.values[p] for (n, g), p in zip(grids.items(), trial.place, strict=True)}, s)
                for s in trial.seeds
            )
            for trial in batches[-1]
        ]
        try:
            batches.append(search.send(scores))
        except StopIteration as end:
            return end.value, batches


def bowl(best: Sequence[float], noise: float = 0.0) -> Score:
    """Smallest at these values, on a logarithmic scale."""

    def score(values: dict[str, float], seed: int) -> float:
        far = sum(math.log10(max(v, 1e-9) / b) ** 2 for v, b in zip(values.values(), best, strict=True))
        return 1 + far + noise * random.Random(f"{sorted(values.items())} {seed}").gauss(0, 1)

    return score


BEST = (0.178, 0.1, 0.2, 0.02)


def test_it_finds_a_planted_optimum() -> None:
    optimum, _ = drive(GRIDS, bowl(BEST), Effort(settings=90))
    places = {n: g.values.index(b) for (n, g), b in zip(GRIDS.items(), BEST, strict=True)}
    assert sum(abs(a - b) for a, b in zip(optimum.place, places.values(), strict=True)) <= 2
    assert dict(optimum.values) == {
        n: g.values[p] for (n, g), p in zip(GRIDS.items(), optimum.place, strict=True)
    }
    assert optimum.edge == ()
    assert optimum.mean == pytest.approx(bowl(BEST)(dict(optimum.values), 0))
    assert optimum.mean < 1.1
    assert optimum.gap > 0
    assert len(optimum.scores) == Effort().seeds


def test_with_the_usual_effort_it_comes_close_through_noise() -> None:
    found = [drive(GRIDS, bowl(BEST, noise=0.05), seed=seed)[0] for seed in range(3)]
    assert max(bowl(BEST)(dict(optimum.values), 0) for optimum in found) < 1.5


SIZES = pytest.mark.parametrize("settings", [1, 2, 3, 6, 10, 27, 48])


@SIZES
@pytest.mark.parametrize("name", ["adagrad", "adamw", "a program"])
def test_everybody_gets_as_many_settings_and_seeds(settings: int, name: str) -> None:
    """However many hyperparameters there are."""
    grids = PROGRAM_GRIDS if name == "a program" else REFERENCES[name].grids
    effort = Effort(settings=settings)
    optimum, batches = drive(grids, lambda values, seed: 1 + sum(values.values()) + 0.1 * seed, effort)
    *rounds, finals = batches
    tried = [trial.place for batch in rounds for trial in batch]
    assert len(tried) == len(set(tried)) == optimum.settings == settings
    first, more = tuple(range(effort.first)), tuple(range(effort.first, effort.seeds))
    assert all(trial.seeds == first for batch in rounds for trial in batch)
    assert all(0 <= p < len(g.values) for place in tried for p, g in zip(place, grids.values(), strict=True))
    assert all(len(batch) <= effort.round for batch in rounds[1:])
    assert len(finals) == min(effort.finalists, settings)
    assert all(trial.seeds == more for trial in finals)
    assert optimum.runs == effort.first * settings + effort.more * len(finals) <= effort.trainings
    assert len(optimum.tried) == settings


@SIZES
def test_the_coarse_grid_of_all_rows(settings: int) -> None:
    for grids in [*(row.grids for row in REFERENCES.values()), PROGRAM_GRIDS]:
        places = coarse(tuple(grids.values()), settings)
        assert 1 <= len(places) == len(set(places)) <= max(1, 0.6 * settings)
        assert {place[2:] for place in places} == {tuple(g.start for g in list(grids.values())[2:])}


def test_small_grids_are_tried_as_a_whole() -> None:
    grids = {"lr": Grid((0.1, 1.0, 10.0), 1), "decay": Grid((0.0, 0.1), 0)}
    optimum, _ = drive(grids, lambda values, seed: abs(values["lr"] - 10) + values["decay"])
    assert optimum.settings == len({tried.place for tried in optimum.tried}) == 6
    assert dict(optimum.values) == {"lr": 10.0, "decay": 0.0}


def test_the_coarse_grid() -> None:
    lr, decay, *others = GRIDS.values()
    places = coarse(tuple(GRIDS.values()), Effort().settings)
    assert sorted({place[0] for place in places}) == list(range(lr.start % 2, len(lr.values), 2))
    assert len({place[1] for place in places}) == 3
    assert {place[2:] for place in places} == {tuple(grid.start for grid in others)}
    assert decay.start in {place[1] for place in places}
    assert coarse(tuple(GRIDS.values()), 1) == [tuple(grid.start for grid in GRIDS.values())]
    # Not only the programs' grid begins at zero decay, and a program as it is comes among the first.
    assert (PROGRAM_GRIDS["factor"].start, 0) in coarse(tuple(PROGRAM_GRIDS.values()), Effort().settings)


@pytest.mark.parametrize(("hyperparameter", "index"), [("lr", 0), ("one_minus_b2", 3)])
@pytest.mark.parametrize("large", [False, True])
def test_an_optimum_at_the_edge_is_told(hyperparameter: str, index: int, large: bool) -> None:
    best = list(BEST)
    best[index] = 1e3 if large else 1e-6
    optimum, _ = drive(GRIDS, bowl(best), Effort(settings=60))
    # Nothing lies beyond 1 - beta = 1.
    assert optimum.edge == (() if large and hyperparameter != "lr" else (hyperparameter,))
    optimum, _ = drive(GRIDS, bowl([BEST[0], 1e-9, *BEST[2:]]), Effort(settings=60))
    assert (optimum.values["decay"], optimum.edge) == (0.0, ())


def test_what_is_tried_is_decided_by_the_seed() -> None:
    def asked(seed: int) -> list[tuple[Trial, ...]]:
        return drive(GRIDS, bowl(BEST), seed=seed)[1]

    assert asked(1) == asked(1) != asked(2)
    assert set(asked(1)[0]) == set(asked(2)[0])


def test_failures_are_never_chosen() -> None:
    def score(values: dict[str, float], seed: int) -> float:
        return math.inf if values["lr"] > 0.05 and seed == 0 else bowl(BEST)(values, seed)

    optimum, _ = drive(GRIDS, score, Effort(settings=120))
    assert optimum.values["lr"] == 0.0316
    assert math.isfinite(optimum.mean)


def test_who_fails_on_more_seeds_does_not_win() -> None:
    def score(values: dict[str, float], seed: int) -> float:
        return math.nan if values["lr"] == BEST[0] and seed == 6 else bowl(BEST)(values, seed)

    optimum, _ = drive(GRIDS, score, Effort(settings=120))
    assert optimum.values["lr"] != BEST[0]
    assert optimum.gap > 0


def test_when_everything_fails() -> None:
    optimum, batches = drive(GRIDS, lambda values, seed: math.inf)
    settings = Effort().settings
    assert (optimum.mean, optimum.gap, optimum.settings) == (math.inf, math.inf, settings)
    assert optimum.runs == settings * Effort().first
    assert max(len(trial.seeds) for batch in batches for trial in batch) == Effort().first


def test_the_best_mean_over_all_seeds_wins() -> None:
    """Not the one that was lucky on the first seeds."""
    first = Effort().first

    def score(values: dict[str, float], seed: int) -> float:
        lucky = values["lr"] == 0.1
        return bowl(BEST[:1])(values, seed) + (0 if not lucky else -0.5 if seed < first else 1)

    optimum, _ = drive({"lr": GRIDS["lr"]}, score, Effort(settings=17))
    assert optimum.values["lr"] == 0.178
    tried = {t.place: t.scores for t in optimum.tried}
    assert min(tried, key=lambda place: sum(tried[place][:first])) == (GRIDS["lr"].values.index(0.1),)


def test_what_is_tuned_of_whom() -> None:
    adamw = tunable_reference("adamw")
    assert adamw.at((0, 0, 0, 0)) == Tuned("adamw", (0.0001, 0.0, 0.001, 0.001))
    statements = builtin("lion").statements
    lion = tunable_program("lion", statements)
    assert lion.at(tuple(grid.start for grid in lion.grids.values())) == statements
    assert len(lion.at((0, 3))) == len(statements) + 4
