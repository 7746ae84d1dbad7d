"""What tests of all parts share: one service for the session, the shipped judge on vLLM, as `make serve` runs it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from edit_rrm_client import RewardClient
from edit_rrm_client.local import local_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of the running service."""
    log: Path = tmp_path_factory.mktemp("service") / "server.log"
    with local_service(("--engine", "vllm", "--ui"), log=log) as url:
        yield url


@pytest.fixture(scope="session")
def client(service: str) -> Iterator[RewardClient]:
    with RewardClient(service, timeout=120.0) as ready:
        yield ready


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Take back what `configure_logs` does to this process."""
    loggers = [
        logging.getLogger(name) for name in ("", "edit_rrm_service", "uvicorn", "uvicorn.error", "uvicorn.access")
    ]
    before = [(logger.level, logger.propagate, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, propagate, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.propagate = propagate
        logger.handlers[:] = handlers
