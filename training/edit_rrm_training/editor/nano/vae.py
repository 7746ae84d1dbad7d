"""nano-editor's VAE: learns to draw the shapes world's pictures again, sharp enough for the judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edit_rrm_training.editor.nano.pictures import padded
from edit_rrm_training.editor.nano.stage import Batch, train_stage
from edit_rrm_training.editor.nano.tasks import imperfect_target, make_task
from edit_rrm_training.shapes.render import render

_PERFECT = 0.3
"""Share of perfect edits among the pictures: it has to be able to draw faults as well."""


@dataclass(frozen=True, slots=True)
class VaeRecipe:
    """How the VAE is trained."""

    steps: int = 8_000
    batch: int = 8
    """Whole pictures a step: a group norm sees less of a crop, and the VAE then drifts in colour on pictures."""
    learning_rate: float = 2e-3
    edges: float = 0.5
    """Weight of the error of differences between neighbours, which a blur gets wrong."""
    noise: float = 0.05
    """Deviation of noise on the codes, so that near codes are near pictures."""
    seed: int = 0


def train_vae(vae: Any, recipe: VaeRecipe, folder: Path) -> None:
    """Train a VAE in place, in fp32 and not compiled: on a CPU that is the fastest, with channels last."""
    vae.to(memory_format=torch.channels_last)
    train_stage(
        _Reconstruction(vae, recipe.edges, recipe.noise),
        partial(vae_batch, recipe),
        folder,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        save_every=500,
        bf16=False,
    )


def vae_batch(recipe: VaeRecipe, step: int) -> Batch:
    """A step's pictures, (B, 3, 88, 88)."""
    tasks = [make_task("train", step * recipe.batch + index) for index in range(recipe.batch)]
    scenes = [task.source if task.index % 3 == 0 else imperfect_target(task, _PERFECT) for task in tasks]
    return {"pixels": padded([render(scene) for scene in scenes])}


class _Reconstruction(nn.Module):
    """Error of what a VAE draws of its own codes."""

    def __init__(self, vae: Any, edges: float, noise: float) -> None:
        super().__init__()
        self.vae = vae
        self._edges, self._noise = edges, noise

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(memory_format=torch.channels_last)
        codes = self.vae.encode(pixels, return_dict=False)[0].mode()
        drawn = self.vae.decode(codes + self._noise * torch.randn_like(codes), return_dict=False)[0]
        off = drawn - pixels
        edges = off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()
        # The square's gradient is largest where all is still wrong, the absolute's where little is.
        loss: torch.Tensor = off.abs().mean() + off.square().mean() + self._edges * edges
        return loss
