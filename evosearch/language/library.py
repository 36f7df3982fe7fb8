"""The reference programs that ship with evosearch, one text file each in `programs/`."""

from __future__ import annotations

import ast
from functools import cache
from importlib import resources

from evosearch.errors import ProgramError, nearest
from evosearch.language.parse import parse
from evosearch.language.program import Program

_FOLDER = resources.files("evosearch.language") / "programs"


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the shipped programs, sorted."""
    return tuple(sorted(f.name.removesuffix(".py") for f in _FOLDER.iterdir() if f.name.endswith(".py")))


def builtin_text(name: str) -> str:
    """The text of a shipped program. Raises ProgramError for an unknown name, naming the nearest."""
    if name not in builtin_names():
        shipped = builtin_names()
        raise ProgramError(
            f"unknown program {name!r}{nearest(name, shipped)} (shipped: {', '.join(shipped)})"
        )
    return (_FOLDER / f"{name}.py").read_text(encoding="utf-8")


@cache
def builtin(name: str) -> Program:
    """A shipped program, by name.

    >>> len(builtin("program8"))
    21
    """
    return parse(builtin_text(name), f"{name}.py")


def builtin_summary(name: str) -> str:
    """The one line that says what a shipped program is."""
    function = ast.parse(builtin_text(name)).body[0]
    assert isinstance(function, ast.FunctionDef)
    return ast.get_docstring(function) or ""
