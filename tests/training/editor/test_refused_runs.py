"""What a run is refused for before its model is loaded, which may take minutes and eight GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import tracking

from edit_rrm_client import AuthenticationError, IdentityChangedError, RewardClient
from edit_rrm_service.auth import hash_key
from edit_rrm_training.editor import run
from edit_rrm_training.editor.run import train_editor
from tests.client.fake_service import judgement, judging_service
from tests.training.editor.test_run import recipe
from tests.training.editor.toy_run import BlueJudge, Notes, toy_run

KEY = "sesame"


class LoadedError(Exception):
    """The model would be loaded now."""


@pytest.fixture(autouse=True)
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which models were loaded."""
    models: list[str] = []

    def load(policy: Any, device: Any) -> Any:
        models.append(policy.model)
        raise LoadedError

    monkeypatch.setattr(run, "load_pipeline", load)
    # There is no model, so that its tokenizer cannot be asked.
    monkeypatch.setattr(run, "load_checker", lambda policy: SimpleNamespace(check=lambda instruction, size: None))
    return models


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with judging_service(lambda _: judgement(5.0), api_key_hashes=(hash_key(KEY),)) as url:
        yield url


def begin(url: str, out: Path, *, resume: bool = True, **fields: Any) -> None:
    made = recipe(Path("model"), Path("shapes:train"), url, evaluation={"prompts": None}, **fields)
    train_editor(made, out, resume=resume, say=lambda _: None)


def test_a_service_that_wants_a_key(
    service: str, tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (None, "wrong"):
        monkeypatch.delenv("EDIT_RRM_API_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("EDIT_RRM_API_KEY", key)
        with pytest.raises(
            AuthenticationError, match=rf"{service} wants a key \(.*: set EDIT_RRM_API_KEY to"
        ) as caught:
            begin(service, tmp_path / "run")
        assert caught.value.status == 401
    assert loads == []
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("EDIT_RRM_API_KEY", KEY)
    with pytest.raises(LoadedError):
        begin(service, tmp_path / "run")


def test_another_judge_than_the_checkpoints(
    service: str, tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDIT_RRM_API_KEY", KEY)
    with RewardClient(service, api_key=KEY) as client:
        judging = client.identity().identity
    toy_run(tmp_path, BlueJudge(), Notes(), steps=1, save_every=1, identity="blue").run()
    with pytest.raises(
        IdentityChangedError, match=rf"{judging} is judging at {service}, and the run began with blue: "
    ):
        begin(service, tmp_path)
    assert loads == []
    assert (tmp_path / "checkpoints" / "checkpoint-1").is_dir()
    with pytest.raises(LoadedError):
        begin(service, tmp_path, resume=False)
    toy_run(tmp_path, BlueJudge(), Notes(), steps=1, save_every=1, identity=judging).run()
    with pytest.raises(LoadedError):
        begin(service, tmp_path)


def test_a_tracker_that_is_not_installed(tmp_path: Path, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_available_trackers", [])
    for name in ("wandb", "tensorboard"):
        with pytest.raises(ValueError, match=f"pip install {name}, or leave it out of report_to"):
            begin("http://127.0.0.1:9", tmp_path / "run", report_to=[name])
    assert loads == []
    assert not (tmp_path / "run").exists()
