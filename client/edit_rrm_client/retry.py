"""Whether to send something again, and when. Pure; the caller brings the time and the chance.

Full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): the workers of a trainer fail
together, and must not come back together.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from edit_rrm_client.errors import ConnectionFailedError, RewardClientError

_PASSING = frozenset({408, 409, 425, 429})
_FINAL = frozenset({400, 413, 422})
"""Sent again, these would be answered the same, whatever the answer says of itself."""


def is_passing(status: int) -> bool:
    """Whether an answer that does not say it itself, such as a proxy's, may get better."""
    return status in _PASSING or status >= 500


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How to go on after failures, inside the time of the whole call."""

    first_s: float = 0.5
    """Longest first pause; it doubles with every further one."""
    longest_s: float = 8.0
    max_attempts: int | None = None
    """Times a request is sent at most; None for as often as there is time."""
    strangers: int = 3
    """Times a server that has never answered is tried while nobody takes the connection: most likely the URL is wrong.
    (`wait_until_ready` waits for one that is starting.)"""

    def pause_s(self, error: RewardClientError, attempts: int, rng: random.Random, *, stranger: bool) -> float | None:
        """Seconds to wait before sending again; None to give up.

        Args:
            error: What the last try ended in.
            attempts: Tries so far, at least 1.
            rng: Draws the jitter.
            stranger: Whether nobody has ever answered.
        """
        if (
            not error.retryable
            or error.status in _FINAL
            or (self.max_attempts is not None and attempts >= self.max_attempts)
        ):
            return None
        if stranger and isinstance(error, ConnectionFailedError) and attempts >= self.strangers:
            return None
        backoff = rng.uniform(0.0, min(self.longest_s, self.first_s * 2.0 ** (attempts - 1)))
        return backoff + (error.retry_after or 0.0)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait by `Retry-After-Ms` or `Retry-After` (RFC 9110: seconds, or a date); None where neither says.

    Args:
        headers: Lower-case names.
        now: Seconds since the epoch, which dates are compared with.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1e3
    header = headers.get("retry-after")
    seconds = _number(header)
    if seconds is not None or header is None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0.0 else None
