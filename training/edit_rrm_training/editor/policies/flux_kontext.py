"""FLUX.1-Kontext: diffusers' own pipeline, its source and its noise side by side in one sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from edit_rrm_training.editor.policies.base import Condition, PromptTooLongError, Size
from edit_rrm_training.editor.policies.fitting import Fit, size_of
from edit_rrm_training.editor.policies.pipeline import PipelinePolicy


class FluxKontextPolicy(PipelinePolicy):
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
        """Take a pipeline.

        Args:
            pipeline: A `diffusers.FluxKontextPipeline`.
            guidance: The distilled guidance's scale, for a transformer that embeds one.
            max_pixels: Most pixels of a picture that is drawn.
            text_tokens: Of T5's sequence; an instruction that needs more is refused.
            fit: How sources of other sizes are made to fit.
        """
        super().__init__(pipeline, max_pixels=max_pixels, text_tokens=text_tokens, fit=fit)
        self._guidance = guidance

    @torch.no_grad()
    def encode(self, sources: Sequence[Image.Image], instructions: Sequence[str]) -> Condition:
        """Encode sources with the VAE, and instructions with CLIP and T5."""
        image = self._fitted(sources)
        texts = list(instructions)
        for text, source in zip(texts, sources, strict=True):
            self._refuse_long(text, size_of(source))
        sequence, pooled, _ = self._pipeline.encode_prompt(
            prompt=texts, prompt_2=texts, max_sequence_length=self._text_tokens
        )
        latents = self._pipeline._encode_vae_image(image=image, generator=None)
        return self._encoded(latents, sources, sequence=sequence, pooled=pooled)

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
        unpacked = self._unpacked(latents, condition)
        pixels = vae.decode(unpacked / vae.config.scaling_factor + vae.config.shift_factor, return_dict=False)[0]
        return self._pictures(pixels, condition)

    def _refuse_long(self, instruction: str, size: Size) -> None:
        """CLIP's pooled output is of the first tokens by design; T5 has to see all. It sees no source."""
        length = len(self._pipeline.tokenizer_2(instruction).input_ids)
        if length > self._text_tokens:
            raise PromptTooLongError(
                f"the instruction {instruction[:60]!r}... has {length} tokens and T5 takes {self._text_tokens} "
                "here; shorten it, or raise text_tokens (FLUX.1-Kontext was trained with 512)"
            )
