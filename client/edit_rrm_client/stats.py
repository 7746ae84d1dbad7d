"""What a client has done so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the client was made, of all its threads and tasks."""

    requests: int
    """Sent, repetitions included."""
    retries: Mapping[str, int]
    """Repetitions by the code of what was wrong before."""
    outcomes: Mapping[str, int]
    """Edits by how they ended; all but ``scored`` are masked."""
    seconds: float
    """Waited for answers, over all requests."""
    in_flight: int
    """Requests under way now."""
    limit: int
    """Requests that may be under way now: it follows the service's 429."""

    @property
    def failed_share(self) -> float:
        """Share of edits that were not scored, 0 to 1."""
        total = sum(self.outcomes.values())
        return 0.0 if not total else 1.0 - self.outcomes.get("scored", 0) / total


@dataclass
class Counters:
    """Counts from many threads."""

    _requests: int = 0
    _seconds: float = 0.0
    _retries: Counter[str] = field(default_factory=Counter)
    _outcomes: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)

    def sent(self, seconds: float) -> None:
        """A request ended after so long."""
        with self._lock:
            self._requests += 1
            self._seconds += seconds

    def retried(self, code: str) -> None:
        """One is repeated."""
        with self._lock:
            self._retries[code] += 1

    def ended(self, outcomes: Iterable[str]) -> None:
        """Edits ended so."""
        with self._lock:
            self._outcomes.update(outcomes)

    def stats(self, in_flight: int, limit: int) -> Stats:
        """All of them at this moment."""
        with self._lock:
            retries, outcomes = dict(self._retries), dict(self._outcomes)
            return Stats(
                self._requests, MappingProxyType(retries), MappingProxyType(outcomes), self._seconds, in_flight, limit
            )
