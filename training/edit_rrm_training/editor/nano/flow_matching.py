"""Flow matching of nano-editor: what one step of its pre-training is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from edit_rrm_training.editor.average import warmed_decay
from edit_rrm_training.editor.nano.architecture import PATCHES, TEXT_TOKENS
from edit_rrm_training.editor.nano.stage import Batch
from edit_rrm_training.editor.nano.windows import Windows, changed_patches


def flow_batch(seed: int, windows: Windows | None, tasks: int, size: int, step: int) -> Batch:
    """What a step learns from: tasks ``chosen`` (B,), their ``patches`` (P,), and the ``seed`` () of times and noise.

    Args:
        seed: Of the run.
        windows: To learn from a window of twice as many tasks, which costs about as much as `size` whole pictures.
        tasks: How many there are.
        size: Tasks of whole pictures.
        step: Number of the step.
    """
    rng = np.random.default_rng([seed, 1, step])
    if windows is None:
        chosen, patches = rng.choice(tasks, size, replace=False), np.arange(PATCHES * PATCHES)
    else:
        window = int(rng.integers(len(windows.patches)))
        pool, patches = windows.pools[window], windows.patches[window]
        chosen = rng.choice(pool, min(2 * size, len(pool)), replace=False)
    return {
        "chosen": torch.from_numpy(chosen),
        "patches": torch.from_numpy(patches),
        "seed": torch.tensor(int(rng.integers(2**62))),
    }


class FlowMatching(nn.Module):
    """The flow-matching loss of a Kontext transformer and its text encoders, and a moving average of their weights.

    Args:
        pipeline: Its transformer and text encoders are trained.
        data: Latents and tokens of the tasks; they go where the weights go.
        changed: Weight of the patches that an edit changes, where others have 1.
        decay: Of the moving average, once it has taken in enough weights.
        compiled: Compile the transformer's blocks.
    """

    image_ids: torch.Tensor
    text_ids: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor
    clip_tokens: torch.Tensor
    t5_tokens: torch.Tensor
    averaged: torch.Tensor

    def __init__(self, pipeline: Any, data: Batch, *, changed: float, decay: float, compiled: bool) -> None:
        super().__init__()
        self.transformer = pipeline.transformer
        self.clip = pipeline.text_encoder
        self.t5 = pipeline.text_encoder_2
        self._changed = changed
        target = pipeline._prepare_latent_image_ids(1, PATCHES, PATCHES, "cpu", torch.float32)
        source = target.clone()
        source[..., 0] = 1.0
        self.register_buffer("image_ids", torch.cat([target, source]), persistent=False)
        self.register_buffer("text_ids", torch.zeros(TEXT_TOKENS, 3), persistent=False)
        for name, values in (("source", "source"), ("target", "target"), ("clip_tokens", "clip"), ("t5_tokens", "t5")):
            self.register_buffer(name, data[values], persistent=False)
        self._trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self._decay = decay
        self.register_buffer("averaged", torch.tensor(0))
        for index, parameter in enumerate(self._trained):
            self.register_buffer(f"average_{index}", parameter.detach().clone())
        if not compiled:
            return
        for block in (*self.transformer.transformer_blocks, *self.transformer.single_transformer_blocks):
            block.forward = torch.compile(block.forward, dynamic=False)

    def forward(self, chosen: torch.Tensor, patches: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
        """Squared error of the velocity (noise - target) at times 0 (picture) to 1 (noise)."""
        if self.training:
            self._follow()
        source, target = (latents[chosen[:, None], patches].float() for latents in (self.source, self.target))
        generator = torch.Generator(target.device).manual_seed(int(seed))
        times = _times(len(target), generator)
        noise = torch.randn(target.shape, generator=generator, device=target.device)
        at = times[:, None, None]
        mixed = (1.0 - at) * target + at * noise
        found = self.transformer(
            hidden_states=torch.cat([mixed, source], dim=1),
            timestep=times,
            pooled_projections=self.clip(self.clip_tokens[chosen].long()).pooler_output,
            encoder_hidden_states=self.t5(self.t5_tokens[chosen].long()).last_hidden_state,
            txt_ids=self.text_ids,
            img_ids=self.image_ids[torch.cat([patches, patches + PATCHES * PATCHES])],
            return_dict=False,
        )[0][:, : target.shape[1]]
        weights = 1.0 + (self._changed - 1.0) * changed_patches(source, target)[..., None]
        errors = (found.float() - (noise - target)).square()
        loss: torch.Tensor = (errors * weights).mean() / weights.mean()
        return loss

    def _follow(self) -> None:
        averages = [getattr(self, f"average_{index}") for index in range(len(self._trained))]
        taken = int(self.averaged)
        self.averaged += 1
        moved = get_ema_multi_avg_fn(warmed_decay(taken, self._decay))
        moved(averages, [parameter.detach() for parameter in self._trained], taken)

    @torch.no_grad()
    def use_average(self) -> None:
        """Take the moving average for the weights."""
        for index, parameter in enumerate(self._trained):
            parameter.copy_(getattr(self, f"average_{index}"))


def _times(count: int, generator: torch.Generator) -> torch.Tensor:
    """Half of them where shapes are decided, half anywhere from 0 to 1."""
    device = generator.device
    anywhere = torch.rand(count, generator=generator, device=device)
    early = torch.sigmoid(torch.randn(count, generator=generator, device=device) + 1.0)
    return torch.where(torch.rand(count, generator=generator, device=device) < 0.5, anywhere, early)
