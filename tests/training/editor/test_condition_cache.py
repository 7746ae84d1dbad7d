"""Encodings of prompts: kept, but no more bytes of them than there is room for."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_training.editor.condition_cache import ConditionCache
from edit_rrm_training.editor.policies.base import Condition


def condition(numbers: int) -> Condition:
    return Condition({"text": torch.zeros(1, numbers)}, (1, 1), ((8, 8),))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=40), st.integers(0, 64))
def test_no_more_is_kept_than_there_is_room_for_and_what_was_used_last_stays(
    asked: list[tuple[int, int]], room: int
) -> None:
    cache = ConditionCache(room)
    sizes: dict[str, int] = {}
    encoded: list[str] = []
    kept: list[str] = []

    def encode(key: str) -> Condition:
        encoded.append(key)
        return condition(sizes[key])

    for name, numbers in asked:
        key = str(name)
        sizes.setdefault(key, numbers)
        before = len(encoded)
        found = cache.get(key, lambda key=key: encode(key))  # type: ignore[misc]  # mypy infers no lambda's default
        assert found.tensors["text"].shape == (1, sizes[key])
        assert (len(encoded) == before) == (key in kept), "encoded again only where it was not kept"
        if 4 * sizes[key] <= room:
            kept = [one for one in kept if one != key] + [key]
            while sum(4 * sizes[one] for one in kept) > room:
                kept.pop(0)
        assert cache.size == sum(4 * sizes[one] for one in kept) <= room
