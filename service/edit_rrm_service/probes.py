"""Probes and metrics on a port of their own: an orchestrator's, which no network policy has to open to callers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from edit_rrm_service.api.routes import livez, metrics, readyz, startupz
from edit_rrm_service.state import ServiceState


def probe_app(state: ServiceState) -> Starlette:
    """The probes of a service, and its metrics unless they ask for a key, which is asked for at the other port."""
    routes = [Route("/livez", livez), Route("/readyz", readyz), Route("/startupz", startupz)]
    if not state.settings.metrics_need_key:
        routes.append(Route("/metrics", metrics))
    app = Starlette(routes=routes)
    app.state.service = state
    return app


class ProbeServer(uvicorn.Server):
    """Answers probes for as long as the service runs, to its last answer. Signals are the service's to take."""

    def __init__(self, state: ServiceState, bound: socket.socket) -> None:
        """Answer on a socket that listens."""
        config = uvicorn.Config(
            probe_app(state),
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        super().__init__(config)
        self._bound = bound

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the service."""
        yield

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer for as long as a context lasts."""
        task = asyncio.create_task(self.serve(sockets=[self._bound]))
        try:
            yield
        finally:
            self.should_exit = True
            await task
