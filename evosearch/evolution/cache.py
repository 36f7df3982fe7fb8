"""What is known of programs, by hash: of the latest ones only, so that memory does not grow with a search."""

from __future__ import annotations

from evosearch.evolution.fitness import Known


class Cache:
    """Remembers the `size` programs that were asked for last, and at most twice as many.

    What was asked for goes into a young generation; a full one becomes the old one, and the old one before it
    is forgotten. What is remembered follows from the order of questions alone, so histories repeat.

    Args:
        size: programs of a generation.

    Example:
        cache = Cache(2)
        cache.put(b"a", Known())
        cache.get(b"a")
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[bytes, Known] = {}
        self._old: dict[bytes, Known] = {}

    def get(self, digest: bytes) -> Known | None:
        """What is known of a program; None if it was never put in, or forgotten."""
        known = self._young.get(digest)
        if known is None:
            known = self._old.get(digest)
            if known is not None:
                self.put(digest, known)
        return known

    def put(self, digest: bytes, known: Known) -> None:
        """Remember a program."""
        young = self._young
        young[digest] = known
        if len(young) >= self._size:
            self._old, self._young = young, {}

    def __len__(self) -> int:
        """How many are remembered; who is in both generations counts twice."""
        return len(self._young) + len(self._old)
