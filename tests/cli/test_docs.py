"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evosearch.cli.main import make_parser
from evosearch.search.config import load_config
from evosearch.search.yaml_reference import yaml_reference

ROOT = Path(__file__).parents[2]


def test_the_yaml_page_is_what_the_schema_says() -> None:
    """If this fails: `python -m evosearch.search.yaml_reference > docs/yaml.md`."""
    assert (ROOT / "docs" / "yaml.md").read_text(encoding="utf-8") == yaml_reference()


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_config_loads(path: Path) -> None:
    load_config(path)


def test_links_of_the_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_commands_in_the_readme_parse() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [
        line.split("#")[0].split()[1:] for line in text.splitlines() if line.startswith("    evosearch ")
    ]
    assert len(lines) >= 6
    for line in lines:
        make_parser().parse_args(line)
