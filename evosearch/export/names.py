"""Names in exported source: those that people give, those of programs, and those that are taken."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection

from evosearch.errors import ExportError

LONGEST = 12
"""Longer names of variables are replaced, so that lines stay short."""

MAX_NAME = 40

RESERVED = frozenset(
    {
        *keyword.kwlist,
        *keyword.softkwlist,
        *dir(builtins),
        # modules and imported names
        *(
            "jax",
            "jnp",
            "math",
            "numpy",
            "np",
            "optax",
            "torch",
            "annotations",
            "Any",
            "Callable",
            "NamedTuple",
        ),
        *("ParamsT", "SimpleNamespace", "Tensor", "Tensors", "EPS", "Array", "State"),
        # arguments and variables of the source itself
        *("closure", "count", "defaults", "foreach", "grads", "group", "groups", "init", "init_fn", "leaf"),
        *("leaves", "learning_rate", "loss", "mask", "maximize", "param", "params", "self", "slots", "state"),
        *("state_dtype", "step", "tree", "update_fn", "updates", "x", "foreach_update", "single_update"),
    }
)
"""Names that no variable of a program, no function and no class may have in exported source."""


def variable_name(name: str, taken: Collection[str]) -> str:
    """A name for a program's variable that clashes with nothing in the source.

    >>> variable_name("lambda", set())
    'lambda_'
    """
    name = name.strip("_")  # a leading underscore is a helper's, and two are mangled in a class
    if not name or name[0].isdigit() or len(name) > LONGEST:
        name = "t"
    return f"{name}_" if name in RESERVED or name in taken else name


def function_name(text: str) -> str:
    """A function's name from what people call a program: a path, a shipped name or RUN:ID.

    >>> function_name("runs/quickstart:1234")
    'quickstart_1234'
    """
    last = re.split(r"[/\\]", text.rstrip("/\\"))[-1].removesuffix(".py").removesuffix(".txt")
    words = re.findall(r"[a-z0-9]+", last.lower())
    name = "_".join(words)[:MAX_NAME].strip("_") or "program"
    if name[0].isdigit():
        name = f"program_{name}"
    return name if _free(name) else f"{name}_optimizer"


def checked_name(name: str) -> str:
    """The name that somebody chose for the exported function.

    Raises:
        ExportError: it is no name, or one that the source needs itself.
    """
    if not (name.isascii() and name.isidentifier() and len(name) <= MAX_NAME) or name.startswith("_"):
        raise ExportError(
            f"expected a Python name of at most {MAX_NAME} ASCII characters that starts with a letter, "
            f"found --name {name[:MAX_NAME]!r}; choose one such as my_lion"
        )
    if not _free(name):
        raise ExportError(
            f"expected a name that the source does not need itself, found --name {name!r}; "
            f"choose another, such as {name}_optimizer"
        )
    return name


def _free(name: str) -> bool:
    return name not in RESERVED and class_name(name) not in RESERVED


def class_name(name: str) -> str:
    """The class that belongs to a function's name.

    >>> class_name("quickstart_1234")
    'Quickstart1234'
    """
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def plain(text: str) -> str:
    """Text that may stand in a docstring or a comment: printable ASCII on one line, no quotes or backslashes.

    >>> plain('a"b' + chr(10))
    'a?b?'
    """
    return "".join(c if c.isascii() and c.isprintable() and c not in "\"'\\%" else "?" for c in text)[:200]
