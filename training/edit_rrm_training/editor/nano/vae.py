"""nano-editor's VAE: learns to draw the shapes world's pictures again, sharp enough for the judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edit_rrm_training.editor.nano.architecture import SIDE
from edit_rrm_training.editor.nano.pictures import padded
from edit_rrm_training.editor.nano.stage import Batch, train_stage
from edit_rrm_training.editor.nano.tasks import imperfect_target, make_task
from edit_rrm_training.shapes.render import render

_PERFECT = 0.3
"""Share of perfect edits among the pictures: it has to be able to draw faults as well."""


@dataclass(frozen=True, slots=True)
class VaeRecipe:
    """How the VAE is trained."""

    steps: int = 2_000
    batch: int = 64
    """Crops of `crop` x `crop` a step."""
    crop: int = 48
    whole_steps: int = 250
    """Steps on whole pictures after that: a group norm sees more of those than of crops."""
    learning_rate: float = 1e-3
    edges: float = 0.5
    """Weight of the error of differences between neighbours, which a blur gets wrong."""
    noise: float = 0.05
    """Deviation of noise on the codes, so that near codes are near pictures."""
    seed: int = 0


def train_vae(vae: Any, recipe: VaeRecipe, folder: Path) -> None:
    """Train a VAE in place, on crops and then on whole pictures.

    In fp32 and not compiled: on a CPU that is the fastest, with channels last, and under `torch.compile` the encoder
    learnt nothing in 2,500 steps.
    """
    vae.to(memory_format=torch.channels_last)
    module = _Reconstruction(vae, recipe.edges, recipe.noise)
    stages = (
        ("crops", partial(crop_batch, recipe), recipe.steps, recipe.learning_rate),
        ("whole", partial(whole_batch, recipe), recipe.whole_steps, recipe.learning_rate / 4.0),
    )
    for name, batch, steps, rate in stages:
        train_stage(module, batch, folder / name, steps=steps, learning_rate=rate, save_every=250, bf16=False)


def crop_batch(recipe: VaeRecipe, step: int) -> Batch:
    """Crops of a step's pictures, (B, 3, crop, crop): four of each."""
    rng = np.random.default_rng([recipe.seed, step])
    pictures = _pictures(recipe, step, recipe.batch // 4)
    places = rng.integers(0, SIDE - recipe.crop + 1, (recipe.batch, 2))
    crops = [
        pictures[index // 4, :, top : top + recipe.crop, left : left + recipe.crop]
        for index, (top, left) in enumerate(places)
    ]
    return {"pixels": torch.stack(crops)}


def whole_batch(recipe: VaeRecipe, step: int) -> Batch:
    """A step's pictures, (B / 4, 3, 96, 96)."""
    return {"pixels": _pictures(recipe, recipe.steps + step, recipe.batch // 4)}


def _pictures(recipe: VaeRecipe, step: int, count: int) -> torch.Tensor:
    tasks = [make_task("train", step * count + index) for index in range(count)]
    return padded([render(task.source if task.index % 3 == 0 else imperfect_target(task, _PERFECT)) for task in tasks])


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
