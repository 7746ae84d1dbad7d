"""A server in a process of its own, for as long as a context lasts."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

_STOP_WITHIN_S = 60.0


@contextmanager
def running(
    command: Sequence[str], port: int, path: str, *, log: Path, env: Mapping[str, str], within_s: float = 600.0
) -> Iterator[str]:
    """Start a server, and wait until it answers.

    Args:
        command: Starts it, on `port` of this machine.
        port: Its.
        path: Where anything but an error of its own says that it is ready.
        log: File for what it says.
        env: Its environment.
        within_s: How long to wait, in seconds.

    Yields:
        Its base URL.

    Raises:
        RuntimeError: It ended, or was not ready in time; the message names the log.
    """
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=env)  # noqa: S603 - our own callers'
        try:
            _wait(url + path, process, log, within_s)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes], log: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{url} will not be there: the process ended with {process.returncode}; {log} says why")
        try:
            if httpx2.get(url, timeout=5.0).status_code < httpx2.codes.INTERNAL_SERVER_ERROR:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer within {within_s:.0f} s; {log} says why")
