"""Ranks on small tasks against ranks on larger ones: what is measured, what is said, and every mistake."""

import json
import math

import numpy as np
import pytest

from evosearch.cli.main import main
from evosearch.errors import StudyError
from evosearch.evaluation import Tuned
from evosearch.language import builtin, parse, program_text
from evosearch.study import fidelity
from evosearch.study.agreement import agreement, portfolios, spearman
from evosearch.study.fidelity import FidelityPlan, measure
from evosearch.study.ledger import Ledger
from evosearch.study.standings import (
    FidelityFile,
    Standing,
    Who,
    known_candidates,
    read_fidelity,
    sampled_candidates,
    write_fidelity,
)
from evosearch.study.trials import Trials
from evosearch.workers import InProcessPool

pytestmark = pytest.mark.usefixtures("quick_compile")

NAMES = [f"p{n}" for n in range(12)]


def standing(name, task, preset, *scores):
    return Standing(
        candidate=name, task=task, preset=preset, rate=1.0, scores=list(scores), seconds=1.4, data="d"
    )


def file_of(**columns):
    """Measurements from columns such as a_tiny=[...], a score for each candidate."""
    rows = []
    for column, scores in columns.items():
        task, preset = column.rsplit("_", 1)
        rows += [
            standing(n, task, preset, s) for n, s in zip(NAMES, scores, strict=True) if s is not math.nan
        ]
    return FidelityFile(candidates=[Who(name=n, origin="test", text="") for n in NAMES], standings=rows)


UP = [float(n) for n in range(12)]
DOWN = UP[::-1]


def test_ranks_that_agree_and_that_do_not():
    file = file_of(a_tiny=UP, a_x10=[n**2 for n in UP], b_x10=DOWN)
    same = agreement(file, ("a", "tiny"), ("a", "x10"))
    assert (same.rho, same.candidates) == (pytest.approx(1.0), 12)
    assert same.interval == pytest.approx((1.0, 1.0))
    assert agreement(file, ("a", "tiny"), ("b", "x10")).rho == pytest.approx(-1.0)


def test_the_interval_holds_the_correlation_and_widens_with_noise():
    rng = np.random.RandomState(0)
    noisy = [u + 4 * rng.randn() for u in UP]
    found = agreement(file_of(a_tiny=UP, a_x10=noisy), ("a", "tiny"), ("a", "x10"))
    low, high = found.interval
    assert low < found.rho < high
    assert high - low > 0.2


def test_those_who_failed_share_the_last_rank():
    assert spearman(np.array([1, 2, 3, np.inf]), np.array([1, 2, np.inf, np.inf])) == pytest.approx(
        0.949, abs=1e-3
    )
    assert math.isnan(spearman(np.full(4, np.inf), np.arange(4.0)))


def test_a_failed_seed_is_a_failure():
    assert standing("p0", "a", "tiny", 1.0, None).mean == math.inf
    assert standing("p0", "a", "tiny", 1.0, 3.0).mean == 2.0


def test_fewer_than_five_candidates_say_nothing():
    few = [1.0, 2.0, 3.0, 4.0] + [math.nan] * 8
    assert agreement(file_of(a_tiny=UP, a_x10=few), ("a", "tiny"), ("a", "x10")) is None


def test_the_portfolio_begins_with_the_best_task_and_adds_what_helps():
    rng = np.random.RandomState(1)
    noise = 3 * rng.randn(12)
    columns = {
        "a_tiny": [u + n for u, n in zip(UP, noise, strict=True)],
        "b_tiny": [u - n for u, n in zip(UP, noise, strict=True)],  # its errors undo those of a
        "c_tiny": DOWN,
        "z_x10": UP,
    }
    found = portfolios(file_of(**columns), [("z", "x10")], most=3)
    assert set(found[1].tasks) == {"a", "b"}
    assert found[1].rho > found[0].rho
    assert found[2].rho < found[1].rho
    assert found[0].seconds == pytest.approx(0.2)


def test_no_portfolio_where_nothing_large_was_measured():
    file = file_of(a_tiny=UP, b_tiny=[math.nan, *UP[1:]])
    assert portfolios(file, []) == []
    partly = file_of(a_tiny=UP, z_x10=[math.nan, *UP[1:]])
    assert portfolios(partly, [("z", "x10")])[0].rho == pytest.approx(1.0)


def test_candidates_run_at_any_of_their_rates():
    candidates = known_candidates()
    assert len({who.name for who in candidates}) == len(candidates) >= 18
    for who in candidates:
        candidate = who.at(who.rates[3])
        if who.reference:
            assert isinstance(candidate, Tuned)
            assert candidate.values[0] == who.rates[3]
        else:
            assert candidate[-1].target == "update"
    sgd = next(who for who in candidates if who.name == "sgd")
    assert sgd.at(1.0) == builtin("sgd").statements


