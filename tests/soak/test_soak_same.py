"""One history whatever happens, in a short form; `scripts/soak same --long` has the long one."""

import random
from pathlib import Path

from evosearch.evaluation import Job, Outcome, Plan, Status
from evosearch.soak import same
from evosearch.soak.same import KNOBS, ShufflingPool, check_same, random_config

KEYS = {knob: [repr(value) for value in values] for knob, values in KNOBS.items()}


def test_any_order_and_pieces_give_the_same_history(tmp_path: Path) -> None:
    report = check_same(tmp_path, 3, 1)
    assert report.broken == ()
    figures = dict(report.figures)
    assert figures["runs compared with the undisturbed one"] == 9
    assert figures["stops and resumes"] > 5


def test_every_value_of_every_knob_is_met(tmp_path: Path) -> None:
    configs = [random_config(tmp_path, random.Random(number)) for number in range(60)]
    for knob, values in KNOBS.items():
        section, key = knob.split(".")
        found = {repr(getattr(getattr(config, section), key)) for config in configs}
        assert len(found) == len(values), knob


class Forgetful:
    """Outcomes that depend on what was evaluated before: what the comparison is there to find."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.calls = plan, 0

    def evaluate(self, job: Job) -> Outcome:
        self.calls += 1
        metric = 1.0 + self.calls % 7
        factors = (metric,) * len(self.plan.factors)
        return Outcome(
            Status.OK,
            tuple(tuple(factors for _ in seeds) for seeds in job.seeds),
            tuple(tuple((metric,) * len(self.plan.hurdles) for _ in seeds) for seeds in job.seeds),
            1,
        )


def test_a_score_that_depends_on_the_past_is_found(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(same, "make_evaluator", Forgetful)
    assert check_same(tmp_path, 1, 0).broken


def test_the_shuffling_pool_gives_every_job_back_once() -> None:
    class Echo:
        def evaluate(self, job: Job) -> Outcome:
            return Outcome(Status.OK, (), (), job.id)

    pool = ShufflingPool(Echo(), random.Random(0), 4)
    pool.submit([Job(number, (), ()) for number in range(50)])
    found = [pair for _ in range(200) for pair in pool.collect(0.0)]
    assert sorted(number for number, _ in found) == list(range(50))
    assert [number for number, _ in found] != list(range(50))
    assert all(outcome.steps == number for number, outcome in found)
