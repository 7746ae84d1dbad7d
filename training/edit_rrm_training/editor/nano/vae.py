"""nano-editor's VAE: learns to draw the shapes world's pictures again, sharp enough for the judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edit_rrm_training.editor.nano.architecture import build_vae
from edit_rrm_training.editor.nano.pictures import padded
from edit_rrm_training.editor.nano.stage import Batch, train_stage
from edit_rrm_training.editor.nano.tasks import imperfect_target, make_task
from edit_rrm_training.shapes.render import render

_PERFECT = 0.3
"""Share of perfect edits among the pictures: it has to be able to draw faults as well."""
_COMPONENT_TASKS = 360
"""Whose pictures' codes the principal components are of."""


@dataclass(frozen=True, slots=True)
class VaeRecipe:
    """How the VAE is trained: first with many channels, then with the few that matter."""

    wide_channels: int = 16
    """Of a latent at first; a VAE of few channels learns slowly from nothing."""
    steps: int = 8_000
    batch: int = 8
    """Whole pictures a step: a group norm sees less of a crop, and the VAE then drifts in colour on pictures."""
    learning_rate: float = 2e-3
    edges: float = 0.5
    """Weight of the error of differences between neighbours, which a blur gets wrong."""
    noise: float = 0.05
    """Deviation of noise on the codes, so that near codes are near pictures."""
    narrow_steps: int = 1_800
    narrow_learning_rate: float = 1e-3
    narrow_noise: float = 0.1
    """The same of few channels, in deviations of each channel: what an editor draws is off by as much."""
    seed: int = 0


def train_vae(vae: Any, recipe: VaeRecipe, folder: Path) -> None:
    """Train a VAE in place, in fp32 and not compiled: on a CPU that is the fastest, with channels last.

    Args:
        vae: Of few channels; its weights become those that were trained.
        recipe: How.
        folder: For checkpoints; a run that was interrupted is gone on with.
    """
    wide = build_vae(recipe.wide_channels)
    _train(wide, recipe, folder / "wide", recipe.steps, recipe.learning_rate, noise=recipe.noise)
    vae.load_state_dict(narrowed(wide, vae.config.latent_channels))
    _train(vae, recipe, folder / "narrow", recipe.narrow_steps, recipe.narrow_learning_rate, spread=recipe.narrow_noise)


def _train(
    vae: Any,
    recipe: VaeRecipe,
    folder: Path,
    steps: int,
    learning_rate: float,
    *,
    noise: float = 0.0,
    spread: float = 0.0,
) -> None:
    vae.to(memory_format=torch.channels_last)
    train_stage(
        _Reconstruction(vae, recipe.edges, noise, spread),
        partial(vae_batch, recipe),
        folder,
        steps=steps,
        learning_rate=learning_rate,
        save_every=500,
        bf16=False,
    )


@torch.no_grad()
def narrowed(wide: Any, channels: int) -> dict[str, torch.Tensor]:
    """The weights of a VAE of fewer channels that keeps the principal components of another's codes.

    The first and last layers of the codes are convolutions, so that a change of the codes' basis goes into their
    weights: each new channel has mean 0 and deviation 1 over some of the training pictures.
    """
    device = wide.encoder.conv_out.weight.device
    tasks = [make_task("train", index) for index in range(_COMPONENT_TASKS)]
    pixels = padded([render(task.target) for task in tasks]).to(device)
    codes = torch.cat([wide.encode(part).latent_dist.mode() for part in pixels.split(40)])
    flat = codes.permute(0, 2, 3, 1).flatten(0, 2).double()
    mean = flat.mean(0)
    variances, components = torch.linalg.eigh(torch.cov((flat - mean).T))
    deviations, components = variances.flip(0)[:channels].sqrt(), components.flip(1)[:, :channels]
    down, up, mean = (components / deviations).T.float(), (components * deviations).float(), mean.float()
    state = dict(wide.state_dict())
    weight, bias, count = state["encoder.conv_out.weight"], state["encoder.conv_out.bias"], len(mean)
    # The second half of the encoder's channels are log-variances, which nothing here reads.
    state["encoder.conv_out.weight"] = torch.cat(
        [torch.einsum("kc,cihw->kihw", down, weight[:count]), weight.new_zeros(channels, *weight.shape[1:])]
    )
    state["encoder.conv_out.bias"] = torch.cat([down @ (bias[:count] - mean), bias.new_full((channels,), -6.0)])
    weight = state["decoder.conv_in.weight"]
    state["decoder.conv_in.bias"] = state["decoder.conv_in.bias"] + torch.einsum("oihw,i->o", weight, mean)
    state["decoder.conv_in.weight"] = torch.einsum("oihw,ik->okhw", weight, up)
    return state


def vae_batch(recipe: VaeRecipe, step: int) -> Batch:
    """A step's pictures, (B, 3, 88, 88)."""
    tasks = [make_task("train", step * recipe.batch + index) for index in range(recipe.batch)]
    scenes = [task.source if task.index % 3 == 0 else imperfect_target(task, _PERFECT) for task in tasks]
    return {"pixels": padded([render(scene) for scene in scenes])}


class _Reconstruction(nn.Module):
    """Error of what a VAE draws of its own codes, with noise of a deviation, or of a share of each channel's own."""

    def __init__(self, vae: Any, edges: float, noise: float, spread: float) -> None:
        super().__init__()
        self.vae = vae
        self._edges, self._noise, self._spread = edges, noise, spread

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        pixels = pixels.to(memory_format=torch.channels_last)
        codes = self.vae.encode(pixels, return_dict=False)[0].mode()
        # Noise that grows with the codes cannot be got rid of by larger codes.
        deviation = self._noise + self._spread * codes.std(dim=(0, 2, 3), keepdim=True)
        drawn = self.vae.decode(codes + deviation * torch.randn_like(codes), return_dict=False)[0]
        off = drawn - pixels
        edges = off.diff(dim=-1).abs().mean() + off.diff(dim=-2).abs().mean()
        # The square's gradient is largest where all is still wrong, the absolute's where little is.
        loss: torch.Tensor = off.abs().mean() + off.square().mean() + self._edges * edges
        return loss
