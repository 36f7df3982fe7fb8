"""The 45 functions that programs are made of: one table with types, JAX kernels and NumPy references.

Imports nothing from the rest of the project. Names load when first used, so that `primitives.types` and
`primitives.reference` can be imported without JAX.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from primitives.spaces import FlatSpace, Space, TreeSpace
    from primitives.table import BY_NAME, OPCODES, TABLE, VOCABULARIES, Primitive
    from primitives.types import TypeRule, ValueType

__all__ = [
    "BY_NAME",
    "OPCODES",
    "TABLE",
    "VOCABULARIES",
    "FlatSpace",
    "Primitive",
    "Space",
    "TreeSpace",
    "TypeRule",
    "ValueType",
]

_HOMES = {
    "FlatSpace": "spaces",
    "Space": "spaces",
    "TreeSpace": "spaces",
    "BY_NAME": "table",
    "OPCODES": "table",
    "TABLE": "table",
    "VOCABULARIES": "table",
    "Primitive": "table",
    "TypeRule": "types",
    "ValueType": "types",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'primitives' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(f"primitives.{_HOMES[name]}"), name)
