"""Requests per caller: a token bucket for how many a minute, and a count of those under way."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edit_rrm_service.callers import Caller
from edit_rrm_service.errors import ApiError

_BURST_S = 10.0
"""A caller that has been quiet may send as much at once as its rate allows in this time."""


@dataclass(slots=True)
class TokenBucket:
    """Room that fills at a steady rate up to a burst, and that every request takes one unit of. Pure."""

    per_second: float
    burst: float
    level: float
    updated: float

    def take(self, now: float) -> float:
        """Take a unit if there is one.

        Returns:
            0, or seconds until there will be one.
        """
        self.level = min(self.burst, self.level + max(0.0, now - self.updated) * self.per_second)
        self.updated = now
        if self.level >= 1.0:
            self.level -= 1.0
            return 0.0
        return (1.0 - self.level) / self.per_second


class RateLimit:
    """What every caller has left of its limits. Callers are those of the configured keys, so there are not many."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with everybody's limits untouched."""
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._under_way: dict[str, int] = {}

    @contextmanager
    def request(self, caller: Caller) -> Iterator[None]:
        """Hold one request of a caller.

        Raises:
            ApiError: 429 `rate_limited`, with the time to come back.
        """
        most = caller.limits.max_concurrent
        under_way = self._under_way.get(caller.name, 0)
        if most is not None and under_way >= most:
            raise _limited(f"{caller.name} may have {most} requests under way at a time; wait for one to end", 1)
        self._take(caller)
        self._under_way[caller.name] = under_way + 1
        try:
            yield
        finally:
            left = self._under_way[caller.name] - 1
            if left:
                self._under_way[caller.name] = left
            else:
                del self._under_way[caller.name]

    def _take(self, caller: Caller) -> None:
        rate = caller.limits.requests_per_minute
        if rate is None:
            return
        now = self._clock()
        burst = max(1.0, rate / 60.0 * _BURST_S)
        bucket = self._buckets.setdefault(caller.name, TokenBucket(rate / 60.0, burst, burst, now))
        seconds = bucket.take(now)
        if seconds:
            wait = max(1, math.ceil(seconds))
            raise _limited(f"{caller.name} may send {rate:g} requests a minute; retry in {wait} s", wait)


def _limited(message: str, retry_after_s: int) -> ApiError:
    return ApiError(429, "rate_limited", message, retryable=True, headers={"Retry-After": str(retry_after_s)})
