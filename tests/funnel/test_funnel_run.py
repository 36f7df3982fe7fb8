"""A funnel in its folder: its record, the same decisions after any crash, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from funnel_fakes import MadeUpPool, Quiet, entrant, program

from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import ConfigError, EvosearchError, RunError, StudyError
from evosearch.evaluation import Plan
from evosearch.funnel import run as run_module
from evosearch.funnel.config import FunnelConfig, make_funnel
from evosearch.funnel.entrants import Entrant, of_reference
from evosearch.funnel.run import run_funnel
from evosearch.language import read_program
from evosearch.records.trainings import TrainingRow, read_trainings
from evosearch.study import trials as trials_module
from evosearch.study.ledger import Ledger

YAML = """\
name: small
stages:
  - name: one
    tasks: [{name: digits_mlp, steps: 5, width: 8, batch: 16}]
    tuning: {settings: 1, more: 2, anew: stage}
    seeds: {first: 4, most: 8}
    promote: {most: 3}
  - name: two
    tasks: [{name: digits_mlp, steps: 6, width: 8, batch: 16}, {name: digits_mlp, steps: 7, batch: 16}]
    baselines: [sgd, adamw]
    tuning: {settings: 1, more: 1, anew: stage}
    seeds: {first: 4, most: 8}
report: {seeds: 4, most: 1}
workers: {backend: in_process}
"""
QUALITY = {3.0: 0.8, 5.0: 1.0, 7.0: 1.2, 11.0: 0.7, 13.0: 0.75}
EVERYONE = (
    entrant("a run:7", 3.0, 0.1),
    entrant("same", 5.0),
    entrant("bad", 7.0),
    entrant("a run-7", 11.0),
    entrant("surplus", 13.0),
    of_reference("adamw", planted=True),
)
WRITTEN = ("result.json", "trainings/*", "survivors/*/*", "entrants.json", "config.yaml")


@pytest.fixture(scope="module", autouse=True)
def made_up() -> Any:
    """Tasks are not traced: with made-up metrics their functions mean nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials_module, "task_identity", lambda plan, task: f"{plan.tasks[task]}")
        yield


def config(*changes: tuple[str, str]) -> FunnelConfig:
    text = YAML
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return make_funnel(parse_yaml(text, "funnel.yaml"), "funnel.yaml")


class Go:
    """Runs the funnel, and keeps what it did."""

    def __init__(self) -> None:
        self.pools: list[MadeUpPool] = []
        self.view = Quiet()

    @property
    def trained(self) -> int:
        return sum(len(pool.jobs) for pool in self.pools)

    def __call__(
        self,
        folder: Path,
        made: FunnelConfig | None = None,
        sources: Sequence[str] = (),
        pick: Callable[[], Sequence[Entrant]] = lambda: EVERYONE,
        most: int = 10**9,
    ) -> Any:
        left = iter(range(most))

        def pool(plan: Plan) -> MadeUpPool:
            self.pools.append(MadeUpPool(plan, QUALITY, 0.03, lambda: next(left, None) is None))
            return self.pools[-1]

        return run_funnel(made or config(), folder, sources, pick, pool, self.view)


def nobody_again() -> Sequence[Entrant]:
    raise AssertionError("entrants are picked once")


def files(folder: Path) -> dict[str, bytes]:
    found = (path for pattern in WRITTEN for path in folder.glob(pattern))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A funnel that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "funnel"
    found = Go()(folder)
    assert [[one.name for one in staged.survivors] for staged in found.stages] == [
        ["a run-7", "surplus", "a run:7"],
        ["a run-7", "surplus", "a run:7"],
    ]
    return folder


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


# ---------------------------------------------------------------- the record


def recorded(folder: Path) -> dict[str, list[TrainingRow]]:
    return {path.stem: read_trainings(path) for path in (folder / "trainings").iterdir()}


def test_the_record_holds_every_training_once(whole: Path) -> None:
    rows = recorded(whole)
    assert set(rows) == {"one", "two"}
    for staged in result(whole)["stages"]:
        of_stage = rows[staged["stage"]]
        assert {row.stage for row in of_stage} == {staged["stage"]}
        counted = [row for row in of_stage if row.purpose != "report"]
        assert len(counted) == staged["trainings"]
        different = {row[:8] for row in of_stage}  # all but what came out
        assert len(different) == len(of_stage)
        contest = Counter(row.name for row in of_stage if row.purpose == "contest")
        people = [*staged["baselines"], *staged["entrants"]]
        assert contest == {one["name"]: one["seeds"] * len(staged["tasks"]) for one in people}
    report = Counter((row.name, row.task) for row in rows["two"] if row.purpose == "report")
    assert set(report.values()) == {4}
    assert {name for name, _ in report} == {"optax:sgd", "optax:adamw", "a run-7"}
    # The planted AdamW and the baseline share their trainings, which are recorded for both and done once.
    planted, baseline = (
        [row[1:2] + row[3:] for row in rows["one"] if row.name == name]
        for name in ("optax:adamw (planted)", "optax:adamw")
    )
    assert planted
    assert {row[4] for row in planted} == {"optax:adamw"}
    assert set(planted) <= set(baseline)
    lines = (whole / "ledger.jsonl").read_text().splitlines()
    keys = [json.loads(line)["key"] for line in lines]
    assert len(set(keys)) == len(keys) == sum(map(len, rows.values())) - len(planted)


