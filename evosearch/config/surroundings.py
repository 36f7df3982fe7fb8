"""What numbers depend on besides a YAML file: versions, machine; and where two configurations differ."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import jax

from evosearch import __version__
from evosearch.runtime import processor


def surroundings() -> dict[str, Any]:
    """Versions and processor, as plain data for a `config.yaml`."""
    return {
        "evosearch": __version__,
        "python": platform.python_version(),
        "jax": version("jax"),
        "jaxlib": version("jaxlib"),
        "numpy": version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "device": jax.default_backend(),
    }


def first_difference(old: Any, new: Any, path: str = "") -> tuple[str, Any, Any] | None:
    """The first key at which plain data differ, with both values; None if they are equal.

    >>> first_difference({"a": {"b": 1}}, {"a": {"b": 2}})
    ('a.b', 1, 2)
    >>> first_difference({"a": [1, 2]}, {"a": [1, 3]})
    ('a.1', 2, 3)
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *[k for k in new if k not in old]]:
            found = first_difference(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        return first_difference(dict(enumerate(old)), dict(enumerate(new)), path)
    return None if old == new else (path, old, new)
