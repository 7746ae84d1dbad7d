"""A cache holds what was used last, and never more bytes than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.memory_cache import _OVERHEAD, MemoryCache


def test_what_was_used_last_stays() -> None:
    cache = MemoryCache(3 * (_OVERHEAD + 1))
    for key in "abc":
        cache.put(key, b"1")
    assert cache.get("a") == b"1"
    cache.put("d", b"2")
    assert [cache.get(key) for key in "abcd"] == [b"1", None, b"1", b"2"]


def test_a_value_too_large_is_not_held_and_costs_nothing_else() -> None:
    cache = MemoryCache(1_000)
    cache.put("a", b"1")
    cache.put("b", b"2" * 1_000)
    assert (cache.get("a"), cache.get("b")) == (b"1", None)
    cache.put("a", b"3" * 1_000)
    assert (cache.get("a"), cache.size) == (None, 0)


def test_nothing_is_held_in_no_bytes() -> None:
    cache = MemoryCache(0)
    cache.put("a", b"")
    assert (cache.get("a"), len(cache)) == (None, 0)


@given(st.integers(0, 3_000), st.lists(st.tuples(st.sampled_from("abcdef"), st.binary(max_size=900) | st.none())))
def test_bytes_are_counted_right_whatever_happens(limit: int, steps: list[tuple[str, bytes | None]]) -> None:
    cache = MemoryCache(limit)
    for key, value in steps:
        if value is None:
            cache.drop(key)
        else:
            cache.put(key, value)
        assert cache.size <= limit
        held = {key: found for key in "abcdef" if (found := cache.get(key)) is not None}
        assert cache.size == sum(len(found) + _OVERHEAD for found in held.values())
        assert len(cache) == len(held)
