"""One service for the session: the shipped judge on vLLM, as `make serve` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edit_rrm_client import RewardClient
from edit_rrm_client.local import local_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the running service."""
    log: Path = tmp_path_factory.mktemp("service") / "server.log"
    with local_service(("--engine", "vllm"), log=log) as url:
        yield url


@pytest.fixture(scope="session")
def client(service: str) -> Iterator[RewardClient]:
    with RewardClient(service, timeout=120.0) as ready:
        yield ready
