"""The schema of a search: defaults, limits, and what people are told."""

from pathlib import Path
from typing import Any

import pytest

from evosearch.config.yaml_file import dump_yaml, parse_yaml
from evosearch.errors import ConfigError
from evosearch.evaluation import Plan, Schedule, TaskPlan
from evosearch.evaluation.flow import Capacity
from evosearch.evolution import Budget, HurdleRules, Restarts, Rules, SeedRules
from evosearch.language import Constant, builtin, parse
from evosearch.language.mutation import ConstantRules, MutationRules, Statements
from evosearch.language.vocabulary import vocabulary
from evosearch.search.config import Config, load_config, make_config, resolved

ROOT = Path(__file__).parents[2]

MINIMAL = """\
name: x
tasks:
  - {name: digits_mlp}
search:
  budget: {programs: 10}
"""


def config(text: str = MINIMAL, *overrides: str) -> Config:
    document = parse_yaml(text, "f.yaml")
    return make_config(document, "f.yaml") if not overrides else override(text, *overrides)


def override(text: str, *overrides: str) -> Config:
    """As on the command line; the file is written where the test runs."""
    path = Path("f.yaml")
    path.write_text(text)
    return load_config(path, overrides)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- what a YAML means

DEFAULTS: dict[str, Any] = {
    "name": "x",
    "seed": 0,
    "warm_start": "adamw",
    "vocabulary": "paper",
    "tasks": [
        {"name": "digits_mlp", "seeds": 4, "schedule": {"kind": "cosine", "warmup": 0.1}, "clip": None}
    ],
    "search": {
        "method": "evolution",
        "population": 200,
        "tournament": 2,
        "lag": 128,
        "mutation": {
            "insert": 1.0,
            "modify": 1.0,
            "delete": 1.0,
            "max_statements": 40,
            "constants": {"share": 0.3, "std": 1.0, "scale_share": 0.5, "scale_std": 1.0},
        },
        "restarts": {"rounds": 1, "runs": 1, "programs": None, "patience": None},
        "budget": {"programs": 10, "evaluations": None, "steps": None, "minutes": None},
        "fingerprint": True,
        "cache": 20_000,
    },
    "evaluation": {
        "way": "interpreter",
        "interpreter": "auto",
        "batch": 64,
        "lr_factors": [1.0],
        "factor_slack": None,
        "seeds": {"policy": "fixed", "start": 1, "most": None, "penalty": 0.0},
        "hurdles": {"at": [0.25, 0.5], "seeds": True, "quantile": 0.5, "slack": 0.05},
        "timeout": 300.0,
        "retries": 2,
    },
    "workers": {"backend": "ray", "count": "auto", "address": None},
    "report": {"references": True, "settings": 200, "seeds": 16},
}


def test_every_default() -> None:
    assert resolved(config()) == DEFAULTS
    without = resolved(config(MINIMAL + "evaluation: {hurdles: null}\n"))["evaluation"]["hurdles"]
    assert without is None
    vocabulary_ = resolved(config(MINIMAL + "vocabulary: {}\n"))["vocabulary"]
    assert vocabulary_ == {"base": "paper", "include": [], "exclude": []}


FULL = """\
name: full.1-a
seed: 7
warm_start: lion
vocabulary: {base: all, include: [negative], exclude: [sin, cos]}
tasks:
  - {name: digits_mlp, steps: 20, width: 8, batch: 16, seeds: [3, 1, 4], schedule: {kind: linear, warmup: 0}}
  - {name: char_mlp, steps: 30, seeds: 5}
search:
  method: evolution
  population: 50
  tournament: 3
  lag: 9
  mutation:
    insert: 2
    modify: 0.5
    delete: 0
    max_statements: 60
    constants: {share: 0.1, std: 2, scale_share: 0.2, scale_std: 3}
  restarts: {rounds: 2, runs: 3, patience: 40}
  budget: {programs: 1001, evaluations: 500, steps: 100000, minutes: 1.5}
  fingerprint: false
evaluation:
  way: compiled
  lr_factors: [0.3, 1, 3e0]
  seeds: {policy: accumulating, start: 2, most: 3, penalty: 0.25}
  hurdles: {at: [0.1, 0.6], quantile: 0.8, slack: 0.5}
  timeout: 12.5
  retries: 0
workers: {backend: in_process, count: 3, address: "host:1234"}
report: {references: false, settings: 7, seeds: 2}
"""


