"""What was used last, up to a number of bytes, in this process."""

from __future__ import annotations

from cachetools import LRUCache

_OVERHEAD = 300
"""Bytes that an entry takes beside its value, about: two objects, a slot and a key of a hundred characters."""


class MemoryCache:
    """Bytes by key, the least recently used ones dropped first. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """Hold at most about this many bytes; 0 holds nothing."""
        self._entries: LRUCache[str, bytes] = LRUCache(max_bytes, getsizeof=_size)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """What is held, with the overhead of every entry."""
        return int(self._entries.currsize)

    def get(self, key: str) -> bytes | None:
        """The value of a key, which thereby is the one used last."""
        return self._entries.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Remember a value. One that is larger than the cache is not."""
        self.drop(key)
        if _size(value) <= self._entries.maxsize:
            self._entries[key] = value

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._entries.pop(key, None)


def _size(value: bytes) -> int:
    return len(value) + _OVERHEAD
