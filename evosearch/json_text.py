"""Values as JSON text that every reader accepts, and back."""

from __future__ import annotations

import json
import math
from typing import Any


def json_text(data: Any) -> str:
    """One object as JSON text; numbers that are not finite become null."""
    return json.dumps(_strict(data), indent=2, allow_nan=False) + "\n"


def from_json(text: str | bytes) -> Any:
    """The value that JSON text spells; text that somebody made to be nested endlessly is no worse than other.

    Raises:
        ValueError: it is not JSON, not UTF-8, nested too deep, or has a number of thousands of digits.

    >>> from_json("[1, null]")
    [1, None]
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _strict(data: Any) -> Any:
    if isinstance(data, dict):
        return {str(key): _strict(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_strict(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
