"""One reference against another: differences, whether they are established, and how easily they are seen."""

import json
import math

import pytest

from evosearch.cli.main import main
from evosearch.study.rivals import rivalries
from evosearch.study.tuned import ScheduleRecord, TunedRecord, TunedScores, write_tuned


def record(reference, repeat, scores, task="digits_mlp", seconds=0.0005):
    grids = ["lr", "decay", "one_minus_b1", "one_minus_b2"]
    empty = TunedScores(mean=None, error=None, scores=[])
    return TunedRecord(
        task=task,
        knobs={},
        schedule=ScheduleRecord(kind="cosine", warmup=0.1),
        clip=None,
        reference=reference,
        repeat=repeat,
        hyperparameters=dict.fromkeys(grids, 0.1),
        settings=2,
        runs=2,
        edge=[],
        gap=None,
        tuning=empty,
        report=TunedScores(mean=None, error=None, scores=list(scores)),
        steps=200,
        seconds_per_step=seconds,
        data="d",
        versions={},
        machine="m",
    )


def test_a_difference_on_which_seeds_and_tunings_agree():
    records = [
        record("lion", 0, [1.0, 2.0, 3.0]),
        record("lion", 1, [1.1, 2.1, 3.1]),
        record("adamw", 0, [2.0, 3.1, 3.9]),
        record("adamw", 1, [2.0, 3.1, 3.9]),
    ]
    (found,) = rivalries(records, "lion", "adamw")
    assert found.first == pytest.approx((2.0, 2.1))
    assert found.second == pytest.approx((3.0, 3.0))
    assert found.difference == pytest.approx(-0.95)
    assert found.interval[0] < -0.95 < found.interval[1] < 0
    assert found.spread == pytest.approx((-1.0, -0.9))
    assert found.established
    assert found.effect == pytest.approx(-9.5)
    assert found.seeds == pytest.approx((2 / 9.5) ** 2)
    assert found.seconds == pytest.approx(0.1)
    assert found.signal == pytest.approx(9.5 / math.sqrt(0.2))
    (reverse,) = rivalries(records, "adamw", "lion")
    assert reverse.difference == -found.difference


def test_tunings_that_disagree_establish_nothing():
    records = [
        record("lion", 0, [1.0, 2.0, 3.0]),
        record("lion", 1, [4.0, 5.0, 6.1]),
        record("adamw", 0, [2.0, 3.0, 4.0]),
    ]
    (found,) = rivalries(records, "lion", "adamw")
    assert found.interval[0] > 0
    assert found.spread[0] < 0 < found.spread[1]
    assert not found.established


def test_seeds_that_failed_are_left_out_and_too_few_say_nothing():
    failed = [record("lion", 0, [1.0, None, 3.0]), record("adamw", 0, [2.0, 5.0, 4.5])]
    assert rivalries(failed, "lion", "adamw")[0].difference == pytest.approx(-1.25)
    assert rivalries([failed[0], record("adamw", 0, [1.0, 2.0, None])], "lion", "adamw") == []
    assert rivalries(failed[:1], "lion", "adamw") == []


def test_no_difference_at_all():
    (found,) = rivalries([record("lion", 0, [1.0, 2.0]), record("adamw", 0, [1.0, 2.0])], "lion", "adamw")
    assert (found.difference, found.effect, found.seeds, found.signal) == (0.0, None, math.inf, 0.0)
    assert not found.established


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tuned.json"
    dear = [
        record(n, 0, s, "char_mlp", 0.05) for n, s in (("lion", [1.0, 2.0, 3.0]), ("adamw", [2.0, 3.1, 3.9]))
    ]
    cheap = [record(n, 0, s) for n, s in (("lion", [3.0, 3.1, 4.2]), ("adamw", [2.0, 2.0, 3.0]))]
    write_tuned(path, [*dear, *cheap])
    return str(path)


def test_the_command_prints_the_clearest_first(file, capsys):
    assert main(["tune", "--rivals", "lion", "adamw", "--file", file]) == 0
    out = capsys.readouterr().out
    assert out.index("digits_mlp") < out.index("char_mlp")
    assert main(["tune", "--rivals", "lion", "adamw", "--file", file, "--task", "char_mlp", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["task"] for row in data["tasks"]] == ["char_mlp"]
    assert data["tasks"][0]["difference"] == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lion", "adanw"], "unknown reference 'adanw'; did you mean 'adamw'?"),
        (["lion", "sgd"], "expected records of lion and sgd on the same task, found none"),
    ],
)
def test_mistakes_of_rivals(file, capsys, names, message):
    assert main(["tune", "--rivals", *names, "--file", file]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
