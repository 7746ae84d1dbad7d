"""Servers that are measured: ready when they answer, gone when the context ends, and told apart from dead ones."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import httpx2
import pytest

from benchmarks.running import free_port, running


def test_a_server_is_there_for_as_long_as_the_context(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    with running(command, port, "/", log=tmp_path / "log", env=os.environ, within_s=60.0) as url:
        assert httpx2.get(url).is_success
    with pytest.raises(httpx2.TransportError):
        httpx2.get(url)


def test_one_that_ends_is_told_with_its_log(tmp_path: Path) -> None:
    log, command = tmp_path / "log", [sys.executable, "-c", "print('no model', flush=True); raise SystemExit(3)"]
    with (
        pytest.raises(RuntimeError, match=rf"ended with 3; {log} says why"),
        running(command, free_port(), "/", log=log, env=os.environ, within_s=60.0),
    ):
        pytest.fail("it was never there")
    assert "no model" in log.read_text()
