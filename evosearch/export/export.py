"""Export a program to a target: the table of targets, and the one function that people call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from evosearch.errors import ExportError, nearest
from evosearch.export.describe import Subject, make_subject
from evosearch.export.jax_source import jax_source
from evosearch.export.latex_source import latex_source
from evosearch.export.names import checked_name, function_name
from evosearch.export.optax_source import optax_source
from evosearch.export.torch_source import torch_source
from evosearch.language.program import Statement


@dataclass(frozen=True)
class Target:
    """Something that a program can be exported to.

    Attributes:
        name: as people type it.
        summary: what comes out, in one sentence.
        suffix: of files that hold it.
        source: writes it.
    """

    name: str
    summary: str
    suffix: str
    source: Callable[[Subject], str]


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target("optax", "an optax.GradientTransformation", ".py", optax_source),
            Target("torch", "a torch.optim.Optimizer", ".py", torch_source),
            Target("jax", "two pure functions in JAX", ".py", jax_source),
            Target("latex", "equations", ".tex", latex_source),
        )
    }
)
"""All targets, by name."""


def export(
    statements: Sequence[Statement], target: str, *, origin: str, name: str | None = None, summary: str = ""
) -> str:
    """The source of a program for a target.

    Args:
        statements: a valid program.
        target: a name of `TARGETS`.
        origin: what people call the program: a shipped name, a path or RUN:ID.
        name: of the exported function; its class is named after it. By default it follows from `origin`.
        summary: what the program is, in a sentence.

    Returns:
        Text that ends in a newline; in Python it needs nothing but the library of the target.

    Raises:
        ExportError: the program is invalid, the target unknown, or the name none that the source could use.

    Example:
        >>> from evosearch.language import builtin
        >>> export(builtin("sgd").statements, "jax", origin="sgd").splitlines()[0]
        '\"\"\"Sgd as pure functions in JAX.'
    """
    if target not in TARGETS:
        raise ExportError(
            f"expected a target to export to, found {target!r}{nearest(target, TARGETS)} "
            f"(targets: {', '.join(TARGETS)})"
        )
    chosen = function_name(origin) if name is None else checked_name(name)
    return TARGETS[target].source(make_subject(statements, chosen, origin, summary))
