"""A service that cannot start says why on one line and exits with status 1, before an engine is loaded."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edit_rrm.card import CARD_FILE
from edit_rrm_service.cli import app
from edit_rrm_service.server import bind, run
from edit_rrm_service.settings import Settings
from tests.cli.command import edit_rrm


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder that looks complete until somebody reads the weights, which a wrong card has to prevent."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def refused(*arguments: str) -> str:
    """The line that a service ends with that could not start."""
    result = edit_rrm("serve", "--engine", "transformers", "--port", "0", *arguments)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("edit-rrm: ")
    return last


def test_a_port_in_use(taken_port: int) -> None:
    line = refused("--port", str(taken_port))
    assert line == f"edit-rrm: cannot listen on 127.0.0.1:{taken_port}: Address already in use; choose another --port"


def test_a_port_of_probes_in_use(taken_port: int) -> None:
    line = refused("--probe-port", str(taken_port))
    assert line.endswith(f"127.0.0.1:{taken_port}: Address already in use; choose another --probe-port")


def test_a_model_that_does_not_exist(tmp_path: Path) -> None:
    line = refused("--model", str(tmp_path / "nowhere"))
    assert "nowhere does not exist; --model takes a checkpoint folder or a name such as" in line


def test_a_checkpoint_without_config(tmp_path: Path) -> None:
    assert "has no config.json; point --model at a complete checkpoint" in refused("--model", str(tmp_path))


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("{not json", "Invalid JSON"),
        (json.dumps({"no_such_field": 1}), "no_such_field: Extra inputs are not permitted"),
    ],
)
def test_a_broken_judge_card(checkpoint: Path, card: str, said: str) -> None:
    (checkpoint / CARD_FILE).write_text(card)
    line = refused("--model", str(checkpoint))
    assert f"{CARD_FILE}: " in line
    assert said in line


def test_the_openai_engine_without_servers() -> None:
    assert "needs at least one base URL" in refused("--engine", "openai")


@pytest.mark.parametrize(
    ("flags", "env", "said"),
    [
        (("--port", "99999"), {}, "--port or EDIT_RRM_PORT: "),
        (("--gpu-memory-utilization", "2"), {}, "--gpu-memory-utilization or EDIT_RRM_GPU_MEMORY_UTILIZATION: "),
        ((), {"EDIT_RRM_PORT": "http"}, "--port or EDIT_RRM_PORT: "),
        ((), {"EDIT_RRM_API_KEY_HASHES": "the key itself"}, "EDIT_RRM_API_KEY_HASHES: API keys are given as SHA-256"),
    ],
)
def test_wrong_settings_are_named_as_they_can_be_set(flags: tuple[str, ...], env: dict[str, str], said: str) -> None:
    result = CliRunner().invoke(app, ["serve", *flags], env=env)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"edit-rrm: {said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_ours_is_not_the_ports_fault(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Settings(host=host, port=0, log_level="error")) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"edit-rrm: cannot listen on {host}:0: ")
    assert line.endswith("choose another --host\n")


def test_a_second_service_on_the_port_is_refused_while_the_first_still_loads() -> None:
    """The port is taken from the first moment on: SO_REUSEADDR shares it between sockets that only bound it."""
    with bind("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", first.getsockname()[1])
