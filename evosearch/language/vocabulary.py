"""Which primitives a search may use."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from evosearch.errors import ConfigError, nearest
from primitives import BY_NAME, TABLE, VOCABULARIES


def vocabulary(
    name: str = "paper", include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> tuple[str, ...]:
    """Canonical names of the primitives to use, in the order of the table.

    Args:
        name: `paper` (43) or `all` (45).
        include: primitives to add; aliases are understood.
        exclude: primitives to leave out.

    Raises:
        ConfigError: an unknown vocabulary or primitive (the nearest name is told), or nothing left.
    """
    if name not in VOCABULARIES:
        known = ", ".join(VOCABULARIES)
        raise ConfigError(f"unknown vocabulary {name!r}{nearest(name, VOCABULARIES)} (known: {known})")
    chosen = (set(VOCABULARIES[name]) | _canonical(include)) - _canonical(exclude)
    if not chosen:
        raise ConfigError("the vocabulary is empty: exclude fewer primitives")
    return tuple(row.name for row in TABLE if row.name in chosen)


def _canonical(names: Sequence[str]) -> set[str]:
    for name in names:
        if name not in BY_NAME:
            raise ConfigError(f"unknown primitive {name!r}{nearest(name, BY_NAME)}")
    return {BY_NAME[name].name for name in names}


def vocabulary_fingerprint(names: Sequence[str]) -> str:
    """16 hex digits that change when a primitive of the vocabulary changes its meaning in the table."""
    rows = [f"{n}/{BY_NAME[n].arity}/{BY_NAME[n].formula}/{BY_NAME[n].rule.name}" for n in names]
    return sha256("\n".join(rows).encode()).hexdigest()[:16]
