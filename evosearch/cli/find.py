"""What a PROGRAM or RUN on the command line means.

PROGRAM is the path of a program's file, the name of a shipped one, or RUN:ID. RUN is a run's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from evosearch import __version__
from evosearch.config.yaml_file import parse_yaml
from evosearch.errors import ConfigError, ProgramError, RunError, nearest
from evosearch.language import Program, builtin, builtin_names, parse, read_program
from evosearch.language.vocabulary import vocabulary_fingerprint
from evosearch.records import RunReader
from evosearch.search.config import parsed_config


class Found(NamedTuple):
    """A program, and how people call it."""

    name: str
    program: Program


def is_run(text: str) -> bool:
    """Whether the text names a folder; the folder may still turn out not to be a run."""
    try:
        return Path(text).is_dir()
    except OSError:  # such as a name that is too long
        return False


def find(text: str) -> Found | RunReader:
    """The program or the run that somebody named.

    Raises:
        ProgramError, RunError: there is no such thing; the nearest shipped name is told.
    """
    if is_run(text):
        return RunReader(text)
    return find_program(text)


def find_program(text: str) -> Found:
    """The program that somebody named; see the head of this module."""
    if text in builtin_names():
        return Found(text, builtin(text))
    try:
        return _find_file(text)
    except OSError as error:  # such as a name that is too long, or a folder that may not be looked into
        raise ProgramError(f"{text[:200]!r} can't be looked for: {error.strerror}") from error


def _find_file(text: str) -> Found:
    folder, colon, number = text.rpartition(":")
    if colon and folder and not Path(text).exists():
        return Found(text, _from_run(folder, number))
    if Path(text).is_file():
        return Found(text, read_program(Path(text)))
    if Path(text).is_dir():
        raise ProgramError(f"{text} is a folder; to name a program of a run write {text}:ID")
    raise ProgramError(
        f"{text!r} is neither a file, a run's folder, RUN:ID nor a shipped program"
        f"{nearest(text, builtin_names())} (shipped: {', '.join(builtin_names())})"
    )


def _from_run(folder: str, number: str) -> Program:
    reader = RunReader(folder)
    if not number.isdigit():
        raise RunError(f"{folder}:{number}: expected RUN:ID with a number as ID, found {number!r}")
    return program_in(reader, int(number))


def program_in(run: RunReader, id: int) -> Program:
    """A program of a run.

    Raises:
        RunError: there is none, or the run was made with another vocabulary.
    """
    try:
        return parse(run.row(id).text, f"{run.path}:{id}")
    except ProgramError as error:
        if why := foreign(run):
            raise RunError(f"{run.path} is {why} ({error})") from error
        raise


def foreign(run: RunReader) -> str:
    """A sentence if a run's programs have another meaning here, or a configuration unknown here; else ""."""
    source = f"{run.path}/config.yaml"
    try:
        document = parse_yaml(run.config_text, source)
        made = document.data.get("made_with") if isinstance(document.data, dict) else None
        if not isinstance(made, dict) or "vocabulary" not in made:
            return ""
        here = vocabulary_fingerprint(parsed_config(document, source).primitives())
    except ConfigError as error:
        return f"opened read-only, its configuration is of another version: {error}"
    if here == made["vocabulary"]:
        return ""
    return (
        f"opened read-only, it was made with another vocabulary ({made['vocabulary']}, here it is {here}; "
        f"evosearch {made.get('evosearch', 'unknown')}, here {__version__}): programs with primitives that "
        "are not known here are shown as they were recorded, and can't be followed, exported or trained"
    )
