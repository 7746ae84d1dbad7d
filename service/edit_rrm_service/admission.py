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
        self._busy_s = 0.0
        self._busy_since = 0.0
        # Time worked until then, and edits finished with it; the first entry is where the window begins.
        self._finished: deque[tuple[float, int]] = deque([(0.0, 0)], maxlen=_WINDOW)

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
            self._finished.append((self._worked_s(), edits))

    def retry_after_s(self, edits: int) -> int:
        """Seconds until `edits` edits should have room, from the measured drain rate: 1 to 60."""
        rate = self._drain_rate()
        missing = self._in_flight + edits - self._limit
        return 1 if rate is None else min(_LONGEST_RETRY_S, max(1, math.ceil(missing / rate)))

    def _drain_rate(self) -> float | None:
        """Edits finished per second of work over the recent ones, or None before there are any."""
        elapsed = self._worked_s() - self._finished[0][0]
        finished = sum(edits for _, edits in self._finished) - self._finished[0][1]
        return finished / elapsed if finished and elapsed > 0 else None

    def _worked_s(self) -> float:
        """Seconds with anything in flight: a night without requests says nothing about how fast they finish."""
        return self._busy_s + (self._clock() - self._busy_since if self._in_flight else 0.0)

    def _change(self, by: int) -> None:
        self._busy_s, self._busy_since = self._worked_s(), self._clock()
        self._in_flight += by
        self._on_change(self._in_flight)
