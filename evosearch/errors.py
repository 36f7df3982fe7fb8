"""Every exception that evosearch raises for people.

EvosearchError                a mistake someone can mend; commands print it as one line and exit with code 2
├── ProgramError              a program's text can't be read: file, line, column, what was expected
├── ConfigError               a YAML key or value is wrong: where, what was found, what was expected
├── RunError                  a run folder is missing, taken, damaged, in use, or made by another version
├── SearchError               the search can't go on: the warm start doesn't train, no valid child exists
├── StudyError                tuning or comparing can't go on: a damaged file, an unknown optimizer, no answer
└── ExportError               a program can't be exported: invalid, unknown target, a name or file is taken

A bad *candidate* is never an exception: it is an `evosearch.evaluation.Outcome`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvosearchError(Exception):
    """Something a person can mend. The message says what was expected, what was found, where, what to do."""


class ProgramError(EvosearchError):
    """A program's text can't be read."""


class ConfigError(EvosearchError):
    """A search's YAML (or a value set on the command line) is wrong."""


class RunError(EvosearchError):
    """A run folder is missing, taken, damaged, in use, or of another version."""


class SearchError(EvosearchError):
    """A search can't start or go on."""


class StudyError(EvosearchError):
    """Tuning or a comparison can't start or go on."""


class ExportError(EvosearchError):
    """A program can't be exported as asked."""


def nearest(found: str, known: Iterable[str]) -> str:
    """`"; did you mean 'lion'?"` for the known name closest to `found`, or an empty string.

    >>> nearest("loin", ["adamw", "lion"])
    "; did you mean 'lion'?"
    """
    close = difflib.get_close_matches(found, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
