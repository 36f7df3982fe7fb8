"""The cache remembers the latest programs, needs bounded memory, and histories repeat with it."""

from hypothesis import given
from hypothesis import strategies as st

from evosearch.evolution.cache import Cache
from evosearch.evolution.fitness import Known


@given(st.integers(1, 6), st.lists(st.integers(0, 20), max_size=80))
def test_the_latest_are_remembered_and_memory_is_bounded(size: int, asked: list[int]) -> None:
    cache, latest = Cache(size), dict[int, Known]()
    for number in asked:
        digest = number.to_bytes(16, "big")
        known = cache.get(digest)
        if known is None:
            assert number not in list(latest)[-size:], "one of the last programs was forgotten"
            known = Known()
            cache.put(digest, known)
        else:
            assert known is latest[number]
        latest.pop(number, None)
        latest[number] = known
        assert len(cache) <= 2 * size


def test_the_oldest_are_forgotten() -> None:
    cache = Cache(2)
    for name in (b"a", b"b", b"c", b"d"):
        cache.put(name, Known())
    assert [cache.get(name) is None for name in (b"a", b"b", b"c", b"d")] == [True, True, False, False]
