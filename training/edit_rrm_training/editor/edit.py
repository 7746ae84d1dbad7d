"""Edits by an editing model that was trained here."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from edit_rrm_training.editor.editor_card import load_editor_card
from edit_rrm_training.editor.load import load_pipeline, policy_of
from edit_rrm_training.editor.policies.base import EditPolicy
from edit_rrm_training.editor.sampling import roll_out, seed_of
from edit_rrm_training.editor.sde import trajectory
from edit_rrm_training.editor.shipped import editor_path
from edit_rrm_training.judge.devices import cpu_only


def load_editor(model: str | Path) -> EditPolicy:
    """An editor as `train editor` writes it: an adapter and its model, or a whole pipeline.

    Args:
        model: Its folder, or the name of a shipped one.

    Raises:
        EditorError: The folder is none.
        OSError: The model that the adapter is of is not there.
    """
    folder = editor_path(model)
    recipe = load_editor_card(folder).policy
    device = "cpu" if cpu_only() else "cuda"
    if recipe.lora is None:
        return policy_of(recipe, load_pipeline(recipe.model_copy(update={"model": str(folder)}), device))
    pipeline = load_pipeline(recipe, device)
    pipeline.load_lora_weights(str(folder))
    return policy_of(recipe, pipeline)


@torch.no_grad()
def make_edits(
    policy: EditPolicy, source: Image.Image, instruction: str, *, count: int = 1, steps: int = 28, seed: int = 0
) -> tuple[Image.Image, ...]:
    """Edit a picture, without noise but that which each edit begins with."""
    condition = policy.encode([source], [instruction]).take([0] * count)
    path = trajectory(policy.times(steps, condition), "ode", 0.0)
    return roll_out(policy, condition, path, [seed_of(seed, 4, number) for number in range(count)]).pictures
