"""Runs the application: binds the port first, so that a taken one is said before a model is loaded, then serves."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import sys
from contextlib import nullcontext
from types import FrameType

import uvicorn

from edit_rrm_service.app import create_app
from edit_rrm_service.auth import KeysError, load_keys
from edit_rrm_service.header_timeout import protocol_with_header_timeout
from edit_rrm_service.lifecycle import Lifecycle, Phase
from edit_rrm_service.loading import load_judge
from edit_rrm_service.logs import configure_logs
from edit_rrm_service.malloc import give_back_large_blocks
from edit_rrm_service.probes import ProbeServer
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import Loader
from edit_rrm_service.tracing import TracingError, tracer_for
from edit_rrm_service.ui.mount import PageError

_logger = logging.getLogger(__name__)

_BACKLOG = 2_048
_LAST_ANSWERS_S = 5
"""For answers that are on their way out when everything has been done, or is given up."""
_KEEPALIVE_S = 65
"""Longer than clients keep idle connections, so that it is never the server that closes one under a request."""


class DrainingServer(uvicorn.Server):
    """Stops in order: unready, a delay, refusing what comes, what is under way, the end. A second signal hurries."""

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, settings: Settings, probes: ProbeServer | None = None
    ) -> None:
        """Serve until a signal comes, and answer probes meanwhile."""
        super().__init__(config)
        self._probes = probes
        self._lifecycle = lifecycle
        self._delay_s = settings.drain_delay_ms / 1e3
        self._timeout_s = settings.drain_timeout_ms / 1e3
        self._signals: list[int] = []
        self._drain: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve on sockets that listen."""
        async with nullcontext() if self._probes is None else self._probes.answering():
            await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; the event loop sees it within a tenth of a second."""
        # Not handed to uvicorn, which would raise it again at the end: an orderly stop exits with 0.
        self._signals.append(sig)
        if len(self._signals) > 1:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Begin to stop where a signal has come."""
        if self._signals and self._drain is None:
            self._drain = asyncio.create_task(self._stop())
        return await super().on_tick(counter)

    async def _stop(self) -> None:
        began = self._lifecycle.phase
        self._lifecycle.drain()
        # Nobody balances load over somebody's terminal.
        if began is Phase.READY and self._signals[0] != signal.SIGINT:
            await asyncio.sleep(self._delay_s)
        self._lifecycle.stop()
        _logger.info("%d requests under way", self._lifecycle.under_way)
        if not await self._lifecycle.wait_idle(self._timeout_s):
            _logger.warning("%d requests were not done in time and are given up", self._lifecycle.under_way)
        self._lifecycle.over.set()
        self.should_exit = True


def run(settings: Settings, loader: Loader = load_judge) -> int:
    """Serve until stopped.

    Args:
        settings: How to serve.
        loader: Finds the judge and makes its engine.

    Returns:
        0 after an orderly stop; 1, with one line on standard error, if the port is taken or the keys, the traces or the
        judge cannot be had.
    """
    configure_logs(settings.log_level, settings.log_format)
    try:
        keys = load_keys(settings.api_key_hashes, settings.api_keys_file, settings.caller_limits)
        tracer = tracer_for(settings.otlp_endpoint)
    except (KeysError, TracingError) as error:
        _say(str(error))
        return 1
    ports = {"--port": settings.port}
    if settings.probe_port is not None:
        ports["--probe-port"] = settings.probe_port
    sockets: dict[str, socket.socket] = {}
    for flag, port in ports.items():
        try:
            sockets[flag] = bind(settings.host, port)
        except OSError as error:
            for other in sockets.values():
                other.close()
            wrong_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
            advice = f"choose another {'--host' if wrong_host else flag}"
            _say(f"cannot listen on {_authority(settings.host, port)}: {error.strerror or error}; {advice}")
            return 1
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        server.should_exit = True

    if settings.engine != "transformers":  # whose tensors are this process's, too, and come and go all the time
        give_back_large_blocks()
    try:
        app = create_app(settings, loader=loader, on_failure=fail, keys=keys, tracer=tracer)
    except PageError as error:
        for bound in sockets.values():
            bound.close()
        _say(str(error))
        return 1
    config = uvicorn.Config(
        app,
        http=protocol_with_header_timeout(settings.header_timeout_ms / 1e3),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEPALIVE_S,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
        server_header=False,
    )
    probes = ProbeServer(app.state.service, sockets["--probe-port"]) if "--probe-port" in sockets else None
    server = DrainingServer(config, app.state.service.lifecycle, settings, probes)
    pages = "docs at /docs, a page to look at judgements at /ui" if settings.ui else "docs at /docs"
    told = f"http://{_bound_to(sockets['--port'])} ({pages})"
    if probes is not None:
        told += f", probes at http://{_bound_to(sockets['--probe-port'])}"
    sys.stderr.write(f"edit-rrm: {told}; loading {settings.model}\n")
    try:
        server.run(sockets=[sockets["--port"]])
    except KeyboardInterrupt:  # before there was a server to take it
        return 0
    if failures:
        _say(failures[0])
        return 1
    return 0


def bind(host: str, port: int) -> socket.socket:
    """Take a port of this machine.

    Raises:
        OSError: It is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        # Two sockets may bind one port by SO_REUSEADDR as long as neither listens: listening now keeps the second away.
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _bound_to(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return _authority(host, port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _say(line: str) -> None:
    sys.stderr.write(f"edit-rrm: {line}\n")
