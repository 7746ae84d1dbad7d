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

    steps: int = 2_500
    batch: int = 64
    """Crops of `crop` x `crop` a step."""
    crop: int = 48
    whole_steps: int = 300
    """Steps on whole pictures after that: a group norm sees more of those than of crops."""
    learning_rate: float = 2e-3
    edges: float = 0.5
    """Weight of the error of differences between neighbours, which a blur gets wrong."""
    kl: float = 1e-5
    seed: int = 0


def train_vae(vae: Any, recipe: VaeRecipe, folder: Path, *, compiled: bool = True) -> None:
    """Train a VAE in place, on crops and then on whole pictures.

    Convolutions on a CPU are four times as fast compiled, and with channels last.
    """
    vae.to(memory_format=torch.channels_last)
    module = _Reconstruction(vae, recipe.edges, recipe.kl, compiled=compiled)
    crops = partial(crop_batch, recipe)
    train_stage(module, crops, folder / "crops", steps=recipe.steps, learning_rate=recipe.learning_rate, save_every=250)
    wholes = partial(whole_batch, recipe)
    rate = recipe.learning_rate / 4.0
    train_stage(module, wholes, folder / "whole", steps=recipe.whole_steps, learning_rate=rate, save_every=100)


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
    """Error of what a VAE draws, and how far its codes are from a normal distribution."""

    def __init__(self, vae: Any, edges: float, kl: float, *, compiled: bool) -> None:
        super().__init__()
        self.vae = vae
        self._edges, self._kl = edges, kl
        self._encode: Any = torch.compile(vae.encode, dynamic=False) if compiled else vae.encode
        self._decode: Any = torch.compile(vae.decode, dynamic=False) if compiled else vae.decode

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(memory_format=torch.channels_last)
        posterior = self._encode(pixels, return_dict=False)[0]
        drawn = self._decode(posterior.sample(), return_dict=False)[0].float()
        error = (drawn - pixels).abs().mean()
        across = (drawn - pixels).diff(dim=-1).abs().mean()
        down = (drawn - pixels).diff(dim=-2).abs().mean()
        loss: torch.Tensor = error + self._edges * (across + down) + self._kl * posterior.kl().mean().float()
        return loss
