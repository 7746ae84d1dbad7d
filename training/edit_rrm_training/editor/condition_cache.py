"""Encodings of prompts, kept in main memory up to a number of bytes: a run comes back to its prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from edit_rrm_training.editor.policies.base import Condition


class ConditionCache:
    """Keeps what was used last; of Qwen-Image-Edit an encoding has about 15 MB, so that thousands fill a machine."""

    def __init__(self, capacity: int) -> None:
        """Keep at most so many bytes."""
        self._capacity = capacity
        self._kept: OrderedDict[str, Condition] = OrderedDict()
        self.size = 0
        """Bytes that are kept."""

    def get(self, key: str, encode: Callable[[], Condition]) -> Condition:
        """An encoding on the CPU: the kept one, or a new one, which is kept if it fits at all."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        made = encode().to("cpu")
        size = _bytes(made)
        if size <= self._capacity:
            self._kept[key] = made
            self.size += size
        while self.size > self._capacity:
            _, oldest = self._kept.popitem(last=False)
            self.size -= _bytes(oldest)
        return made


def _bytes(condition: Condition) -> int:
    return sum(value.numel() * value.element_size() for value in condition.tensors.values())
