"""Searches from start to end: what is written, and that stopping, killing and workers change nothing."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from search_fakes import Pretend, Watch, history, tiny

from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import ConfigError, RunError, SearchError
from evosearch.evaluation import Evaluator, Job, Outcome, Plan, Status
from evosearch.evolution import Engine, python_engine
from evosearch.language import analyze, builtin, parse
from evosearch.records import Row, RunReader
from evosearch.search import resume, run
from evosearch.search.config import Config, load_config
from evosearch.search.run import Stop, Summary, run_search
from evosearch.workers import InProcessPool, Pool

pytestmark = pytest.mark.usefixtures("quick_compile")

HERE = Path(__file__).parent


def pretending(config: Config, plan: Plan) -> Pool:
    return InProcessPool(plan, Pretend)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is trained, and everybody who watches is told of everything."""
    monkeypatch.setattr(run, "make_pool", pretending)
    monkeypatch.setattr(run, "SHOW_SECONDS", 0.0)
    monkeypatch.setattr(run, "ASKS_BETWEEN_LOOKS", 8)


def replayed(config: Config) -> list[Row]:
    """The history as the engine tells it, each outcome told at once."""
    evaluator, rules = Pretend(config.plan()), config.rules()
    rows: list[Row] = []
    warm_start = config.program().statements
    baseline = evaluator.evaluate(Job(-1, warm_start, rules.seeds.pools))
    engine = Engine(rules, warm_start, baseline, lambda absorbed: rows.append(run.row_of(absorbed)))
    while not engine.finished:
        child = engine.ask()
        if child is not None and child.request is not None:
            job = Job(child.id, child.statements, child.request.seeds, thresholds=child.request.thresholds)
            engine.tell(child.id, evaluator.evaluate(job))
    return rows


def timeless(rows: list[Row]) -> list[dict[str, Any]]:
    return [{name: getattr(r, name) for name in Row.__slots__ if name != "seconds"} for r in rows]


def rows_of(folder: Path) -> list[Row]:
    reader = RunReader(folder)
    return [reader.row(i) for i in range(reader.rows)]


def stopping_after(calls: int, config: Config, folder: Path, **options: bool) -> tuple[Summary, Watch]:
    stop = Stop()

    def on_progress(count: int) -> None:
        stop.requested = stop.requested or count >= calls

    watch = Watch(on_progress)
    return run_search(config, folder, view=watch, stop=stop, **options), watch


# ---------------------------------------------------------------- what is written


