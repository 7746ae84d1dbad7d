"""What the policies over diffusers' editing pipelines share: sizes, times, noise, and whose transformer is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from edit_rrm_training.editor.policies.base import Condition, Size, seeded_noise
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, fitted_size, size_of, unfit_picture


class PipelinePolicy(ABC):
    """A pipeline whose latents are packed in patches of 2 x 2, the source's beside the drawn ones."""

    def __init__(self, pipeline: Any, *, max_pixels: int, text_tokens: int, fit: Fit) -> None:
        """Take a pipeline; its modules stay where they are.

        Args:
            pipeline: diffusers'.
            max_pixels: Most pixels of a picture that is drawn.
            text_tokens: Of the text encoder's sequence; an instruction that needs more is refused.
            fit: How sources of other sizes are made to fit.
        """
        self._pipeline = pipeline
        self._max_pixels = max_pixels
        self._text_tokens = text_tokens
        self._fit: Fit = fit
        self._transformer: nn.Module = pipeline.transformer

    @property
    def trained(self) -> nn.Module:
        """The transformer."""
        return self._transformer

    def use(self, module: nn.Module) -> None:
        """Call this in the transformer's place."""
        self._transformer = module

    def bucket(self, source: Image.Image) -> Size:
        """Size that an edit of a source is drawn in."""
        return self._drawn_size(size_of(source))

    def check(self, instruction: str, size: Size) -> None:
        """Look whether an instruction and a source of a size could be encoded; needs no weights.

        Raises:
            PromptTooLongError: The instruction would be cut.
            ValueError: The source does not fit.
        """
        self._drawn_size(size)
        self._refuse_long(instruction, size)

    @abstractmethod
    def _refuse_long(self, instruction: str, size: Size) -> None:
        """Refuse an instruction, of a source of a size, that the text encoder would cut.

        Raises:
            PromptTooLongError: It would be.
        """

    def times(self, steps: int, condition: Condition) -> list[float]:
        """The scheduler's, shifted by the number of tokens."""
        from diffusers.pipelines.flux.pipeline_flux_kontext import calculate_shift

        scheduler = self._pipeline.scheduler
        tokens = condition.latent[0] * condition.latent[1] // 4
        config = scheduler.config
        mu = calculate_shift(
            tokens, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
        )
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1.0 / steps, steps), mu=mu)
        return [float(sigma) for sigma in scheduler.sigmas]

    def noise(self, condition: Condition, seeds: Sequence[int]) -> torch.Tensor:
        """Latents at time 1, each of its own seed."""
        channels = self._pipeline.transformer.config.in_channels // 4
        height, width = condition.latent
        drawn = seeded_noise((channels, height, width), seeds)
        packed: torch.Tensor = self._pipeline._pack_latents(drawn, len(seeds), channels, height, width)
        return packed.to(condition.tensors["source"].device)

    def _drawn_size(self, size: Size) -> Size:
        return fitted_size(size, 2 * self._pipeline.vae_scale_factor, self._max_pixels, self._fit)

    def _fitted(self, sources: Sequence[Image.Image]) -> torch.Tensor:
        """Sources of one bucket as the VAE takes them, (N, 3, H, W) from -1 to 1.

        Raises:
            ValueError: They are of several.
        """
        buckets = {self.bucket(source) for source in sources}
        if len(buckets) != 1:
            raise ValueError(f"sources of several buckets, {sorted(buckets)}, in one batch")
        (size,) = buckets
        pixels = torch.stack([fit_picture(source, size, self._fit) for source in sources])
        vae = self._pipeline.vae
        return pixels.to(vae.device, vae.dtype)

    def _encoded(self, latents: torch.Tensor, sources: Sequence[Image.Image], **tensors: torch.Tensor) -> Condition:
        """A condition of a source's latents, (N, C, H, W) or with a frame before H."""
        count, channels = latents.shape[:2]
        height, width = latents.shape[-2:]
        packed = self._pipeline._pack_latents(latents, count, channels, height, width)
        return Condition({"source": packed, **tensors}, (height, width), tuple(size_of(source) for source in sources))

    def _unpacked(self, latents: torch.Tensor, condition: Condition) -> torch.Tensor:
        """Latents as the VAE takes them."""
        scale = self._pipeline.vae_scale_factor
        height, width = (side * scale for side in condition.latent)
        unpacked: torch.Tensor = self._pipeline._unpack_latents(latents, height, width, scale)
        return unpacked.to(self._pipeline.vae.dtype)

    def _pictures(self, pixels: torch.Tensor, condition: Condition) -> list[Image.Image]:
        """Pictures in the sizes of their sources."""
        return [unfit_picture(one, size, self._fit) for one, size in zip(pixels, condition.pictures, strict=True)]
