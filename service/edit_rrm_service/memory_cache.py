"""What was used last, up to a number of bytes, in this process."""

from __future__ import annotations

from collections import OrderedDict

_OVERHEAD = 200
"""Bytes that an entry takes beside its key and value, about: two objects and a slot."""


class MemoryCache:
    """Bytes by key, the least recently used ones dropped first. For one event loop."""

    def __init__(self, max_bytes: int) -> None:
        """Hold at most about this many bytes; 0 holds nothing."""
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> bytes | None:
        """The value of a key, which thereby is the one used last."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        """Remember a value. One that is larger than the cache is not."""
        self.drop(key)
        size = _size(key, value)
        if size > self._max_bytes:
            return
        self._entries[key] = value
        self.bytes += size
        while self.bytes > self._max_bytes:
            oldest, dropped = self._entries.popitem(last=False)
            self.bytes -= _size(oldest, dropped)

    def drop(self, key: str) -> None:
        """Forget a key."""
        value = self._entries.pop(key, None)
        if value is not None:
            self.bytes -= _size(key, value)


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD
