"""What tests of studies share."""

from __future__ import annotations

from hashlib import blake2b


def uniform(*parts: object) -> float:
    """A number in [0, 1) that looks random and depends on nothing but the parts."""
    digest = blake2b(repr(parts).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56
