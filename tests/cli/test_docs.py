"""The documents say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from evosearch.cli.main import make_parser
from evosearch.cli.yaml_reference import PAGES, yaml_reference
from evosearch.funnel.config import load_funnel
from tests.proxy_tasks.test_data_image_files import parquet, table

IMAGES = np.random.RandomState(0).randint(0, 256, (2000, 28, 28)).astype(np.uint8)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", PAGES)
def test_the_yaml_pages_are_what_the_schemas_say(name: str) -> None:
    """If this fails: `python -m evosearch.cli.yaml_reference NAME > docs/FILE`."""
    assert (ROOT / "docs" / PAGES[name].file).read_text(encoding="utf-8") == yaml_reference(name)


FUNNELS = [path for path in sorted((ROOT / "configs").glob("*.yaml")) if "\nstages:" in path.read_text()]


@pytest.mark.parametrize("path", FUNNELS, ids=lambda p: p.name)
def test_every_shipped_funnel_loads(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that a user has to bring stand in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist" / "data").mkdir(parents=True)
    parquet(tmp_path / "mnist" / "data" / "train.parquet", table(IMAGES, np.arange(len(IMAGES)) % 10))
    (tmp_path / "stdlib.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 20_000)
    load_funnel(path)


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
