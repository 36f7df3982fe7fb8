"""`evosearch export`: a program as source for optax, PyTorch, JAX or LaTeX."""

from __future__ import annotations

import sys
from pathlib import Path

from evosearch.cli.console import make_console, printable
from evosearch.cli.find import find_program
from evosearch.errors import ExportError
from evosearch.export import TARGETS, export
from evosearch.language import builtin_names
from evosearch.language.library import builtin_summary


def export_command(what: str, target: str, out: str | None, name: str | None, force: bool) -> int:
    """Print the source of a program, or write it to a file that must not be there yet.

    Returns:
        The exit code.

    Raises:
        EvosearchError: see `find_program` and `export`; the file exists or can't be written.
    """
    found = find_program(what)
    summary = builtin_summary(found.name) if found.name in builtin_names() else ""
    source = export(found.program.statements, target, origin=found.name, name=name, summary=summary)
    if out is None:
        sys.stdout.write(source)
        return 0
    _write(Path(out), source, force=force)
    lines = source.count("\n")
    text = printable(f"{out}: {found.name} as {TARGETS[target].summary}, {lines} lines")
    make_console().print(text, markup=False, soft_wrap=True)
    return 0


def _write(path: Path, text: str, *, force: bool) -> None:
    if path.is_dir():
        raise ExportError(f"{path} is a folder: name a file in it")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ExportError(f"{path} exists and was left alone: name another file, or add --force") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(f"{path}: can't write the source here: {reason}") from error
