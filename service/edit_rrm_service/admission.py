"""Admission: a bound on the edits in flight, and an honest `Retry-After` when it is reached."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edit_rrm_service.errors import ApiError

_WINDOW = 256
_LONGEST_RETRY_S = 60


class Admission:
    """Counts edits in flight and how fast they finish."""

    def __init__(
        self, limit: int, on_change: Callable[[int], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._on_change = on_change
        self._clock = clock
        self._in_flight = 0
        self._finished: deque[tuple[float, int]] = deque(maxlen=_WINDOW)

    @contextmanager
    def admitted(self, edits: int) -> Iterator[None]:
        """Hold room for `edits` edits.

        Raises:
            ApiError: 429 where there is no room now, 422 where there never will be.
        """
        if edits > self._limit:
            raise ApiError(
                422, "too_many_edits", f"this service judges at most {self._limit} edits at a time", param="edited"
            )
        if self._in_flight + edits > self._limit:
            seconds = self.retry_after_s(edits)
            raise ApiError(
                429,
                "overloaded",
                f"{self._in_flight} edits are being judged and the limit is {self._limit}; retry in {seconds} s",
                retryable=True,
                headers={"Retry-After": str(seconds)},
            )
        self._change(edits)
        try:
            yield
        finally:
            self._change(-edits)
            self._finished.append((self._clock(), edits))

    def retry_after_s(self, edits: int) -> int:
        """Seconds until `edits` edits should have room, from the measured drain rate: 1 to 60."""
        rate = self._drain_rate()
        missing = self._in_flight + edits - self._limit
        return 1 if rate is None else min(_LONGEST_RETRY_S, max(1, math.ceil(missing / rate)))

    def _drain_rate(self) -> float | None:
        """Edits finished per second over the recent ones, or None before there are any."""
        if not self._finished:
            return None
        elapsed = self._clock() - self._finished[0][0]
        return sum(edits for _, edits in self._finished) / elapsed if elapsed > 0 else None

    def _change(self, by: int) -> None:
        self._in_flight += by
        self._on_change(self._in_flight)
