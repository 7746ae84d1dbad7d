"""Runs the application: binds the port first, so that a taken one is said before a model is loaded, then serves."""

from __future__ import annotations

import errno
import socket
import sys

import uvicorn

from edit_rrm_service.app import create_app
from edit_rrm_service.auth import KeysError, load_keys
from edit_rrm_service.logs import configure_logs
from edit_rrm_service.settings import Settings

_BACKLOG = 2_048
_DRAIN_S = 30
_KEEPALIVE_S = 65
"""Longer than clients keep idle connections, so that it is never the server that closes one under a request."""


def run(settings: Settings) -> int:
    """Serve until stopped.

    Returns:
        0 after an orderly stop, 1 if the port is taken, or the keys or the judge cannot be loaded (with one line on
        standard error).
    """
    configure_logs(settings.log_level, settings.log_format)
    try:
        keys = load_keys(settings.api_key_hashes, settings.api_keys_file, settings.caller_limits)
    except KeysError as error:
        _say(str(error))
        return 1
    try:
        bound = bind(settings.host, settings.port)
    except OSError as error:
        wrong_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        advice = f"choose another {'--host' if wrong_host else '--port'}"
        _say(f"cannot listen on {_authority(settings.host, settings.port)}: {error.strerror or error}; {advice}")
        return 1
    failures: list[str] = []

    def fail(message: str) -> None:
        failures.append(message)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(settings, on_failure=fail, keys=keys),
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEPALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        server_header=False,
    )
    server = uvicorn.Server(config)
    host, port = bound.getsockname()[:2]
    sys.stderr.write(f"edit-rrm: http://{_authority(host, port)} (docs at /docs); loading {settings.model}\n")
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
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


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _say(line: str) -> None:
    sys.stderr.write(f"edit-rrm: {line}\n")
