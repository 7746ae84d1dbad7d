"""Connections that do not get to the end of a request's headers in time are closed.

uvicorn waits for headers as long as they take, and each connection that trickles them in holds a file handle. (The
time of bodies is counted in `middleware.py`, where there is somebody to answer.)
"""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any


def protocol_with_header_timeout(seconds: float) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP/1.1 protocol, with a limit on how long a request's headers may take to arrive.

    The time runs from the connection's beginning, or from the first byte of a further request. A connection that stays
    quiet between requests is uvicorn's keep-alive timeout's business.

    Args:
        seconds: Above 0.
    """
    base: Any
    if importlib.util.find_spec("httptools") is not None:  # what uvicorn's "auto" takes, too
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    else:
        from uvicorn.protocols.http.h11_impl import H11Protocol as base

    class HeadersInTime(base):  # type: ignore[misc]  # one of two classes, known when it runs
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Let the time run if, and only if, headers are awaited."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop()
            elif self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(seconds, self._late)

        def _stop(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            # A request whose answer was quick has come and gone since, and nothing has been received after it.
            if self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
                self.transport.close()

    return HeadersInTime
