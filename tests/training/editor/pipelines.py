"""Pipelines of the real classes, so small that a test may draw with them."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.editor.nano.architecture import build_pipeline

INSTRUCTIONS = ("make the red star blue", "remove the green circle")


@cache
def tiny_flux() -> Any:
    """One `make_flux` for all tests that leave it as it is."""
    return make_flux()


def make_flux() -> Any:
    """nano-editor with random weights, and a scheduler that shifts as FLUX.1-Kontext's does."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    pipeline = build_pipeline(INSTRUCTIONS)
    pipeline.scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    pipeline.set_progress_bar_config(disable=True)
    return _alive(pipeline)


@cache
def tiny_qwen() -> Any:
    """A Qwen-Image-Edit-Plus whose text encoder is the shipped judge."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageEditPlusPipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    text_encoder = Qwen2_5_VLForConditionalGeneration.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(SHIPPED_JUDGE)
    vae = AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[False, True],
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[1.1, 0.9, 1.3, 0.7],
    )
    transformer = QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=text_encoder.config.text_config.hidden_size,
        axes_dims_rope=(4, 6, 6),
    )
    pipeline = QwenImageEditPlusPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0, use_dynamic_shifting=True, shift_terminal=0.02),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=processor.tokenizer,
        processor=processor,
        transformer=transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return _alive(pipeline)


def _alive(pipeline: Any) -> Any:
    """Output layers of these transformers begin as zeros, and would say nothing."""
    with torch.no_grad():
        torch.manual_seed(1)
        for parameter in pipeline.transformer.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    pipeline.transformer.eval()
    pipeline.vae.eval()
    return pipeline