def test_nothing_of_the_report_decides(whole: Path) -> None:
    rows = recorded(whole)
    of_purpose: dict[str, set[tuple[str, int]]] = {}
    for row in (row for rows_ in rows.values() for row in rows_):
        of_purpose.setdefault(row.purpose, set()).add((row.split, row.seed))
    assert {purpose: {split for split, _ in found} for purpose, found in of_purpose.items()} == {
        "tuning": {"SEARCH"},
        "contest": {"SELECTION"},
        "report": {"REPORT"},
    }
    seeds = [{seed for _, seed in found} for found in of_purpose.values()]
    assert len(set().union(*seeds)) == sum(map(len, seeds))
    (baseline, _, best) = result(whole)["report"]
    assert (baseline["name"], best["name"]) == ("optax:sgd", "a run-7")
    assert best["differences"]["optax:adamw"]["difference"] == pytest.approx(-0.3, abs=0.05)


def test_survivors_as_programs(whole: Path) -> None:
    """Two whose names differ in what a file's name can't hold get a file each."""
    folder = whole / "survivors" / "one"
    assert sorted(path.name for path in folder.iterdir()) == ["a-run-7-2.py", "a-run-7.py", "surplus.py"]
    for name, one in (("a-run-7", EVERYONE[3]), ("a-run-7-2", EVERYONE[0])):
        assert read_program(folder / f"{name}.py").statements == one.statements
        head = (folder / f"{name}.py").read_text().splitlines()[:2]
        assert head[0].startswith(f"# {one.name}: stage one found it better than optax:adamw by ")
        assert head[1] == "# On digits_mlp: factor 1, decay 0."


# ---------------------------------------------------------------- stopped, killed, gone on with


def test_going_on_with_a_finished_funnel_trains_nothing(whole: Path, tmp_path: Path) -> None:
    before, go = files(whole), Go()
    shutil.copytree(whole, tmp_path / "copy")
    for name in ("result.json", "trainings/two.parquet"):
        (tmp_path / "copy" / name).unlink()
    go(tmp_path / "copy", pick=nobody_again)
    assert go.trained == 0
    assert files(tmp_path / "copy") == before


def test_stopped_anywhere(whole: Path, tmp_path: Path) -> None:
    """By Ctrl-C after so many trainings; the last line may be torn, as a killed process leaves it."""
    total = len((whole / "ledger.jsonl").read_text().splitlines())
    before = files(whole)
    for number, most in enumerate([0, 1, *range(9, total, 50), total - 1, total]):
        folder, go = tmp_path / f"{most}", Go()
        try:
            go(folder, most=most)
        except KeyboardInterrupt:
            assert most < total
        else:
            assert most == total
        ledger = folder / "ledger.jsonl"
        done = ledger.read_bytes()
        assert done.count(b"\n") == most
        torn = number % 2 == 1
        if torn:
            ledger.write_bytes(done[:-30])
        again = Go()
        again(folder, pick=nobody_again)
        assert again.trained == total - most + torn
        assert files(folder) == before
        assert set(ledger.read_text().splitlines()) == set((whole / "ledger.jsonl").read_text().splitlines())


def test_killed_while_it_began(whole: Path, tmp_path: Path) -> None:
    """Before entrants are written nothing is decided: the configuration may be another's."""
    (tmp_path / "config.yaml").write_text(
        (whole / "config.yaml").read_text().replace("name: ", "name: other_")
    )
    Go()(tmp_path)
    assert files(tmp_path) == files(whole)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("config.yaml", "name: a_search\ntasks: []\n", "the config.yaml of something else"),
        ("journal", "", "journal"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(name: str, content: str, what: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=rf"is no funnel's folder, it holds {what}; choose another --out"):
        Go()(tmp_path, pick=nobody_again)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_a_record_is_not_replaced_by_a_smaller_one(whole: Path, tmp_path: Path) -> None:
    """As when a finished funnel is begun again and stopped at once."""
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = files(folder)

    def stopped(plan: Plan) -> MadeUpPool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_funnel(config(), folder, (), nobody_again, stopped, Quiet())
    assert files(folder) == before


def test_entrants_are_those_of_the_beginning(whole: Path, tmp_path: Path) -> None:
    """The run grows, or is gone; who was picked stays, and was told of."""
    source = tmp_path / "grows"
    source.mkdir()
    (source / "a.py").write_text(program(3.0))
    with pytest.raises(KeyboardInterrupt):
        Go()(tmp_path / "funnel", sources=[str(source), "lion"], most=5)
    kept = (tmp_path / "funnel" / "entrants.json").read_bytes()
    (source / "b.py").write_text(program(5.0))
    with pytest.raises(KeyboardInterrupt):
        Go()(tmp_path / "funnel", sources=[str(source), "lion"], pick=nobody_again, most=5)
    shutil.rmtree(source)
    Go()(tmp_path / "funnel", sources=[str(source), "lion"], pick=nobody_again)
    assert (tmp_path / "funnel" / "entrants.json").read_bytes() == kept
    assert result(tmp_path / "funnel")["stages"] == result(whole)["stages"]


def test_other_workers_go_on(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    Go()(tmp_path / "copy", config(("workers: {backend: in_process}", "workers: {backend: ray, count: 3}")))
    assert files(tmp_path / "copy") == files(whole)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("most: 3}", "most: 2}", r"stages\.0\.promote\.most was 3 and is 2 now"),
        ("steps: 7", "steps: 8", r"stages\.1\.tasks\.1\.steps was 7 and is 8 now"),
        ("name: small", "name: small\nseed: 4", r"seed was 0 and is 4 now"),
        ("report: {seeds: 4, most: 1}\n", "", r"report\.seeds was 4 and is 16 now"),
        ("baselines: [sgd, adamw]", "baselines: [sgd]", r"baselines\.1 was 'adamw' and is None now"),
    ],
)
def test_going_on_with_other_values(whole: Path, old: str, new: str, message: str) -> None:
    go = Go()
    with pytest.raises(ConfigError, match=f"holds another funnel: .*{message}; go on with the same") as e:
        go(whole, config((old, new)))
    assert go.pools == []
    assert "\n" not in str(e.value)