def test_what_every_key_means() -> None:
    found = config(FULL)
    assert found.rules() == Rules(
        seed=7,
        method="evolution",
        population=50,
        tournament=3,
        lag=9,
        mutation=MutationRules(
            (("insert", 2.0), ("modify", 0.5), ("delete", 0.0)),
            vocabulary("all", exclude=("sin", "cos")),
            60,
            ConstantRules(0.1, 2.0, 0.2, 3.0),
        ),
        restarts=Restarts(2, 3, 1001 // 6, 40),
        budget=Budget(1001, 500, 100000),
        seeds=SeedRules("accumulating", ((3, 1, 4), (0, 1, 2, 3, 4)), 2, 3, 0.25),
        hurdles=HurdleRules(2, 0.8, 0.5, seeds=True),
        fingerprint=False,
    )
    assert found.plan() == Plan(
        tasks=(
            TaskPlan("digits_mlp", (("steps", 20), ("width", 8), ("batch", 16)), Schedule("linear", 0.0)),
            TaskPlan("char_mlp", (("steps", 30),), Schedule("cosine", 0.1)),
        ),
        factors=(0.3, 1.0, 3.0),
        hurdles=(0.1, 0.6),
        way="compiled",
        capacity=Capacity(60),
    )
    assert found.program() == builtin("lion")


def test_the_method_constants_mutates_constants_only() -> None:
    mutation = config(MINIMAL, "search.method=constants").rules().mutation
    assert mutation.constants_only
    assert [name for name, weight in mutation.weights if weight] == ["modify"]


def test_runs_share_the_budget_unless_told_otherwise() -> None:
    def restarts(*overrides: str) -> Restarts:
        return config(MINIMAL, *overrides).rules().restarts

    assert restarts("search.budget.programs=100").programs is None
    assert restarts("search.budget.programs=100", "search.restarts={rounds: 2, runs: 3}").programs == 16
    assert restarts("search.budget.programs=3", "search.restarts={rounds: 2, runs: 3}").programs == 1
    assert restarts("search.restarts={rounds: 2, runs: 3, programs: 70}").programs == 70
    assert restarts("search.budget={minutes: 1}", "search.restarts={runs: 3, patience: 9}").programs is None


def test_seeds_accumulate_through_the_smallest_pool_by_default() -> None:
    text = FULL.replace("most: 3, ", "")
    assert config(text).rules().seeds.most == 3
    assert config(MINIMAL, "tasks.0.seeds=7").rules().seeds.most == 7


def test_small_programs_still_have_room() -> None:
    assert config(MINIMAL, "search.mutation.max_statements=12").plan().capacity == Capacity(40)


SEARCHES = [path for path in sorted((ROOT / "configs").glob("*.yaml")) if "\nsearch:" in path.read_text()]


@pytest.mark.parametrize("path", SEARCHES, ids=lambda p: p.name)
def test_shipped_files_load(path: Path) -> None:
    found = load_config(path)
    assert found.name == path.stem
    found.rules(), found.plan(), found.program()


@pytest.mark.parametrize("text", [MINIMAL, FULL])
def test_what_a_run_keeps_is_the_same_search(text: str) -> None:
    first = config(text)
    kept = dump_yaml({**resolved(first), "made_with": {"jax": "1.2.3", "data": {"x": "y"}}})
    second = config(kept)
    assert resolved(second) == resolved(first)
    assert (second.rules(), second.plan(), second.program()) == (first.rules(), first.plan(), first.program())
    assert dump_yaml(resolved(second)) == dump_yaml(resolved(first))


# ---------------------------------------------------------------- warm start


def test_a_warm_start_from_a_file_is_kept_as_text(folder: Path) -> None:
    program = parse("def train(w, g, m, v, lr):\n    # mine\n    update = g * 0.1\n    return update, m, v\n")
    (folder / "mine.py").write_text("# a comment\n" + str(program))
    found = config(MINIMAL, "warm_start=mine.py")
    assert found.warm_start == str(program)
    kept = dump_yaml(resolved(found))
    assert "\nwarm_start: |\n  def train(w, g, m, v, lr):\n      update = g * 0.1\n" in kept
    (folder / "mine.py").unlink()
    again = config(kept)
    assert again.program() == program
    assert resolved(again) == resolved(found)


def test_a_warm_start_may_be_text() -> None:
    text = (
        MINIMAL
        + "warm_start: |\n  def train(w, g, m, v, lr):\n    update = g * 0.5\n    return update, m, v\n"
    )
    statements: Statements = config(text).program().statements
    assert statements[0].args == ("g", Constant(0.5))


def test_paths_are_kept_absolute(folder: Path) -> None:
    (folder / "text.txt").write_text("to be or not to be, that is the question. " * 2000)
    text = MINIMAL.replace("digits_mlp", "char_mlp, path: text.txt, steps: 3")
    found = resolved(config(text))["tasks"][0]
    assert found["path"] == str(folder / "text.txt")
    assert found["steps"] == 3


# ---------------------------------------------------------------- unknown keys

UNKNOWN = {
    "": ("f.yaml:6: unknown key 'seeed'; did you mean 'seed'? (known here: name, seed, ", "seeed: 3\n"),
    "evaluation": (
        "f.yaml:7: unknown key 'evaluation.lr_factor'; did you mean 'lr_factors'?",
        "evaluation:\n  lr_factor: [1]\n",
    ),
    "evaluation.seeds": (
        "f.yaml:8: unknown key 'evaluation.seeds.polcy'; did you mean 'policy'? (known here: policy, start, ",
        "evaluation:\n  seeds:\n    polcy: fixed\n",
    ),
    "evaluation.hurdles": (
        "f.yaml:6: unknown key 'evaluation.hurdles.att'; did you mean 'at'?",
        "evaluation: {hurdles: {att: [0.5]}}\n",
    ),
    "workers": (
        "f.yaml:6: unknown key 'workers.backnd'; did you mean 'backend'?",
        "workers: {backnd: ray}\n",
    ),
    "report": ("f.yaml:6: unknown key 'report.setting'; did you mean 'settings'?", "report: {setting: 3}\n"),
    "vocabulary": (
        "f.yaml:6: unknown key 'vocabulary.exlude'; did you mean 'exclude'? (known here: base, include, ",
        "vocabulary: {exlude: [sin]}\n",
    ),
}


@pytest.mark.parametrize("place", UNKNOWN)
def test_an_unknown_key_names_its_line_and_the_nearest(place: str) -> None:
    start, text = UNKNOWN[place]
    with pytest.raises(ConfigError, match="unknown key") as told:
        config(MINIMAL + text)
    assert str(told.value).startswith(start)


@pytest.mark.parametrize(
    ("key", "start"),
    [
        ("search.metod", "f.yaml:4: unknown key 'search.metod'; did you mean 'method'?"),
        ("search.budget.program", "f.yaml:5: unknown key 'search.budget.program'; did you mean 'programs'?"),
        ("search.restarts.round", "f.yaml:4: unknown key 'search.restarts.round'; did you mean 'rounds'?"),
        ("search.mutation.inser", "f.yaml:4: unknown key 'search.mutation.inser'; did you mean 'insert'?"),
        (
            "search.mutation.constants.st",
            "f.yaml:4: unknown key 'search.mutation.constants.st'; did you mean 'std'?",
        ),
        (
            "tasks.0.schedule.warmpu",
            "f.yaml:3: unknown key 'tasks.0.schedule.warmpu'; did you mean 'warmup'? (known here: kind, ",
        ),
        ("tasks.0.stepss", "f.yaml:3: task 'digits_mlp': unknown knob 'stepss': did you mean 'steps'?"),
    ],
)
def test_an_unknown_key_that_was_set(key: str, start: str) -> None:
    with pytest.raises(ConfigError, match="unknown") as told:
        config(MINIMAL, f"{key}=3")
    assert str(told.value).startswith(start)


# ---------------------------------------------------------------- wrong values

INTEGERS = [
    "search.population",
    "search.tournament",
    "search.lag",
    "search.mutation.max_statements",
    "search.restarts.rounds",
    "search.restarts.runs",
    "search.restarts.programs",
    "search.restarts.patience",
    "search.budget.programs",
    "search.budget.evaluations",
    "search.budget.steps",
    "evaluation.seeds.start",
    "evaluation.seeds.most",
    "workers.count",
    "report.settings",
    "report.seeds",
    "tasks.0.seeds",
]
NUMBERS_FROM_0 = [
    "search.mutation.insert",
    "search.mutation.modify",
    "search.mutation.delete",
    "search.mutation.constants.share",
    "search.mutation.constants.scale_share",
    "evaluation.seeds.penalty",
    "evaluation.hurdles.quantile",
    "evaluation.hurdles.slack",
    "tasks.0.schedule.warmup",
]
NUMBERS_ABOVE_0 = [
    "search.mutation.constants.std",
    "search.mutation.constants.scale_std",
    "search.budget.minutes",
    "evaluation.timeout",
]
FLAGS = ["search.fingerprint", "report.references"]
CHOICES = ["search.method", "evaluation.way", "evaluation.seeds.policy", "workers.backend"]
SECTIONS = [
    "search",
    "search.mutation",
    "search.mutation.constants",
    "search.restarts",
    "search.budget",
    "evaluation",
    "evaluation.seeds",
    "evaluation.hurdles",
    "workers",
    "report",
    "tasks.0.schedule",
]

WRONG = [
    *[
        (key, value)
        for key in INTEGERS
        for value in ("0", "-3", "1.5", "true", "'10'", "x", "[1, x]", ".nan")
    ],
    *[(key, value) for key in NUMBERS_FROM_0 for value in ("-0.1", ".nan", ".inf", "-.inf", "x", "[1]")],
    *[(key, value) for key in NUMBERS_ABOVE_0 for value in ("0", "-1", ".nan", ".inf", "x", "{}")],
    *[(key, value) for key in FLAGS for value in ("1", "maybe", "null")],
    *[(key, value) for key in CHOICES for value in ("1", "nonsense", "null")],
    *[(key, value) for key in SECTIONS for value in ("3", "[]", "text")],
    *[("seed", value) for value in ("-1", "2147483648", "1.0", "x", "null")],
    *[("name", value) for value in ("", "3", "a/b", "..", ".a", "a b", "a" * 65, "2024-01-01", '"a\\n"')],
    *[("evaluation.lr_factors", value) for value in ("[0]", "[-1]", "[.inf]", "[.nan]", "1", "[x]")],
    *[("evaluation.hurdles.at", value) for value in ("[0]", "[1]", "[.nan]", "[x]", "0.5")],
    *[("tasks.0.seeds", value) for value in ("[]", "[1, 1]", "[-1]", "[2147483648]", "[0.5]", "100001")],
    *[("tasks.0.steps", value) for value in ("0", "x", "1.5", "true", "null")],
    *[("tasks", value) for value in ("[]", "3", "[3]", "null")],
    *[("search.mutation.max_statements", value) for value in ("1001",)],
    *[("search.mutation.constants.share", value) for value in ("1.1",)],
    *[("evaluation.hurdles.quantile", value) for value in ("1.1",)],
    *[("tasks.0.schedule.warmup", value) for value in ("1",)],
    *[("evaluation.retries", value) for value in ("-1", "0.5", "true")],
    *[("report.seeds", value) for value in ("1",)],
    *[("vocabulary", value) for value in ("3", "[paper]", "null")],
    *[("warm_start", value) for value in ("3", "null", "[adamw]")],
    *[("workers.address", value) for value in ("3",)],
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_value_is_told_in_one_line(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml") as told:
        config(MINIMAL, f"{key}={value}")
    message = str(told.value)
    assert "\n" not in message
    name = key.split(".")[-1]
    assert name in message or key.split(".")[0] in message
    if value in ("0", "-3", "1.5", "-1", "x"):
        assert f"found {value}" in message or f"found '{value}'" in message or "expected" in message


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["search.population=0"], r"^f\.yaml:4: search\.population: should be greater than .* 1, found 0$"),
        (
            ["search.budget={}"],
            r"^f\.yaml:5: search\.budget: expected a limit: one of programs, evaluations, ",
        ),
        (
            ["search.mutation={insert: 0, modify: 0, delete: 0}"],
            r"^f\.yaml:4: search\.mutation: expected at least one of insert, modify, delete above 0$",
        ),
        (
            ["search.method=evolutoin"],
            r"search\.method: should be 'evolution', 'constants' or 'random', found 'evolutoin'; "
            r"did you mean 'evolution'\?$",
        ),
        (["tasks.0.name=digit_mlp"], r"^f\.yaml:3: unknown task 'digit_mlp': did you mean 'digits_mlp'\? "),
        (
            ["tasks.0.path=/nowhere"],
            r"^f\.yaml:3: task 'digits_mlp': knob 'path': expected a file or folder of images, found No ",
        ),
        (["tasks=[{steps: 3}]"], r"^f\.yaml:3: the key 'tasks\.0\.name' is missing$"),
        (["vocabulary=papper"], r"unknown vocabulary 'papper'; did you mean 'paper'\?"),
        (["vocabulary={include: [sinn]}"], r"unknown primitive 'sinn'; did you mean 'sin'\?"),
        (["warm_start=adamww"], r"'adamww' is neither a file nor a shipped program; did you mean 'adamw'\?"),
        (["warm_start=" + "a" * 5000], r"is neither a file nor a shipped program"),
        (["warm_start=/"], r"'/' is neither a file nor a shipped program"),
        (
            ["evaluation.seeds={policy: fresh, start: 5}"],
            r"evaluation\.seeds asks for 5 seeds, but the smallest pool of a task has 4: raise tasks\[\]\.se",
        ),
        (
            ["evaluation.seeds={policy: accumulating, most: 4}", "tasks.0.seeds=3"],
            r"evaluation\.seeds asks for 4 seeds, but the smallest pool of a task has 3",
        ),
        (
            ["tasks=[{name: digits_mlp, seeds: 2}, {name: char_mlp, seeds: 3}]"],
            r"with evaluation\.seeds\.policy fixed all tasks need equally many seeds$",
        ),
        (
            ["search.budget={minutes: 1}", "search.restarts.rounds=2"],
            r"several runs need search\.restarts\.programs or patience, or search\.budget\.programs$",
        ),
    ],
)
def test_what_people_are_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(MINIMAL, *overrides)


