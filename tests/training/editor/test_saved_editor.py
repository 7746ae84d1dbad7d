"""An editor that is read again edits as it did in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edit_rrm_training.editor.edit import load_editor, make_edits
from edit_rrm_training.editor.editor_card import EditorCard
from edit_rrm_training.editor.load import load_pipeline, make_trainable, policy_of
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.recipe import LoraRecipe, PolicyRecipe
from edit_rrm_training.editor.saved_editor import save_editor
from tests.training.editor.pipelines import INSTRUCTIONS


def edit(policy: EditPolicy) -> Any:
    source = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    (made,) = make_edits(policy, source, INSTRUCTIONS[0], steps=3)
    return np.asarray(made, dtype=float)


@pytest.mark.parametrize("lora", [None, LoraRecipe(rank=4, alpha=4), LoraRecipe(rank=4, alpha=12)])
def test_it_edits_as_it_was_trained_to(lora: LoraRecipe | None, model: Path, tmp_path: Path) -> None:
    recipe = PolicyRecipe(
        kind="flux-kontext", model=str(model), dtype="float32", text_tokens=16, max_pixels=64 * 64, lora=lora
    )
    pipeline = load_pipeline(recipe, "cpu")
    before = edit(policy_of(recipe, pipeline))
    generator = torch.Generator().manual_seed(1)
    for weights in make_trainable(recipe, pipeline):
        weights.data += 0.1 * torch.randn(weights.shape, generator=generator)
    trained = edit(policy_of(recipe, pipeline))
    assert np.abs(trained - before).max() > 20
    whole = {name: value for name, value in pipeline.transformer.named_parameters() if value.requires_grad}
    save_editor(tmp_path / "editor", EditorCard(policy=recipe), pipeline, whole)
    assert np.abs(edit(load_editor(tmp_path / "editor")) - trained).max() <= 1
