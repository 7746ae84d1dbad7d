"""How many requests to have under way: as many as the service takes, found by trying.

Slow start, then additive increase and multiplicative decrease, as TCP does it (Chiu and Jain, 1989). Only being told
that there are too many (429) is a reason to send fewer: an engine that fails is not helped by it.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Aimd:
    """A limit on requests under way that follows what becomes of them."""

    def __init__(self, most: int, *, first: int = 8) -> None:
        """Start small.

        Args:
            most: Requests under way at most, at least 1.
            first: To begin with.
        """
        if most < 1:
            raise ValueError("at least one request has to be under way")
        self._most = most
        self._limit = float(min(first, most))
        self._slow_start = True
        self._quiet_until = 0.0

    @property
    def limit(self) -> int:
        """Requests that may be under way now, at least 1."""
        return max(1, int(self._limit))

    def answered(self, under_way: int) -> None:
        """A request was answered while so many were under way; a limit that is not used up says nothing."""
        if under_way >= self.limit - 1:
            self._limit = min(float(self._most), self._limit + (1.0 if self._slow_start else 1.0 / self._limit))

    def refused(self, sent: float, now: float) -> None:
        """A request was refused for being one too many; of those sent before the limit was halved, one counts.

        Args:
            sent: When it was sent, in seconds of any steady clock.
            now: By the same clock.
        """
        self._slow_start = False
        if sent >= self._quiet_until:
            self._limit = max(1.0, self._limit / 2.0)
            self._quiet_until = now


class Gate:
    """Lets requests through one by one, as many at a time as a limit says. For one event loop."""

    def __init__(self, limit: Aimd) -> None:
        """Start empty."""
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.under_way = 0

    async def enter(self) -> None:
        """Wait for room, and take it."""
        while self.under_way >= self._limit.limit:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # it was this one's turn; now it is the next one's
                raise
        self.under_way += 1

    def leave(self) -> None:
        """Give room back."""
        self.under_way -= 1
        for _ in range(max(1, self._limit.limit - self.under_way)):
            self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
