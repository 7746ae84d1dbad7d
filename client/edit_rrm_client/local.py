"""A service of one's own: `edit-rrm serve` on a free port of this machine, for as long as a context lasts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

_STOP_WITHIN_S = 60.0
_TAIL_CHARS = 2_000


class LocalServiceError(RuntimeError):
    """The service did not come up; the message has the end of its log."""


@contextmanager
def local_service(
    arguments: Sequence[str] = (), *, log: Path, ready_within_s: float = 600.0, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve a judge from this machine for as long as the context lasts.

    Args:
        arguments: More flags for `edit-rrm serve`, such as ``("--engine", "transformers")``.
        log: File for the service's output.
        ready_within_s: How long to wait for readiness, in seconds.
        env: Environment of the service; this process's own by default.

    Yields:
        The service's base URL.

    Raises:
        LocalServiceError: The service stopped or was not ready in time.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "edit_rrm_service", "serve", "--host=127.0.0.1", f"--port={port}", *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        # Nobody else sends requests here, so there is no load balancer that would have to notice the end first. And who
        # measures a judge wants to know how bad it is: known edits in the wrong order are logged and stop nothing.
        usual = {"EDIT_RRM_DRAIN_DELAY_MS": "0", "EDIT_RRM_SENTINELS": "warn"}
        settings = {**usual, **(os.environ if env is None else env)}
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, and arguments from our own caller
            command, stdout=output, stderr=subprocess.STDOUT, env=settings
        )
        try:
            _wait_until_ready(url, process, log, ready_within_s)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(timeout=_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise LocalServiceError(f"the service stopped with status {process.returncode}:\n{_tail(log)}")
        try:
            if httpx2.get(f"{url}/readyz", timeout=5.0).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    raise LocalServiceError(f"the service was not ready within {within_s:.0f} s:\n{_tail(log)}")


def _tail(log: Path) -> str:
    end = log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARS:].strip()
    return f"the end of {log}:\n{end}" if end else f"{log} is empty"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
