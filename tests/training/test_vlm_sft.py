"""SFT on a set that the cold start wrote: it learns the set, resumes, and writes a judge."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from safetensors.torch import load_file

from edit_rrm.card import CARD_FILE, load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.cold_start.config import load_config
from edit_rrm_training.judge.cold_start.run import cold_start
from edit_rrm_training.judge.sft_set import COLUMNS, SftSetError, read_sft_set
from edit_rrm_training.judge.vlm_sft import train_vlm_sft
from edit_rrm_training.judge.vlm_sft_recipe import VlmSftRecipe

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "batch": 4,
    "accumulate": 1,
    "dtype": "float32",
    "gradient_checkpointing": False,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "save_every": 2,
    "log_every": 1,
}


@pytest.fixture(scope="module")
def sft_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cold-start")
    cold_start(load_config("noisy"), "shapes:train", out, count=16)
    return out / "dataset"


@pytest.fixture(scope="module")
def whole(sft_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = VlmSftRecipe(steps=4, **SMALL)
    return train_vlm_sft(recipe, str(SHIPPED_JUDGE), sft_set, tmp_path_factory.mktemp("whole"))


def weights(judge: Path) -> dict[str, torch.Tensor]:
    return load_file(str(judge / "model.safetensors"))


def test_all_parts_of_a_set_are_read_and_shuffled(sft_set: Path) -> None:
    rows = read_sft_set(sft_set, seed=0)
    assert tuple(rows.column_names) == COLUMNS
    counts = {len(row["images"]) for row in rows}
    assert counts == {1, 2}
    assert rows[:]["completion"] != read_sft_set(sft_set, seed=1)[:]["completion"]


def test_a_folder_that_is_no_set_says_where_sets_come_from(tmp_path: Path) -> None:
    with pytest.raises(SftSetError, match=r"no judge/\*\.parquet or decompose/\*\.parquet; `edit-rrm data cold-start"):
        read_sft_set(tmp_path, seed=0)


def test_wrong_columns_are_named_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "judge").mkdir()
    datasets.Dataset.from_dict({"prompt": ["a"], "answer": ["b"]}).to_parquet(str(tmp_path / "judge" / "0.parquet"))
    with pytest.raises(SftSetError, match=r"\['completion', 'images'\] are missing; there are: prompt, answer"):
        read_sft_set(tmp_path, seed=0)


@pytest.mark.slow
def test_what_it_writes_is_a_judge_of_the_same_words(whole: Path) -> None:
    card = load_card(whole)
    assert card is not None
    assert (card.prompts, card.prompts_fingerprint) == ("nano", load_prompt_set("nano").fingerprint)
    assert card.training["stage"] == "sft"
    assert card.training["recipe"]["steps"] == 4
    assert set(weights(whole)) == set(weights(SHIPPED_JUDGE))
    assert str(whole.parent) not in (whole / CARD_FILE).read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_loss_is_on_the_completions_alone(whole: Path) -> None:
    """A judge that knows the shapes world by heart finds its answers easy; the prompts' words would not be."""
    state = json.loads((whole.parent / "checkpoints" / "checkpoint-4" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(losses) == 4
    assert losses[0] < 1.5


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(whole: Path, sft_set: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.parent, folder)
    (folder / "checkpoints" / "checkpoint-4" / "trainer_state.json").write_text('{"global_step": ')
    shutil.rmtree(folder / "judge")
    resumed = train_vlm_sft(VlmSftRecipe(steps=4, **SMALL), str(SHIPPED_JUDGE), sft_set, folder)
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_model_that_is_nowhere_is_one_line(sft_set: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no folder nobody/nothing, and it could not be had from the model hub"):
        train_vlm_sft(VlmSftRecipe(), "nobody/nothing", sft_set, tmp_path)
