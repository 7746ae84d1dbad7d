"""What the chart's containers run beside the service, run here; and that its generated files are up to date."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from PIL import Image

from deploy.tools.chart_files import Value, values
from edit_rrm_service.auth import hash_key
from edit_rrm_service.engines.checkpoint import find_checkpoint, judge_card
from tests.deploy.chart import CHART, ROOT
from tests.fakes.service_process import fake_service

FILES = CHART / "files"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def script(name: str, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FILES / name), *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)


@pytest.fixture
def sentinels(tmp_path: Path) -> Path:
    """A set whose good edit the fake judge, which scores red, scores best."""
    for name, red in (("source", 20), ("good", 80)):
        Image.new("RGB", (64, 64), (red, 0, 0)).save(tmp_path / f"{name}.png")
    (tmp_path / "sentinels.toml").write_text(
        '[good]\ninstruction = "make it redder"\nsource = "source.png"\nedited = "good.png"\n'
        '[worse.black]\nedited = "black"\n'
    )
    return tmp_path


def test_the_test_passes_where_known_edits_are_scored_in_order(sentinels: Path) -> None:
    with fake_service(sentinels / "log") as service:
        result = script("sentinel_triple.py", service.url, SENTINELS_FOLDER=str(sentinels))
        assert result.returncode == 0, result.stderr
        assert "'good': 8.0, 'untouched': 2.0, 'black': 0.0" in result.stdout
        (sentinels / "good.png").write_bytes((sentinels / "source.png").read_bytes())
        result = script("sentinel_triple.py", service.url, SENTINELS_FOLDER=str(sentinels))
        assert result.returncode == 1
        assert "not scored below the good edit: untouched" in result.stderr


def test_the_test_posts_the_shipped_sentinels_and_asks_for_a_key_where_one_is_needed(tmp_path: Path) -> None:
    key = "chart-test"
    with fake_service(tmp_path / "log", api_key_hashes=hash_key(key)) as service:
        refused = script("sentinel_triple.py", service.url)
        assert refused.returncode == 1
        assert "name a Secret with one in tests.apiKey.existingSecret" in refused.stderr
        # The fake judge knows nothing of shapes; that it was asked is what shows here.
        assert "identity" in script("sentinel_triple.py", service.url, API_KEY=key).stdout


def test_a_card_is_put_beside_weights_that_stay_as_they_are(tmp_path: Path) -> None:
    checkpoint, judge, card = tmp_path / "checkpoint", tmp_path / "judge", tmp_path / "card.json"
    checkpoint.mkdir()
    judge.mkdir()
    (checkpoint / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    (checkpoint / "edit_rrm.json").write_text('{"name": "theirs"}')
    card.write_text('{"name": "ours"}')
    before = sorted(checkpoint.iterdir())
    for _ in range(2):  # a container may run again
        result = script("add_card.py", checkpoint, card, judge)
        assert result.returncode == 0, result.stderr
    assert judge_card(find_checkpoint(str(judge))).name == "ours"
    assert (judge / "model.safetensors").read_bytes() == b"weights"
    assert sorted(checkpoint.iterdir()) == before
    assert judge_card(checkpoint).name == "theirs"


def test_a_folder_without_a_checkpoint_is_said(tmp_path: Path) -> None:
    result = script("add_card.py", tmp_path, tmp_path / "card.json", tmp_path)
    assert result.returncode == 1
    assert "has no config.json; point model.claim.path at a checkpoint" in result.stderr


class _Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as a download asks for."""

    files: ClassVar[dict[str, bytes]] = {
        "config.json": b'{"model_type": "qwen2_5_vl"}',
        "model.safetensors": b"weights",
        "README.md": b"not wanted",
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path = self.path.partition("?")[0]
        if path == f"/api/models/ml/judge/revision/{REVISION}":
            body = json.dumps(
                {"id": "ml/judge", "sha": REVISION, "siblings": [{"rfilename": name} for name in self.files]}
            ).encode()
            return self._answer(body, "application/json")
        if path == f"/api/models/ml/judge/tree/{REVISION}":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
            return self._answer(json.dumps(entries).encode(), "application/json")
        content = self.files.get(path.removeprefix(f"/ml/judge/resolve/{REVISION}/"))
        if content is None:
            self.send_error(404)
            return None
        return self._answer(content, "application/octet-stream")

    do_HEAD = do_GET

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    _Hub.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def download(hub: str, folder: Path, sha256: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return script(
        "download_model.py",
        MODEL_REPOSITORY="ml/judge",
        MODEL_REVISION=REVISION,
        MODEL_FOLDER=str(folder),
        MODEL_SHA256=json.dumps(sha256),
        HF_ENDPOINT=hub,
        HF_HOME=str(folder.parent / "hub"),
        HF_HUB_OFFLINE="0",
        NO_PROXY="127.0.0.1",
    )


def test_a_revision_is_downloaded_once_and_checked(hub: str, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    sha256 = {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    result = download(hub, folder, sha256)
    assert result.returncode == 0, result.stderr
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not (folder / "README.md").exists()
    assert [path for path in _Hub.asked if "ml/judge" in path and REVISION not in path] == []
    assert find_checkpoint(str(folder)) == folder
    asked = len(_Hub.asked)
    assert download(hub, folder, sha256).returncode == 0
    assert len(_Hub.asked) == asked


def test_a_file_that_is_another_one_stops_the_pod(hub: str, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    result = download(hub, folder, {"model.safetensors": "0" * 64})
    assert result.returncode == 1
    assert "model.safetensors has SHA-256" in result.stderr
    assert not (folder / "model.safetensors").exists()
    missing = download(hub, folder, {"other.safetensors": "0" * 64})
    assert "other.safetensors is not in the revision" in missing.stderr


def test_copies_and_the_table_of_values_are_up_to_date() -> None:
    command = [sys.executable, "deploy/tools/chart_files.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_every_value_says_what_it_is() -> None:
    found = list(values((CHART / "values.yaml").read_text()))
    assert len(found) > 100
    assert not [value.path for value in found if not value.description]
    assert list(values("# a section\na:\n  # one\n  b: 1\n  # two\n  # lines\n  c: {d: 2}\n")) == [
        Value("a", None, "a section"),
        Value("a.b", "1", "one"),
        Value("a.c", '{"d": 2}', "two lines"),
    ]
