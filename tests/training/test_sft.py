"""SFT of a small judge: it runs, it resumes to the very same weights, and what it writes can be served."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import Qwen2_5_VLForConditionalGeneration

from edit_rrm.card import CARD_FILE, load_card
from edit_rrm.prompts import load_prompt_set
from edit_rrm_training.judge.architecture import TOKENIZER_FILES
from edit_rrm_training.judge.seeing import SeeingRecipe
from edit_rrm_training.judge.sft import SftRecipe, train_sft

pytestmark = pytest.mark.slow

RECIPE: dict[str, Any] = {
    "rows_per_step": 4,
    "seeing": SeeingRecipe(steps=3, samples_per_step=2),
    "decompose_every": 2,
    "warmup_steps": 1,
    "decay_share": 0.0,
    "save_every": 2,
    "log_every": 1,
    "compiled": False,
    "tokenizer_samples": 300,
}


def weights(judge: Path) -> dict[str, torch.Tensor]:
    return load_file(str(judge / "model.safetensors"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    return train_sft(SftRecipe(steps=4, **RECIPE), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def resumed(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run as if it had been killed after step 3: its newest checkpoint is that of step 2."""
    folder = tmp_path_factory.mktemp("resumed") / "run"
    shutil.copytree(whole.parent, folder)
    shutil.rmtree(folder / "checkpoints" / "checkpoint-4")
    (folder / "judge" / "model.safetensors").unlink()
    return train_sft(SftRecipe(steps=4, **RECIPE), folder)


def test_the_judge_loads_and_is_small_enough_to_ship(whole: Path) -> None:
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(whole)
    assert model.dtype is torch.bfloat16
    assert (whole / "model.safetensors").stat().st_size < 16 * 2**20
    assert not [name for name in weights(whole) if "cell_heads" in name]


def test_the_card_says_how_it_was_made(whole: Path) -> None:
    card = load_card(whole)
    assert card is not None
    assert card.prompts_fingerprint == load_prompt_set("nano").fingerprint
    assert card.training["recipe"]["steps"] == 4
    assert card.training["samples"] == 16
    assert card.training["wall_time_s"] >= 1


def test_an_interrupted_run_ends_with_the_same_weights(whole: Path, resumed: Path) -> None:
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_the_log_goes_on_where_it_stopped(whole: Path, resumed: Path) -> None:
    def entries(judge: Path) -> list[dict[str, float]]:
        return [json.loads(line) for line in (judge.parent / "log.jsonl").read_text(encoding="utf-8").splitlines()]

    first, both = entries(whole), entries(resumed)
    assert both[: len(first)] == first
    assert [entry["step"] for entry in both[len(first) :] if "loss" in entry] == [3, 4]
    assert both[len(first)]["seconds"] >= first[-1]["seconds"]


def test_a_run_goes_on_from_a_judge(whole: Path, tmp_path: Path) -> None:
    start = {**RECIPE, "seeing": None, "init_from": str(whole), "first_index": 16, "learning_rate": 1e-9}
    further = train_sft(SftRecipe(steps=1, **start), tmp_path)
    for name in TOKENIZER_FILES:
        assert (further / name).read_bytes() == (whole / name).read_bytes()
    for name, tensor in weights(whole).items():
        assert torch.allclose(tensor, weights(further)[name], atol=1e-2), name
    card, before = load_card(further), load_card(whole)
    assert card is not None
    assert before is not None
    assert card.training["goes_on_from"] == before.training
    assert str(tmp_path) not in (further / CARD_FILE).read_text(encoding="utf-8")
    assert str(whole) not in (further / CARD_FILE).read_text(encoding="utf-8")


def test_passes_in_bf16_train_the_same_judge_in_fp32(whole: Path, tmp_path: Path) -> None:
    quick = train_sft(SftRecipe(steps=4, dtype="bfloat16", **RECIPE), tmp_path)
    checkpoint = load_file(str(tmp_path / "checkpoints" / "checkpoint-4" / "model.safetensors"))
    assert {tensor.dtype for tensor in checkpoint.values()} == {torch.float32}
    losses = {
        folder: [
            entry["loss"]
            for entry in map(json.loads, (folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
            if "loss" in entry
        ]
        for folder in (whole.parent, quick.parent)
    }
    assert losses[tmp_path] == pytest.approx(losses[whole.parent], rel=0.02)
    assert losses[tmp_path] != losses[whole.parent]


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="no dtype 'int4'; there are: float32, bfloat16"):
        SftRecipe(dtype="int4")  # type: ignore[arg-type]  # what a YAML file may say


def test_what_is_no_judge_cannot_be_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no judge to go on from: it lacks tokenizer\.json"):
        train_sft(SftRecipe(steps=1, init_from=str(tmp_path / "nobody"), **RECIPE), tmp_path / "out")