def test_samples_are_spread_over_the_ranks_and_repeat():
    texts = [f"text {n}" for n in range(100)]
    sample = sampled_candidates(texts, 10, "run")
    places = [int(who.name.rsplit(" ", 1)[1]) - 1 for who in sample]
    assert [place // 10 for place in places] == list(range(10))
    assert sample == sampled_candidates(texts, 10, "run")
    assert [who.text for who in sampled_candidates(texts[:3], 10, "run")] == texts[:3]


def measured(path, tmp_path, monkeypatch, presets=("tiny",)):
    monkeypatch.setattr(fidelity, "SEEDS", {"tiny": 2, "x10": 1, "x100": 1})
    candidates = tuple(w for w in known_candidates() if w.name in ("sgd", "lion", "optax:adamw (0.9, 0.95)"))
    wanted = FidelityPlan(candidates, ("digits_mlp",), presets)
    with Ledger(tmp_path / "ledger") as ledger, InProcessPool(wanted.plan) as pool:
        list(measure(wanted, Trials(wanted.plan, pool, ledger), path, "here"))
        return len(ledger)


def test_measuring_is_resumed_and_starts_where_the_smaller_task_ended(tmp_path, monkeypatch):
    path = tmp_path / "f.json"
    first = measured(path, tmp_path, monkeypatch)
    assert measured(path, tmp_path, monkeypatch) == first  # nothing left to do
    small = read_fidelity(path)
    assert {s.candidate for s in small.standings} == {"sgd", "lion", "optax:adamw (0.9, 0.95)"}
    assert all(s.mean < 0.2 for s in small.standings)
    assert all(len(s.scores) == 2 for s in small.standings)
    more = measured(path, tmp_path, monkeypatch, ("tiny", "x10"))
    assert more - first <= 3 * 7  # a line search of a few steps and one fresh seed
    assert len(read_fidelity(path).standings) == 6
    (tmp_path / "ledger" / "ledger.jsonl").unlink()
    assert measured(path, tmp_path, monkeypatch, ("tiny", "x10")) == 0  # the file alone says so


def test_the_file_comes_back_as_it_was_written(tmp_path):
    file = file_of(a_tiny=UP, a_x10=[math.nan, *DOWN[1:]])
    write_fidelity(tmp_path / "f.json", file)
    assert read_fidelity(tmp_path / "f.json") == file
    assert read_fidelity(tmp_path / "none.json") == FidelityFile()


@pytest.mark.parametrize("content", ["{", "[]", '{"standings": [{"candidate": 3}]}', '{"more": 1}'])
def test_a_damaged_file_is_told(tmp_path, content):
    path = tmp_path / "f.json"
    path.write_text(content)
    with pytest.raises(
        StudyError, match=r"f\.json: expected what `evosearch fidelity` wrote, found damage: "
    ):
        read_fidelity(path)


def test_the_command_reports_as_table_json_and_picture(tmp_path, capsys):
    path = tmp_path / "f.json"
    write_fidelity(path, file_of(digits_mlp_tiny=UP, digits_mlp_x10=UP, char_mlp_tiny=DOWN, char_mlp_x10=UP))
    plot = tmp_path / "f.png"
    arguments = ["fidelity", "--report-only", "--file", str(path)]
    assert main([*arguments, "--plot", str(plot)]) == 0
    out = capsys.readouterr().out
    assert "1.00 [1.00, 1.00]" in out
    assert "-1.00" in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert main([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    rhos = {(a["first"][0], a["second"][0]): a["rho"] for a in data["across"]}
    pairs = [(a, b) for a in ("char_mlp", "digits_mlp") for b in ("char_mlp", "digits_mlp")]
    assert rhos == pytest.approx(dict(zip(pairs, (-1.0, -1.0, 1.0, 1.0), strict=True)))
    assert data["portfolios"][0]["tasks"] == ["digits_mlp"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "x11"], "unknown preset 'x11'; did you mean 'x10'? (known: tiny, x10, x100)"),
        (["--task", "digit_mlp"], "unknown task 'digit_mlp': did you mean 'digits_mlp'?"),
        (["--report-only"], "expected measurements, found none; leave out --report-only to make them"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(tmp_path, capsys, arguments, message):
    assert main(["fidelity", "--file", str(tmp_path / "none.json"), *arguments]) == 2
    err = capsys.readouterr().err
    assert message in " ".join(err.split())


def test_the_shipped_measurements_can_be_read_and_their_programs_parse():
    from evosearch.cli.fidelity import shipped_file

    file = read_fidelity(shipped_file())
    for who in file.candidates:
        assert (who.text is None) != (who.reference is None)
        if who.text:
            assert program_text(parse(who.text, who.name).statements) == who.text


def test_a_portfolio_is_looked_at_among_all_sets_of_its_size(tmp_path, capsys):
    path = tmp_path / "f.json"
    tasks = {"digits_mlp_tiny": UP, "digits_mlp_x10": UP, "char_mlp_tiny": DOWN, "char_mlp_x10": UP}
    write_fidelity(path, file_of(**tasks, digits_mlp_x100=DOWN))
    command = ["fidelity", "--report-only", "--file", str(path), "--json", "--portfolio"]

    def said(*arguments: str) -> dict[str, object]:
        assert main([*command, *arguments]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)["prediction"]
        return found

    worse = said("char_mlp", "--preset", "x10")
    assert (worse["rho"], worse["place"], worse["sets"], worse["large"]) == (pytest.approx(-1.0), 2, 2, 2)
    assert (worse["best"], worse["best_rho"], worse["median_rho"]) == (
        ["digits_mlp"],
        pytest.approx(1.0),
        0.0,
    )
    assert said("char_mlp", "--task", "digits_mlp", "--preset", "x100")["rho"] == pytest.approx(1.0)
    assert main([*command[:-2], "--portfolio", "char_mlp"]) == 0
    assert "place 2 of 2 sets of as many small tasks" in capsys.readouterr().out
    assert main([*command, "char_mpl"]) == 2
    assert "expected tasks measured at tiny, found 'char_mpl'; did you mean 'char_mlp'?" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main([*command, "char_mlp", "--preset", "tiny"]) == 2
    assert "expected larger tasks that are measured, found none" in capsys.readouterr().err
