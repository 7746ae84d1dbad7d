"""FLUX.1-Kontext: diffusers' own pipeline, its source and its noise side by side in one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from edit_rrm_training.editor.policies.base import Condition, PromptTooLongError, Size, seeded_noise
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, fitted_size, size_of, unfit_picture


class FluxKontextPolicy:
    """A `FluxKontextPipeline` as a policy."""

    def __init__(
        self,
        pipeline: Any,
        *,
        guidance: float = 2.5,
        max_pixels: int = 512 * 512,
        text_tokens: int = 512,
        fit: Fit = "resize",
    ) -> None:
        """Take a pipeline; its modules stay where they are.

        Args:
            pipeline: A `diffusers.FluxKontextPipeline`.
            guidance: The distilled guidance's scale, for a transformer that embeds one.
            max_pixels: Most pixels of a picture that is drawn.
            text_tokens: Of T5's sequence; an instruction that needs more is refused.
            fit: How sources of other sizes are made to fit.
        """
        self._pipeline = pipeline
        self._guidance = guidance
        self._max_pixels = max_pixels
        self._text_tokens = text_tokens
        self._fit = fit
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
        multiple = 2 * self._pipeline.vae_scale_factor
        return fitted_size(size_of(source), multiple, self._max_pixels, self._fit)

    @torch.no_grad()
    def encode(self, sources: Sequence[Image.Image], instructions: Sequence[str]) -> Condition:
        """Encode sources with the VAE, and instructions with CLIP and T5."""
        buckets = {self.bucket(source) for source in sources}
        if len(buckets) != 1:
            raise ValueError(f"sources of several buckets, {sorted(buckets)}, in one batch")
        (size,) = buckets
        self._refuse_long(instructions)
        pipeline = self._pipeline
        pixels = torch.stack([fit_picture(source, size, self._fit) for source in sources])
        image = pixels.to(pipeline.vae.device, pipeline.vae.dtype)
        latents = pipeline._encode_vae_image(image=image, generator=None)
        count, channels, height, width = latents.shape
        sequence, pooled, _ = pipeline.encode_prompt(
            prompt=list(instructions), prompt_2=list(instructions), max_sequence_length=self._text_tokens
        )
        tensors = {
            "source": pipeline._pack_latents(latents, count, channels, height, width),
            "sequence": sequence,
            "pooled": pooled,
        }
        return Condition(tensors, (height, width), tuple(size_of(source) for source in sources))

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

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        """The transformer's."""
        source, sequence = condition.tensors["source"], condition.tensors["sequence"]
        device, dtype = latents.device, source.dtype
        height, width = (side // 2 for side in condition.latent)
        drawn_ids = self._pipeline._prepare_latent_image_ids(1, height, width, device, dtype)
        source_ids = drawn_ids.clone()
        source_ids[..., 0] = 1
        guidance = None
        if self._pipeline.transformer.config.guidance_embeds:
            guidance = torch.full((len(latents),), self._guidance, device=device, dtype=torch.float32)
        found = self._transformer(
            hidden_states=torch.cat([latents.to(dtype), source], dim=1),
            timestep=torch.full((len(latents),), time, device=device, dtype=dtype),
            guidance=guidance,
            pooled_projections=condition.tensors["pooled"],
            encoder_hidden_states=sequence,
            txt_ids=torch.zeros(sequence.shape[1], 3, device=device, dtype=dtype),
            img_ids=torch.cat([drawn_ids, source_ids]),
            return_dict=False,
        )[0]
        velocity: torch.Tensor = found[:, : latents.shape[1]].float()
        return velocity

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, condition: Condition) -> list[Image.Image]:
        """The VAE's pictures, in the sizes of their sources."""
        vae = self._pipeline.vae
        scale = self._pipeline.vae_scale_factor
        height, width = (side * scale for side in condition.latent)
        unpacked = self._pipeline._unpack_latents(latents, height, width, scale).to(vae.dtype)
        pixels = vae.decode(unpacked / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        return [unfit_picture(one, size, self._fit) for one, size in zip(pixels, condition.pictures, strict=True)]

    def _refuse_long(self, instructions: Sequence[str]) -> None:
        """CLIP's pooled output is of the first tokens by design; T5 has to see all."""
        for instruction in instructions:
            length = len(self._pipeline.tokenizer_2(instruction).input_ids)
            if length > self._text_tokens:
                raise PromptTooLongError(
                    f"the instruction {instruction[:60]!r}... has {length} tokens and T5 takes {self._text_tokens} "
                    "here; shorten it, or raise text_tokens (FLUX.1-Kontext was trained with 512)"
                )