def test_a_bad_program_is_told_with_its_place(folder: Path) -> None:
    (folder / "bad.py").write_text(
        "def train(w, g, m, v, lr):\n    update = sqroot(g)\n    return update, m, v\n"
    )
    with pytest.raises(ConfigError, match=r"bad\.py:2:14: unknown primitive 'sqroot'"):
        config(MINIMAL, "warm_start=bad.py")


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        ("m = square(g)", "update is never defined$"),
        ("update = norm(g)", "update must be a tensor, found a leafwise value$"),
        (
            "\n  ".join(["update = sign(g)"] * 41),
            r"it has 41 statements, more than search\.mutation\.max_statem",
        ),
    ],
)
def test_a_warm_start_that_cannot_be_used(statements: str, why: str) -> None:
    text = f"def train(w, g, m, v, lr):\n  {statements}\n  return update, m, v\n"
    Path("bad.py").write_text(text)
    with pytest.raises(ConfigError, match=rf"^f\.yaml:3: the warm start can't be used: {why}"):
        config("name: x\nseed: 1\nwarm_start: bad.py\n" + MINIMAL.removeprefix("name: x\n"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "hello\n", "3\n"])
def test_a_file_without_keys(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^f\.yaml: expected keys such as name, tasks and search at the top$"
    ):
        config(text)