def test_a_real_search_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With trainings; then stopped and resumed, in pieces."""
    built: list[Evaluator] = []

    def evaluator(plan: Plan) -> Evaluator:
        built.extend([] if built else [Evaluator(plan)])  # compiled once for both runs
        return built[0]

    monkeypatch.setattr(run, "make_pool", lambda config, plan: InProcessPool(plan, evaluator))
    monkeypatch.setattr(run, "SHOW_SECONDS", 0.0)
    monkeypatch.setattr(run, "ASKS_BETWEEN_LOOKS", 8)
    config = tiny(tmp_path, "report.references=true", "report.settings=4", "evaluation.lr_factors=[1, 10]")
    watch = Watch()
    summary = run_search(config, tmp_path / "whole", view=watch)
    assert (summary.finished, summary.programs) == (True, 150)
    assert 20 < summary.evaluated < 150
    assert summary.evaluated + summary.cache_hits == 150
    assert 0 < summary.steps <= summary.evaluated * 2 * 2 * 5
    assert [s.name for s in summary.standings] == [
        "best program",
        "warm start",
        "adamw, tuned",
        "lion, tuned",
    ]
    assert summary.best_score < summary.warm_start_score < 2
    best, warm_start = summary.standings[:2]
    assert best.own == pytest.approx(summary.best_score, rel=0.1)  # not relative to single seeds
    assert warm_start.own == pytest.approx(summary.warm_start_score)
    assert warm_start.interval is not None
    assert [s.settings for s in summary.standings] == [summary.evaluated, 1, 4, 4]
    assert list(summary.standings[2].hyperparameters) == ["lr", "decay", "one_minus_b1", "one_minus_b2"]
    stages = {name for name, _, _ in watch.stages}
    tuning = {f"{part}tuning {name}" for part in ("", "finalists of ") for name in ("adamw", "lion")}
    assert stages == {"starting workers", "training the warm start", "own seeds", "fresh seeds"} | tuning

    stopped, _ = stopping_after(9, config, tmp_path / "pieces")
    assert not stopped.finished
    assert 0 < stopped.programs < 150
    assert stopped.standings == ()
    monkeypatch.setattr(run._Session, "_compare", lambda session: [])
    assert run_search(config, tmp_path / "pieces", resume=True).programs == 150
    assert history(tmp_path / "pieces").equals(history(tmp_path / "whole"))


def test_without_machine_code_the_record_is_the_same(tmp_path: Path, fake: None) -> None:
    config = tiny(tmp_path, "search.budget.programs=300")
    native = run_search(config, tmp_path / "native")
    python = run_search(config, tmp_path / "python", engine=python_engine)
    assert timeless(rows_of(tmp_path / "python")) == timeless(rows_of(tmp_path / "native"))
    assert (python.evaluated, python.best_text) == (native.evaluated, native.best_text)


def test_the_record_is_the_history_of_the_engine(tmp_path: Path, fake: None) -> None:
    for name, overrides in {
        "plain": ["evaluation.hurdles=null"],
        "hurdles": ["evaluation.hurdles={quantile: 0.2, slack: 0}", "evaluation.lr_factors=[0.5, 1, 2]"],
        "accumulating": [
            "tasks.0.seeds=9",
            "evaluation={seeds: {policy: accumulating, penalty: 0.1}, hurdles: null}",
        ],
        "runs": [
            "search.restarts={rounds: 2, runs: 2}",
            "search.method=constants",
            "evaluation.hurdles=null",
        ],
    }.items():
        config = tiny(tmp_path, "search.budget.programs=400", *overrides)
        summary = run_search(config, tmp_path / name)
        rows = rows_of(tmp_path / name)
        assert timeless(rows) == timeless(replayed(config))
        assert summary.programs == len(rows) == 400
        assert summary.cache_hits == sum(r.cache_hit for r in rows)
        assert summary.steps == sum(r.steps for r in rows)
        assert summary.evaluated == RunReader(tmp_path / name).evaluations().num_rows
        assert any(r.outcome == "CUT" for r in rows) == (name == "hurdles")
        if name == "accumulating":
            assert summary.evaluated + summary.cache_hits > 400


def test_the_summary_and_the_best_program(tmp_path: Path, fake: None) -> None:
    config = tiny(tmp_path, "evaluation.lr_factors=[0.5, 1]")
    summary = run_search(config, tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    (best,) = reader.best()
    mine = reader.row(summary.best_id)
    assert (mine.hash, summary.best_score) == (best.hash, best.score)

    def refuse(token: str) -> None:
        raise AssertionError(token)

    best = mine
    written = json.loads((tmp_path / "run" / "summary.json").read_text(), parse_constant=refuse)
    assert written == json.loads(json.dumps(summary.to_json()))
    assert written["best"] == {
        "id": best.id,
        "score": best.score,
        "text": summary.best_text,
        "live_text": summary.best_live_text,
    }
    whole, alive = (parse(text).statements for text in (summary.best_text, summary.best_live_text))
    assert analyze(alive).hash == analyze(whole).hash
    assert {"run", "programs", "evaluated", "cache_hits", "seconds", "warm_start_score", "best"} <= set(
        written
    )
    assert written["run"] == str(tmp_path / "run")
    assert [s["name"] for s in written["standings"]] == ["best program", "warm start"]

    text = (tmp_path / "run" / "best.py").read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert str(best.id) in comments[0]
    assert f"{best.score:.6g}" in comments[0]
    factor = summary.standings[0].factors[0]
    assert comments[1] == f"# Learning-rate factor of each task: {factor:g}."
    program = parse(text)
    assert str(program) == summary.best_text
    expected = (
        best.text if factor == 1 else best.text.replace("    return", "    update = update * 0.5\n    return")
    )
    assert str(program) == expected
    assert analyze(program.statements).valid


def test_summaries_without_a_finite_number_are_json(tmp_path: Path) -> None:
    summary = Summary("r", True, 1, 1, 0, 5, 1.0, 2.0, -1, math.inf, "text", "live")
    assert json.loads(json.dumps(summary.to_json(), allow_nan=False))["best"]["score"] is None


def test_what_watchers_see(tmp_path: Path, fake: None) -> None:
    watch = Watch()
    run_search(tiny(tmp_path, "search.restarts={rounds: 2, runs: 1}"), tmp_path / "run", view=watch)
    seen = watch.progresses
    assert [p.generated for p in seen] == sorted(p.generated for p in seen)
    assert seen[-1].generated == 150
    assert seen[-1].share == 1.0
    assert all(0 <= p.share <= 1 and 0 <= p.cache_hits <= 1 and 0 <= p.redundancy <= 1 for p in seen)
    assert {p.replayed for p in seen} == {0}
    assert {p.round for p in seen[:-1]} >= {0, 1}
    assert all(parse(p.best_text) for p in seen)
    assert watch.stages[:4] == [
        ("starting workers", 0, 1),
        ("starting workers", 1, 1),
        ("training the warm start", 0, 1),
        ("training the warm start", 1, 1),
    ]


def test_budgets_in_other_units(tmp_path: Path, fake: None) -> None:
    assert run_search(tiny(tmp_path, "search.budget={evaluations: 33}"), tmp_path / "a").evaluated == 33
    steps = run_search(tiny(tmp_path, "search.budget={steps: 500}"), tmp_path / "b").steps
    assert 500 <= steps <= 500 + 17 * 10
    minutes = run_search(tiny(tmp_path, "search.budget={minutes: 0.005}"), tmp_path / "c")
    assert minutes.finished
    assert minutes.programs == RunReader(tmp_path / "c").rows > 0
    assert minutes.standings


# ---------------------------------------------------------------- workers that idle


@pytest.mark.parametrize(("size", "lag", "wanted"), [(3, 16, 120), (2, 39, 80), (2, 40, None), (1, 1, None)])
def test_a_lag_too_small_for_the_workers_is_told(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch, size: int, lag: int, wanted: int | None
) -> None:
    """It is told and not changed: the history does not depend on the workers."""
    told: list[str] = []
    config = tiny(tmp_path, f"search.lag={lag}", "search.budget.programs=60")
    run_search(config, tmp_path / "one")
    monkeypatch.setattr(InProcessPool, "size", size)
    summary = run_search(config, tmp_path / "several", say=told.append)
    assert [(f"search.lag {lag} " in t, f"set search.lag={wanted} " in t) for t in told] == (
        [(True, True)] if wanted else []
    )
    assert summary.finished
    assert history(tmp_path / "several").equals(history(tmp_path / "one"))


# ---------------------------------------------------------------- stop and resume


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["tasks.0.seeds=9", "evaluation.seeds={policy: accumulating, penalty: 0.1}"],
        ["search.restarts={rounds: 2, runs: 2, patience: 20}"],
        ["evaluation.hurdles={}", "search.fingerprint=true"],
    ],
)
def test_a_run_in_pieces_is_the_same_run(tmp_path: Path, fake: None, overrides: list[str]) -> None:
    config = tiny(tmp_path, *overrides)
    whole = run_search(config, tmp_path / "whole")
    pieces, resume, rng = 0, False, random.Random(0)
    while True:
        calls = rng.randint(1, 5 + 5 * pieces)  # few enough to be stopped while it repeats the record
        summary, _ = stopping_after(calls, config, tmp_path / "run", resume=resume)
        resume, pieces = True, pieces + 1
        assert summary.programs <= 150
        if summary.finished or pieces > 40:
            break
    assert pieces > 2
    assert history(tmp_path / "run").equals(history(tmp_path / "whole"))
    assert (summary.best_id, summary.best_score) == (whole.best_id, whole.best_score)
    assert summary.evaluated == whole.evaluated
    assert summary.standings == whole.standings
    assert (tmp_path / "run" / "best.py").read_text() == (tmp_path / "whole" / "best.py").read_text()


def test_a_finished_run_is_repeated_without_a_single_evaluation(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tmp_path)
    first = run_search(config, tmp_path / "run")
    before = history(tmp_path / "run")

    def never(self: Pretend, job: Job) -> Outcome:
        assert job.id <= -1000, "only the comparison is evaluated again"
        return Outcome(Status.OK, (((1.0,), (1.0,)),), ((), ()))

    monkeypatch.setattr(Pretend, "evaluate", never)
    watch = Watch()
    second = run_search(config, tmp_path / "run", resume=True, view=watch)
    assert history(tmp_path / "run").equals(before)
    assert (second.programs, second.evaluated, second.best_id) == (
        first.programs,
        first.evaluated,
        first.best_id,
    )
    assert second.seconds > first.seconds
    assert max(p.replayed for p in watch.progresses) == 150
    assert not any(name == "training the warm start" for name, _, _ in watch.stages)


def test_a_larger_budget_goes_on_with_a_run(tmp_path: Path, fake: None) -> None:
    run_search(tiny(tmp_path), tmp_path / "run")
    short = history(tmp_path / "run")
    more = tiny(tmp_path, "search.budget.programs=260", "report.seeds=5", "workers.count=2")
    assert run_search(more, tmp_path / "run", resume=True).programs == 260
    run_search(more, tmp_path / "whole")
    assert history(tmp_path / "run").slice(0, 150).equals(short)
    assert history(tmp_path / "run").equals(history(tmp_path / "whole"))


def test_minutes_that_are_spent_do_not_shorten_a_record(tmp_path: Path, fake: None) -> None:
    """Whoever resumes a run whose minutes are over keeps all that it found."""
    config = tiny(tmp_path, "search.budget={minutes: 0.02}")
    first = run_search(config, tmp_path / "run")
    assert first.programs > 60
    before = history(tmp_path / "run")
    second = run_search(config, tmp_path / "run", resume=True)
    assert second.programs >= first.programs
    assert second.best_score <= first.best_score
    assert history(tmp_path / "run").slice(0, first.programs).equals(before)


def test_a_stop_during_the_replay_loses_nothing(tmp_path: Path, fake: None) -> None:
    config = tiny(tmp_path)
    run_search(config, tmp_path / "run")
    best = (tmp_path / "run" / "best.py").read_text()
    before = RunReader(tmp_path / "run").summary
    assert before is not None
    for calls in (1, 3):
        stopping_after(calls, config, tmp_path / "run", resume=True)
        after = RunReader(tmp_path / "run").summary
        assert after is not None
        assert (after["programs"], after["best"]) == (150, before["best"])
        assert (tmp_path / "run" / "best.py").read_text() == best


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["seed=1"], "seed was 0 and is 1 now"),
        (["search.lag=17"], r"search\.lag was 16 and is 17 now"),
        (["name=other"], "name was 'tiny' and is 'other' now"),
        (["tasks.0.steps=6"], r"tasks\.0\.steps was 5 and is 6 now"),
        (["warm_start=lion"], "warm_start was 'adamw' and is 'lion' now"),
        (["evaluation.lr_factors=[1, 2]"], r"evaluation\.lr_factors\.1 was None and is 2\.0 now"),
        (["search.mutation.constants.std=2"], r"search\.mutation\.constants\.std was 1\.0 and is 2\.0 now"),
    ],
)
def test_another_search_is_not_resumed(tmp_path: Path, fake: None, overrides: list[str], key: str) -> None:
    stopping_after(3, tiny(tmp_path), tmp_path / "run")
    before = (tmp_path / "run" / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=f"holds another search: {key}; resume with the same values, or"):
        run_search(tiny(tmp_path, *overrides), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "config.yaml").read_text() == before


def test_a_budget_that_decides_when_runs_end_is_not_changed(tmp_path: Path, fake: None) -> None:
    several = "search.restarts={rounds: 1, runs: 2}"
    stopping_after(3, tiny(tmp_path, several), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"search\.budget\.programs was 150 and is 300 now"):
        run_search(tiny(tmp_path, several, "search.budget.programs=300"), tmp_path / "run", resume=True)


@pytest.mark.parametrize("key", ["jax", "processor", "vocabulary", "evosearch"])
def test_a_run_of_another_environment_is_not_resumed(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    config = tiny(tmp_path)
    stopping_after(3, config, tmp_path / "run")
    here = resume.made_with(config)
    monkeypatch.setattr(resume, "made_with", lambda config: {**here, key: "another"})
    wanted = "its programs and scores have" if key == "vocabulary" else "its history may not .*elsewhere"
    for elsewhere in (False, key == "vocabulary"):
        with pytest.raises(RunError, match=f"was made with {key} '.*', here it is 'another': {wanted}"):
            run_search(config, tmp_path / "run", resume=True, elsewhere=elsewhere)
    assert RunReader(tmp_path / "run").candidates().num_rows < 150  # it still opens


def test_a_run_goes_on_elsewhere_where_that_is_asked_for(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = tiny(tmp_path), tmp_path / "run"
    run_search(config, tmp_path / "whole")
    stopping_after(3, config, folder)
    rows = RunReader(folder).rows
    made = resume.made_with(config)
    here: dict[str, Any] = dict(made)
    monkeypatch.setattr(resume, "made_with", lambda config: dict(here))
    said: list[str] = []

    def go_on(calls: int, *, elsewhere: bool) -> None:
        stop = Stop()
        watch = Watch(lambda count: setattr(stop, "requested", count >= calls))
        run_search(config, folder, resume=True, elsewhere=elsewhere, view=watch, stop=stop, say=said.append)

    here["jax"] = "99.0"
    go_on(6, elsewhere=True)
    assert said == [
        f"{folder} was made with jax '{made['jax']}', here it is '99.0': what comes from now on may differ "
        f"from what would have come there; config.yaml says so (made_with.continued, from program {rows} on)"
    ]
    go_on(3, elsewhere=False)  # the same surroundings as last time need no asking
    here["jax"] = made["jax"]
    with pytest.raises(RunError, match=r"was made with jax '99\.0', here it is"):
        go_on(3, elsewhere=False)
    go_on(1000, elsewhere=True)
    kept = parse_yaml((folder / "config.yaml").read_text(), "").data["made_with"]
    first, second = kept.pop("continued")
    assert kept == made
    assert first == {"programs": rows, "jax": "99.0"}
    assert set(second) == {"programs", "jax"}
    assert second["programs"] > rows
    assert history(folder).equals(history(tmp_path / "whole"))  # these outcomes depend on no version


def test_another_vocabulary_is_refused_also_where_more_is_different(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tmp_path)
    stopping_after(3, config, tmp_path / "run")
    here = {**resume.made_with(config), "jax": "99.0", "vocabulary": "another"}
    monkeypatch.setattr(resume, "made_with", lambda config: here)
    with pytest.raises(RunError, match=r"was made with vocabulary '.*', here it is 'another': its programs"):
        run_search(config, tmp_path / "run", resume=True, elsewhere=True)


def test_what_changed_earlier_than_last_time_is_remembered(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = tiny(tmp_path), tmp_path / "run"
    stopping_after(3, config, folder)
    here: dict[str, Any] = dict(resume.made_with(config))
    monkeypatch.setattr(resume, "made_with", lambda config: dict(here))
    for name in ("jax", "numpy"):
        here[name] = "99.0"
        stopping_after(3, config, folder, resume=True, elsewhere=True)
    stopping_after(3, config, folder, resume=True)  # both are as they were the last time
    kept = parse_yaml((folder / "config.yaml").read_text(), "").data["made_with"]["continued"]
    assert [set(entry) - {"programs"} for entry in kept] == [{"jax"}, {"numpy"}]


def test_a_damaged_account_of_where_a_run_went_on(tmp_path: Path, fake: None) -> None:
    config = tiny(tmp_path)
    stopping_after(3, config, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    path.write_text(path.read_text().replace("made_with:", "made_with:\n  continued: 3"))
    with pytest.raises(RunError, match=r"made_with.continued is damaged: expected a list"):
        run_search(config, tmp_path / "run", resume=True)


def test_the_data_of_each_task_are_part_of_the_environment(tmp_path: Path, fake: None) -> None:
    texts = [tmp_path / f"{n}.txt" for n in (0, 1)]
    texts[0].write_text("to be or not to be, that is the question. " * 3000)
    texts[1].write_text("the quick brown fox jumps over the lazy dog. " * 3000)
    both = ", ".join(f"{{name: char_mlp, steps: 5, seeds: 2, path: {path}}}" for path in texts)
    config = tiny(tmp_path, f"tasks=[{both}]")
    stopping_after(3, config, tmp_path / "run")
    texts[0].write_text("all happy families are alike; " * 4000)
    with pytest.raises(RunError, match=r"was made with data\.tasks\.0 '"):
        run_search(tiny(tmp_path, f"tasks=[{both}]"), tmp_path / "run", resume=True)


def test_a_folder_that_is_taken_is_left_alone(tmp_path: Path, fake: None) -> None:
    config = tiny(tmp_path)
    stopping_after(3, config, tmp_path / "run")
    with pytest.raises(RunError, match=r"is not empty .* use --resume"):
        run_search(config, tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunError, match="is not empty"):
        run_search(config, tmp_path / "mine")
    with pytest.raises(RunError, match="is not a run"):
        run_search(config, tmp_path / "mine", resume=True)
    with pytest.raises(RunError, match="there is no run at"):
        run_search(config, tmp_path / "nowhere", resume=True)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_the_runs_own_config_goes_on_with_it(tmp_path: Path, fake: None) -> None:
    """What `config.yaml` holds is the search, whatever it was started from."""
    (tmp_path / "mine.py").write_text(str(builtin("lion")))
    config = tiny(tmp_path, f"warm_start={tmp_path / 'mine.py'}")
    stopping_after(3, config, tmp_path / "run")
    (tmp_path / "mine.py").unlink()
    again = load_config(tmp_path / "run" / "config.yaml")
    assert run_search(again, tmp_path / "run", resume=True).programs == 150
    kept = parse_yaml((tmp_path / "run" / "config.yaml").read_text(), "").data
    assert set(kept["made_with"]) >= {
        "evosearch",
        "jax",
        "jaxlib",
        "numpy",
        "processor",
        "vocabulary",
        "data",
    }


# ---------------------------------------------------------------- what can't be searched


def test_a_warm_start_that_does_not_train(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pretend, "evaluate", lambda self, job: Outcome(Status.DIVERGED))
    with pytest.raises(
        SearchError, match=r"^the warm start does not train: loss or weights stopped being finite"
    ):
        run_search(tiny(tmp_path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_exception_of_a_worker_ends_the_search_and_keeps_the_record(
    tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(tmp_path)
    evaluate = Pretend.evaluate

    def odd(self: Pretend, job: Job) -> Outcome:
        if job.id > 80:
            raise ZeroDivisionError("odd")
        return evaluate(self, job)

    with monkeypatch.context() as patch:
        patch.setattr(Pretend, "evaluate", odd)
        with pytest.raises(SearchError, match="raised ZeroDivisionError: odd"):
            run_search(config, tmp_path / "run")
    assert run_search(config, tmp_path / "run", resume=True).programs == 150
    run_search(config, tmp_path / "whole")
    assert history(tmp_path / "run").equals(history(tmp_path / "whole"))


# ---------------------------------------------------------------- crashes and workers


def recorded(folder: Path) -> int:
    """Outcomes on disk, roughly."""
    journal = folder / "journal"
    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    return lines + 1000 * len(list(folder.glob("candidates/part-*.parquet")))


def test_ray_gives_the_same_run(tmp_path: Path, fake: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two workers; `scripts/soak same` tries one, two and four of them, and many searches."""
    from evosearch.workers.ray_pool import RayPool

    overrides = ["tasks.0.seeds=9", "evaluation.seeds={policy: accumulating, penalty: 0.1}"]
    config = tiny(tmp_path, "search.budget.programs=400", *overrides)
    run_search(config, tmp_path / "0")
    monkeypatch.setenv("PYTHONPATH", str(HERE))  # workers import Pretend
    monkeypatch.setattr(run, "make_pool", lambda c, plan: RayPool(plan, 2, evaluator=Pretend))
    assert run_search(config, tmp_path / "2").programs == 400
    assert history(tmp_path / "2").equals(history(tmp_path / "0"))
