"""Who asks: priorities, and what a caller is entitled to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Priority(IntEnum):
    """What is served first: somebody who waits for one answer, before a trainer that waits for a thousand."""

    INTERACTIVE = 0
    TRAINING = 1


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """How much one caller may ask; None for as much as it likes."""

    requests_per_minute: float | None = None
    max_concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever is behind a request. Requests with the same name share a fair share, limits and idempotency keys."""

    name: str
    """Of the API key; never the key itself. `anonymous` where the service has no keys."""
    priority: Priority = Priority.INTERACTIVE
    """The best its requests may have."""
    weight: float = 1.0
    """Share of the engine relative to other callers of the same priority that have work waiting; above 0."""
    limits: CallerLimits = CallerLimits()


ANONYMOUS = Caller("anonymous")
