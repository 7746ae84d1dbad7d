"""A service of one's own: what it says when it does not come up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import httpx2
import pytest

from edit_rrm_client.local import LocalServiceError, local_service

# Found before an engine is chosen, so nothing heavy is imported.
MISSING = ("--engine", "transformers", "--model", "no/such/model/anywhere")


def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "server.log"
    with pytest.raises(LocalServiceError) as caught, local_service(MISSING, log=log):
        pytest.fail("it must not come up")
    message = str(caught.value)
    assert "stopped with status 1" in message
    assert str(log) in message
    assert message.splitlines()[-1] in log.read_text()
    assert "no/such/model/anywhere does not exist; --model takes" in message
    assert "Traceback" not in message


def test_a_service_that_is_not_ready_in_time_is_stopped(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    started = time.monotonic()
    with (
        pytest.raises(LocalServiceError, match="not ready within 0 s") as caught,
        local_service(MISSING, log=log, ready_within_s=0.0),
    ):
        pytest.fail("it must not come up")
    assert str(log) in str(caught.value)
    assert time.monotonic() - started < 30.0, "it was told to stop, and not waited for"


STAND_IN = """
import http.server, sys

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

port = next(int(flag.partition("=")[2]) for flag in sys.argv if flag.startswith("--port="))
print("listening", *sys.argv[1:], flush=True)
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


def test_a_ready_service_is_yielded_and_stopped_at_the_end(tmp_path: Path) -> None:
    """With a stand-in package of the same name, first on the path of the service's own environment."""
    package = tmp_path / "stand_in" / "edit_rrm_service"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    log = tmp_path / "server.log"
    env = {**os.environ, "PYTHONPATH": str(package.parent)}
    with local_service(("--engine", "vllm"), log=log, ready_within_s=60.0, env=env) as url:
        assert httpx2.get(f"{url}/readyz").status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/readyz")
    assert "serve --host=127.0.0.1 --port=" in log.read_text()
    assert "--engine vllm" in log.read_text()
