"""Which of several servers to ask: a group's own, and another while that one is away. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence

_FIRST_BAN_S = 1.0
_LONGEST_BAN_S = 30.0


class Servers:
    """Servers of one judge.

    Rendezvous hashing (Thaler and Ravishankar, 1998): every group has a server of its own, where its source's prefix is
    cached, and where one goes away only its groups move.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        """Start with all of them well; at least one."""
        self._urls = tuple(dict.fromkeys(urls))
        self._banned: dict[str, tuple[float, int]] = {}
        """Until when, and for which time in a row."""

    @property
    def urls(self) -> tuple[str, ...]:
        """All of them."""
        return self._urls

    def pick(self, group: str, now: float, tried: Collection[str] = ()) -> str:
        """The server to ask for a group.

        Args:
            group: Names the group.
            now: Seconds of any steady clock.
            tried: Servers that this call could not reach just now, asked again only where there is no other.
        """
        return min(
            self._urls,
            key=lambda url: (url in tried, max(0.0, self._banned.get(url, (0.0, 0))[0] - now), _rank(url, group)),
        )

    def reached(self, url: str) -> None:
        """A server answered."""
        self._banned.pop(url, None)

    def missed(self, url: str, now: float) -> None:
        """A server could not be reached: it is left alone for a while, longer every time."""
        until, times = self._banned.get(url, (0.0, 0))
        if now >= until:
            self._banned[url] = (now + min(_LONGEST_BAN_S, _FIRST_BAN_S * 2.0**times), times + 1)


def _rank(url: str, group: str) -> bytes:
    return hashlib.sha256(f"{len(url)}:{url}:{group}".encode()).digest()
