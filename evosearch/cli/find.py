"""What a PROGRAM or RUN on the command line means.

PROGRAM is the path of a program's file, the name of a shipped one, or RUN:ID. RUN is a run's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from evosearch.errors import ProgramError, RunError, nearest
from evosearch.language import Program, builtin, builtin_names, parse, read_program
from evosearch.records import RunReader


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
    return parse(reader.row(int(number)).text, f"{folder}:{number}")
