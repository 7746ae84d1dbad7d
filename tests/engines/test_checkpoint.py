"""A wrong checkpoint is one line that says what to do, before anything is loaded."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edit_rrm.card import CARD_FILE, JudgeCard, save_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.engines.base import EngineStartError
from edit_rrm_service.engines.checkpoint import find_checkpoint, judge_card, weights_digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Just enough of a checkpoint."""
    path = tmp_path / "judge"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    (path / "model.safetensors").write_bytes(b"weights")
    return path


@pytest.mark.parametrize("missing", ["/no/such/folder", "./nowhere", "nowhere"])
def test_folder_that_does_not_exist(missing: str) -> None:
    with pytest.raises(EngineStartError, match="does not exist; --model takes") as caught:
        find_checkpoint(missing)
    assert "\n" not in str(caught.value)


def test_hub_name_without_a_network() -> None:
    # HF_HUB_OFFLINE is set for all tests of this folder.
    with pytest.raises(EngineStartError, match="no local folder, and the model hub did not give it") as caught:
        find_checkpoint("edit-rrm-tests/no-such-model")
    assert "\n" not in str(caught.value)


def test_file_in_place_of_a_folder(folder: Path) -> None:
    with pytest.raises(EngineStartError, match="is a file"):
        find_checkpoint(str(folder / "config.json"))


def test_folder_without_a_configuration(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(EngineStartError, match=r"has no config\.json"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("text", ["{", "[]"])
def test_broken_configuration(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(EngineStartError, match=r"config\.json"):
        find_checkpoint(str(folder))


def test_folder_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(EngineStartError, match=r"no .*safetensors weights"):
        find_checkpoint(str(folder))


def test_complete_folder(folder: Path) -> None:
    assert find_checkpoint(str(folder)) == folder.resolve()


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_full_size_model_without_a_card_gets_the_default(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    with caplog.at_level(logging.WARNING):
        card = judge_card(folder)
    assert card == JudgeCard(name="judge")
    assert card.prompts == "standard"
    assert "the default card and the 'standard' prompts" in caplog.text


def test_other_model_without_a_card(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(EngineStartError, match="write a judge card"):
        judge_card(folder)


def test_card_beside_the_checkpoint(folder: Path) -> None:
    card = JudgeCard(name="mine", prompts="nano", prompts_fingerprint=load_prompt_set("nano").fingerprint)
    save_card(card, folder)
    assert judge_card(folder) == card


def test_broken_card(folder: Path) -> None:
    (folder / CARD_FILE).write_text('{"label_mass_floor": 2}')
    with pytest.raises(EngineStartError, match="label_mass_floor"):
        judge_card(folder)


def test_card_for_other_prompts(folder: Path) -> None:
    save_card(JudgeCard(prompts="nano", prompts_fingerprint="0" * 64), folder)
    with pytest.raises(EngineStartError, match="trained with other 'nano' prompts"):
        judge_card(folder)
    save_card(JudgeCard(prompts="no-such-set"), folder)
    with pytest.raises(EngineStartError, match="no prompt set 'no-such-set'"):
        judge_card(folder)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "edit-rrm" / "digests.json"


@pytest.mark.usefixtures("cache")
def test_digest_follows_what_decides_the_answers(folder: Path) -> None:
    first = weights_digest(folder)
    assert len(first) == 64
    save_card(JudgeCard(name="renamed"), folder)
    (folder / "README.md").write_text("words")
    assert weights_digest(folder) == first
    (folder / "model.safetensors").write_bytes(b"other weights")
    second = weights_digest(folder)
    assert second != first
    (folder / "tokenizer.json").write_text("{}")
    assert weights_digest(folder) not in (first, second)


@pytest.mark.parametrize("text", ["not json", "[]", '{"a": 1}'])
def test_digest_survives_a_broken_cache(folder: Path, cache: Path, text: str) -> None:
    first = weights_digest(folder)
    cache.write_text(text)
    assert weights_digest(folder) == first
