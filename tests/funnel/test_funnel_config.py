"""The YAML of a funnel: defaults, and every mistake as one line."""

from pathlib import Path

import pytest

from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import ConfigError
from evosearch.funnel.config import FunnelConfig, load_funnel, make_funnel
from evosearch.study.tuning import Effort

SMALL = """\
name: small
stages:
  - name: x10
    tasks:
      - {name: digits_mlp, preset: x10}
"""


def made(text: str) -> FunnelConfig:
    return make_funnel(parse_yaml(text, "funnel.yaml"), "funnel.yaml")


def test_a_small_funnel_and_its_defaults():
    config = made(SMALL)
    (stage,) = config.stages
    assert stage.baselines == ["adamw"]
    assert stage.tasks[0].plan().name == "digits_mlp"
    assert dict(stage.tasks[0].plan().knobs) == {"preset": "x10"}
    assert stage.tuning.effort() == Effort(settings=24, finalists=3, more=2)
    assert (stage.promote.rule, stage.promote.confidence, stage.promote.most) == ("better", 0.95, 20)


def test_one_setting_leaves_one_finalist():
    config = made(SMALL + "    tuning: {settings: 1}\n")
    assert config.stages[0].tuning.effort() == Effort(settings=1, finalists=1, more=0)


def test_a_file_and_overrides(tmp_path: Path):
    path = tmp_path / "funnel.yaml"
    path.write_text(SMALL)
    config = load_funnel(path, ["stages.0.seeds.most=8", "entrants.count=3"])
    assert config.stages[0].seeds.most == 8
    assert config.entrants.count == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\n", r"^funnel\.yaml: the key 'stages' is missing$"),
        (SMALL.replace("digits_mlp", "digits_mpl"), r"^funnel\.yaml:5: unknown task 'digits_mpl'"),
        (SMALL.replace("x10}", "x11}"), r"^funnel\.yaml:5: .*'x11'"),
        (
            SMALL + "    baselines: [lionn]\n",
            r"^funnel\.yaml:6: .*unknown reference 'lionn'; did you mean 'lion'",
        ),
        (SMALL + "    baselines: [lion, lion]\n", r"^funnel\.yaml:6: .*expected different baselines"),
        (SMALL + "    seed: 3\n", r"^funnel\.yaml:6: unknown key 'stages\.0\.seed'; did you mean 'seeds'"),
        (
            SMALL + "    promote: {confidence: 1.5}\n",
            r"^funnel\.yaml:6: stages\.0\.promote\.confidence: .*less than 1",
        ),
        (SMALL + SMALL[SMALL.index("  - name") :], r"^funnel\.yaml: expected different names of stages"),
        (
            SMALL + "entrants: {planted: [lian]}\n",
            r"^funnel\.yaml:6: 'lian' is neither a file nor a shipped program",
        ),
        ("- 1\n", r"^funnel\.yaml: expected keys such as name and stages at the top$"),
    ],
)
def test_mistakes_are_told_in_one_line(text: str, message: str):
    with pytest.raises(ConfigError, match=message) as caught:
        made(text)
    assert "\n" not in str(caught.value)
