"""Qwen-Image-Edit-Plus (2509, 2511): diffusers' own pipeline; its text encoder sees the source too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from PIL import Image

from edit_rrm_training.editor.policies.base import Condition, PromptTooLongError, Size
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, fitted_size, size_of, unfit_picture
from edit_rrm_training.editor.policies.pipeline import PipelinePolicy

SEEN_PIXELS = 384 * 384
"""Area that the text encoder sees a source in, as the model was trained."""
_PICTURE: Final = "Picture 1: <|vision_start|><|image_pad|><|vision_end|>"
"""What the pipeline puts before an instruction."""


class QwenImageEditPolicy(PipelinePolicy):
    """A `QwenImageEditPlusPipeline` as a policy, with its true classifier-free guidance."""

    def __init__(
        self,
        pipeline: Any,
        *,
        guidance: float = 4.0,
        negative: str = " ",
        max_pixels: int = 512 * 512,
        seen_pixels: int = SEEN_PIXELS,
        text_tokens: int = 1_024,
        fit: Fit = "resize",
    ) -> None:
        """Take a pipeline; its modules stay where they are.

        Args:
            pipeline: A `diffusers.QwenImageEditPlusPipeline`.
            guidance: Scale of classifier-free guidance; 1 or less for none, which takes half of the time.
            negative: Prompt of the unconditional half.
            max_pixels: Most pixels of a picture that is drawn.
            seen_pixels: Area in which the text encoder sees the source.
            text_tokens: Of the text encoder's sequence, the source's included; what needs more is refused.
            fit: How sources of other sizes are made to fit.
        """
        super().__init__(pipeline, max_pixels=max_pixels, text_tokens=text_tokens, fit=fit)
        self._guidance = guidance
        self._negative = negative
        self._seen_pixels = seen_pixels
        self._around: dict[Size, int] = {}

    @torch.no_grad()
    def encode(self, sources: Sequence[Image.Image], instructions: Sequence[str]) -> Condition:
        """Encode sources with the VAE, and each instruction together with its source with Qwen2.5-VL.

        Sequences are padded to `text_tokens`, so that edits encoded apart may share a batch.
        """
        image = self._fitted(sources).unsqueeze(2)
        latents = self._pipeline._encode_vae_image(image=image, generator=None)
        count = len(sources)
        tensors: dict[str, torch.Tensor] = {}
        prompts = {"": list(instructions)} | ({"negative_": [self._negative] * count} if self._guidance > 1.0 else {})
        for prefix, texts in prompts.items():
            sequences = [self._read(source, text) for source, text in zip(sources, texts, strict=True)]
            tensors[f"{prefix}sequence"] = torch.stack([sequence for sequence, _ in sequences])
            tensors[f"{prefix}mask"] = torch.stack([mask for _, mask in sequences])
        return self._encoded(latents, sources, **tensors)

    def velocity(self, latents: torch.Tensor, time: float, condition: Condition) -> torch.Tensor:
        """The transformer's; guided, and with the norm of the unguided one, as the pipeline does it."""
        found = self._predicted(latents, time, condition, "")
        if self._guidance <= 1.0:
            return found
        without = self._predicted(latents, time, condition, "negative_")
        guided = without + self._guidance * (found - without)
        scale: torch.Tensor = found.norm(dim=-1, keepdim=True) / guided.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return guided * scale

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, condition: Condition) -> list[Image.Image]:
        """The VAE's pictures, in the sizes of their sources."""
        vae = self._pipeline.vae
        unpacked = self._unpacked(latents, condition)
        mean, deviation = (
            torch.tensor(values, device=unpacked.device, dtype=unpacked.dtype).view(1, -1, 1, 1, 1)
            for values in (vae.config.latents_mean, vae.config.latents_std)
        )
        pixels = vae.decode(unpacked * deviation + mean, return_dict=False)[0][:, :, 0]
        return self._pictures(pixels, condition)

    def _predicted(self, latents: torch.Tensor, time: float, condition: Condition, prefix: str) -> torch.Tensor:
        source = condition.tensors["source"]
        mask = condition.tensors[f"{prefix}mask"]
        # No edit of the batch needs what is padding in all of them.
        longest = max(1, int(mask.sum(1).max()))
        height, width = (side // 2 for side in condition.latent)
        found = self._transformer(
            hidden_states=torch.cat([latents.to(source.dtype), source], dim=1),
            timestep=torch.full((len(latents),), time, device=latents.device, dtype=source.dtype),
            encoder_hidden_states=condition.tensors[f"{prefix}sequence"][:, :longest],
            encoder_hidden_states_mask=mask[:, :longest],
            img_shapes=[[(1, height, width), (1, height, width)]] * len(latents),
            return_dict=False,
        )[0]
        velocity: torch.Tensor = found[:, : latents.shape[1]].float()
        return velocity

    def _read(self, source: Image.Image, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The text encoder's sequence of one edit, (text_tokens, C), and which of it is not padding."""
        size = self._seen_size(size_of(source))
        picture = unfit_picture(fit_picture(source, size, "resize"), size, "resize")
        found, mask = self._pipeline.encode_prompt(prompt=[text], image=[picture])
        length = found.shape[1]
        self._refuse_tokens(text, length)
        sequence = found.new_zeros((self._text_tokens, found.shape[2]))
        sequence[:length] = found[0]
        valid = torch.zeros(self._text_tokens, dtype=torch.long, device=found.device)
        valid[:length] = 1 if mask is None else mask[0]
        return sequence, valid

    def _seen_size(self, size: Size) -> Size:
        return fitted_size(size, 32, self._seen_pixels, "resize")

    def _refuse_long(self, instruction: str, size: Size) -> None:
        """Special tokens part the instruction from what is around it, so that tokens can be counted apart."""
        around = self._tokens_around(self._seen_size(size))
        self._refuse_tokens(instruction, around + len(self._pipeline.tokenizer(instruction).input_ids))

    def _tokens_around(self, seen: Size) -> int:
        """Tokens of a source that is seen in a size, and of what else is not the instruction."""
        if seen not in self._around:
            text = self._pipeline.prompt_template_encode.format(_PICTURE)
            picture = Image.new("RGB", seen[::-1])
            tokens = self._pipeline.processor(text=[text], images=[picture]).input_ids[0]
            self._around[seen] = len(tokens) - self._pipeline.prompt_template_encode_start_idx
        return self._around[seen]

    def _refuse_tokens(self, instruction: str, length: int) -> None:
        if length > self._text_tokens:
            raise PromptTooLongError(
                f"the instruction {instruction[:60]!r}... and its source have {length} tokens, and the text encoder "
                f"takes {self._text_tokens} here; shorten it, or raise text_tokens"
            )
