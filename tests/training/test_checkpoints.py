"""Which checkpoint a run resumes from, and what stops it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.checkpoints import DivergedError, newest_complete
from edit_rrm_training.judge.sft import SftRecipe, train_sft


def checkpoint(folder: Path, step: int, state: str | None = '{"global_step": 1}') -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_newest_by_number_not_by_name(tmp_path: Path) -> None:
    checkpoint(tmp_path, 900)
    newest = checkpoint(tmp_path, 1000)
    assert newest_complete(tmp_path) == newest


@pytest.mark.parametrize("state", [None, "", '{"global_step": 1', "[]"])
def test_one_that_was_not_written_to_its_end_does_not_count(tmp_path: Path, state: str | None) -> None:
    whole = checkpoint(tmp_path, 50)
    checkpoint(tmp_path, 100, state)
    assert newest_complete(tmp_path) == whole


def test_where_there_is_none(tmp_path: Path) -> None:
    assert newest_complete(tmp_path) is None
    assert newest_complete(tmp_path / "nowhere") is None
    (tmp_path / "checkpoint-final").mkdir()
    assert newest_complete(tmp_path) is None


@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_the_run_and_names_the_last_good_checkpoint(tmp_path: Path) -> None:
    broken = Path(shutil.copytree(SHIPPED_JUDGE, tmp_path / "broken"))
    weights = load_file(str(broken / "model.safetensors"))
    weights["model.norm.weight" if "model.norm.weight" in weights else next(iter(weights))].fill_(torch.nan)
    save_file(weights, str(broken / "model.safetensors"), metadata={"format": "pt"})
    recipe = SftRecipe(
        steps=2, rows_per_step=2, seeing=None, warmup_steps=1, decay_share=0.0, compiled=False, init_from=str(broken)
    )
    with pytest.raises(DivergedError, match=r"loss at step 0 is nan; nothing was saved yet\. Lower the learning rate"):
        train_sft(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "judge" / "model.safetensors").exists()