@pytest.mark.parametrize("key", ["name", "tasks", "search"])
def test_a_missing_key_is_named(key: str) -> None:
    lines = MINIMAL.splitlines(keepends=True)
    kept = {"name": lines[1:], "tasks": lines[:1] + lines[3:], "search": lines[:3]}[key]
    with pytest.raises(ConfigError, match=rf"^f\.yaml: the key '{key}' is missing$"):
        config("".join(kept))


# ---------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("seed=5", ("seed",), 5),
        ("search.budget.programs=77", ("search", "budget", "programs"), 77),
        ("search.budget.minutes=2", ("search", "budget", "minutes"), 2.0),
        ("search.restarts.runs=3", ("search", "restarts", "runs"), 3),  # the section is not in the file
        ("tasks.0.steps=9", ("tasks", 0, "steps"), 9),
        ("tasks.0.schedule.kind=linear", ("tasks", 0, "schedule", "kind"), "linear"),
        ("tasks.0={name: char_mlp, steps: 4}", ("tasks", 0, "steps"), 4),
        ("tasks.0.seeds=[4, 2]", ("tasks", 0, "seeds"), [4, 2]),
        ("vocabulary.exclude=[sin]", ("vocabulary", "exclude"), ["sin"]),
        ("workers.address=a=b", ("workers", "address"), "a=b"),
        ("evaluation.hurdles=null", ("evaluation", "hurdles"), None),
        ("evaluation.lr_factors=[1e-1, 1e1]", ("evaluation", "lr_factors"), [0.1, 10.0]),
    ],
)
def test_values_that_are_set(text: str, path: tuple[str | int, ...], value: object) -> None:
    found = resolved(config(MINIMAL, text))
    for part in path:
        found = found[part]  # type: ignore[index]
    assert found == value


def test_the_last_of_several_wins() -> None:
    assert config(MINIMAL, "seed=1", "search.lag=3", "seed=2").seed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed", r"^--set seed: expected key=value, as in search\.budget\.programs=1000$"),
        ("=3", r"^--set =3: expected key=value"),
        ("tasks.5.steps=3", r"^--set tasks\.5\.steps=3: there is nothing at '5'$"),
        ("tasks.5=3", r"^--set tasks\.5=3: there is nothing at '5'$"),
        ("tasks.x.steps=3", r"there is nothing at 'x'$"),
        ("tasks.-1.steps=3", r"there is nothing at '-1'$"),
        ("tasks.².steps=3", r"there is nothing at '²'$"),
        ("name.x=3", r"^--set name\.x=3: name holds a single value, nothing can be set in it$"),
        ("name.x.y=3", r"^--set name\.x\.y=3: there is nothing at 'x'$"),
        ("seed=[1,", r"^--set:1: this is not YAML"),
        ("seed=!!python/name:os.system", r"^--set:1: expected no tag, found 'tag:yaml.org,2002:python/name"),
    ],
)
def test_settings_that_make_no_sense(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(MINIMAL, text)
