"""A service as a process: started, waited for, signalled, and gone at the end whatever happened."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port of this machine that nobody has taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class ServiceProcess:
    """One service on a port of its own, or (to come back after a death) on the one given."""

    def __init__(self, command: Sequence[str], log: Path, env: dict[str, str], port: int | None = None) -> None:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        settings = {"EDIT_RRM_PORT": str(port), "EDIT_RRM_HOST": "127.0.0.1", **env}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=output, stderr=output, env={**os.environ, **settings}, cwd=ROOT
            )

    def wait_ready(self, seconds: float = 120.0) -> None:
        """Wait until it takes work."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx2.get(f"{self.url}/readyz", timeout=5.0).is_success:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.05)
        raise TimeoutError(self.log.read_text())

    def signal(self, which: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process alone."""
        self.process.send_signal(which)

    def wait(self, seconds: float = 30.0) -> int:
        """Wait for its end and return its status."""
        return self.process.wait(timeout=seconds)


@contextmanager
def fake_service(
    log: Path, *, seconds: float = 0.0, port: int | None = None, **settings: object
) -> Iterator[ServiceProcess]:
    """A ready service on a fake engine that takes some seconds a call, and scores as `tests.fakes.serve` says."""
    env = {f"EDIT_RRM_{name.upper()}": str(value) for name, value in settings.items()}
    with _ended(ServiceProcess(["-m", "tests.fakes.serve", str(seconds)], log, env, port)) as service:
        service.wait_ready()
        yield service


@contextmanager
def _ended(service: ServiceProcess) -> Iterator[ServiceProcess]:
    try:
        yield service
    finally:
        # Where a test fails, nothing is left of vLLM's processes either.
        family = (
            [] if service.process.poll() is not None else psutil.Process(service.process.pid).children(recursive=True)
        )
        service.process.kill()
        service.process.wait()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@contextmanager
def nano_service(
    log: Path, *, ready: bool = True, module: str = "edit_rrm_service", **settings: object
) -> Iterator[ServiceProcess]:
    """The shipped judge on vLLM as a process of its own, by running such a module."""
    env = {
        "EDIT_RRM_DRAIN_DELAY_MS": "0",
        **{f"EDIT_RRM_{name.upper()}": str(value) for name, value in settings.items()},
    }
    with _ended(ServiceProcess(["-m", module, "serve"], log, env)) as service:
        if ready:
            service.wait_ready()
        yield service
