"""How fast an engine gets through work when it has more than it can do at once. Pure; the caller brings the time."""

from __future__ import annotations

from collections import deque

_WINDOW = 256
"""Pieces of finished work that the rate is taken over: enough to be steady, few enough to follow a change."""


class DrainRate:
    """Work finished per second, measured only while something waits.

    An engine that is given one request at a time finishes far less per second than one that has its batch full; only
    the latter says how long a queue takes.
    """

    def __init__(self) -> None:
        self._saturated_s = 0.0
        self._since: float | None = None
        # Seconds of saturation until then, and work finished with it; the first entry is where the window begins.
        self._finished: deque[tuple[float, float]] = deque([(0.0, 0.0)], maxlen=_WINDOW)

    def saturated(self, now: float, waiting: bool) -> None:
        """Say whether anything waits from `now` on (seconds of any steady clock)."""
        if waiting and self._since is None:
            self._since = now
        elif not waiting and self._since is not None:
            self._saturated_s += now - self._since
            self._since = None

    def finished(self, now: float, work: float) -> None:
        """Count a piece of work that the engine has done."""
        if self._since is not None:
            self._finished.append((self._seconds(now), work))

    def per_second(self, now: float) -> float | None:
        """Work per second over the recent pieces; None until a piece has been finished under saturation."""
        elapsed = self._seconds(now) - self._finished[0][0]
        work = sum(work for _, work in self._finished) - self._finished[0][1]
        return work / elapsed if work > 0 and elapsed > 0 else None

    def _seconds(self, now: float) -> float:
        return self._saturated_s + (now - self._since if self._since is not None else 0.0)