def test_going_on_with_other_sources_or_elsewhere(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"sources\.0 was None and is '.*lion' now"):
        Go()(whole, sources=["lion"])
    now = run_module.surroundings()
    monkeypatch.setattr(run_module, "surroundings", lambda: {**now, "jax": "0.0.1"})
    with pytest.raises(ConfigError, match=r"made_with\.jax was '.*' and is '0\.0\.1' now"):
        Go()(whole)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("entrants.json", b"{", r"entrants\.json is damaged"),
        ("entrants.json", b"[]", r"entrants\.json is damaged"),
        ("entrants.json", b'{"schema": 1, "entrants": []}', r"entrants\.json is damaged"),
        ("entrants.json", b'{"schema": 2, "entrants": [1]}', r"or of another evosearch"),
        ("entrants.json", b'{"schema": 1, "entrants": [1]}', r"entrants\.json, entrant 1 is damaged"),
        ("entrants.json", b"\xff", r"entrants\.json is damaged: it is not UTF-8"),
        ("config.yaml", b"\xff", r"config\.yaml is damaged: it is not UTF-8"),
        ("config.yaml", b"- 1\n", r"config\.yaml is damaged"),
        ("config.yaml", b"name: [\n", r"config\.yaml"),
        ("config.yaml", None, r"can't read .*config\.yaml"),
        ("ledger.jsonl", b"{}\n", r"ledger\.jsonl:1 is damaged"),
    ],
)
def test_damage_is_told_in_one_line(
    whole: Path, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    folder, go = tmp_path / "copy", Go()
    shutil.copytree(whole, folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(EvosearchError, match=message) as caught:
        go(folder, pick=nobody_again)
    assert go.pools == []
    assert "\n" not in str(caught.value)


def test_two_at_once(whole: Path) -> None:
    with Ledger(whole), pytest.raises(RunError, match="process"):
        Go()(whole)


# ---------------------------------------------------------------- mistakes, and stages without survivors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("    promote: {most: 3}\n", "    promote: {most: 3}\n    budget: 34\n"),
            "stage one: a budget of 34 ",
        ),
        (("    baselines: [sgd", "    budget: 49\n    baselines: [sgd"), "stage two: .* at least 50,"),
    ],
)
def test_a_budget_that_is_too_small_is_told_before_any_training(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    """Of a later stage too, for as many as may come to it; and nothing is left behind."""
    go = Go()
    with pytest.raises(StudyError, match=message):
        go(tmp_path / "funnel", config(change))
    assert go.pools == []
    assert list(tmp_path.iterdir()) == []
    go(tmp_path / "funnel", config((change[0], change[1].replace("49", "50").replace("34", "35"))))


def test_nobody_comes_through(tmp_path: Path) -> None:
    go = Go()
    found = go(tmp_path, pick=lambda: EVERYONE[1:3])
    assert go.view.stages == [("one", 2)]
    assert ([staged.survivors for staged in found.stages], found.reported) == ([()], ())
    facts = result(tmp_path)
    assert [(staged["stage"], staged["survivors"]) for staged in facts["stages"]] == [("one", [])]
    assert facts["report"] == []
    assert list((tmp_path / "survivors" / "one").iterdir()) == []
    assert {entrant["decision"] for entrant in facts["stages"][0]["entrants"]} <= {
        "worse",
        "hopeless",
        "unsettled",
    }


def test_pick_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def pick() -> Sequence[Entrant]:
        raise StudyError("nobody")

    with pytest.raises(StudyError, match="nobody"):
        Go()(tmp_path / "funnel", pick=pick)
    assert list(tmp_path.iterdir()) == []
