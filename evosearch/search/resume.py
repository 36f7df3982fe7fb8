"""Going on with a run: whether it is the same search, and in the same surroundings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evosearch.config.surroundings import first_difference
from evosearch.config.yaml_file import dump_yaml, parse_yaml
from evosearch.errors import ConfigError, RunError
from evosearch.records import RunReader
from evosearch.search.config import Config, make_config, resolved
from evosearch.search.made_with import made_with

FREE = ("workers", "report")
"""Sections that a resume may change: the history does not depend on them."""

MEANINGS = ("vocabulary", "data")
"""What decides what programs and scores mean; where they differ nobody can go on with a run."""


@dataclass(frozen=True)
class Continuation:
    """How a run goes on.

    Attributes:
        seconds: of searching so far.
        config_text: the new content of `config.yaml`; None if it stays.
    """

    seconds: float
    config_text: str | None


def config_text(config: Config) -> str:
    """A run's `config.yaml`: the configuration, and what it was made with."""
    return dump_yaml({**resolved(config), "made_with": made_with(config)})


def continuation(
    config: Config, folder: Path, *, elsewhere: bool, say: Callable[[str], None]
) -> Continuation:
    """Look whether a run can go on with this configuration here.

    Args:
        config: the search, as it is asked for now.
        folder: of the run.
        elsewhere: go on although versions or the processor are others than the run was made with.
        say: is told a line if they are.

    Raises:
        ConfigError: it is another search.
        RunError: the surroundings are others; what to do.
    """
    reader = RunReader(folder)
    source = str(folder / "config.yaml")
    document = parse_yaml(reader.config_text, source)
    _check_same_search(make_config(document, source), config, folder)
    seconds = float((reader.summary or {}).get("seconds", 0.0))
    made: dict[str, Any] = dict(document.data.get("made_with") or {})
    continued = made.pop("continued", [])
    if not (isinstance(continued, list) and all(isinstance(entry, dict) for entry in continued)):
        raise RunError(f"{source}: made_with.continued is damaged: expected a list; restore it from a copy")
    latest = dict(made)
    for entry in continued:  # each says what was another than before
        latest |= {name: value for name, value in entry.items() if name != "programs"}
    here = made_with(config)
    was_meant, is_meant = ({name: each.get(name) for name in MEANINGS} for each in (latest, here))
    meaning = first_difference(was_meant, is_meant)
    changed = meaning or first_difference(latest, here)
    if changed is None:
        return Continuation(seconds, None)
    key, was, now = changed
    difference = f"{folder} was made with {key} {was!r}, here it is {now!r}"
    if meaning:
        raise RunError(
            f"{difference}: its programs and scores have another meaning here, so it opens read-only "
            "(inspect, export, funnel); go on in the environment it was made in, or start a new run"
        )
    if not elsewhere:
        raise RunError(
            f"{difference}: its history may not go on the same way; resume in the environment it was made "
            "in, start a new run, or add --elsewhere to go on here all the same"
        )
    say(
        f"{difference}: what comes from now on may differ from what would have come there; config.yaml says "
        f"so (made_with.continued, from program {reader.rows:,} on)"
    )
    others = {name: here[name] for name in here if latest.get(name) != here[name]}
    text = document.data | {
        "made_with": {**made, "continued": [*continued, {"programs": reader.rows, **others}]}
    }
    return Continuation(seconds, dump_yaml(text))


def _check_same_search(before: Config, config: Config, folder: Path) -> None:
    old, new = ({k: v for k, v in resolved(c).items() if k not in FREE} for c in (before, config))
    if before.rules().restarts == config.rules().restarts:
        old["search"].pop("budget"), new["search"].pop("budget")
    different = first_difference(old, new)
    if different:
        key, was, now = different
        raise ConfigError(
            f"{folder} holds another search: {key} was {was!r} and is {now!r} now; "
            "resume with the same values, or choose another --out"
        )
