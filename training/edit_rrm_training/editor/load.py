"""Editing models loaded as a recipe says: pipeline, adapter, and how the frozen model is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from edit_rrm_training.editor.policies.flux_kontext import FluxKontextPolicy
from edit_rrm_training.editor.policies.qwen_image_edit import QwenImageEditPolicy
from edit_rrm_training.editor.recipe import LoraRecipe, PolicyRecipe
from edit_rrm_training.editor.shipped import editor_path

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_HEAVY = {
    "flux-kontext": ("transformer", "text_encoder", "text_encoder_2"),
    "qwen-image-edit": ("transformer", "text_encoder"),
}


def load_pipeline(recipe: PolicyRecipe, device: torch.device | str, *, without: Sequence[str] = ()) -> Any:
    """A diffusers pipeline, frozen.

    Args:
        recipe: Says which.
        device: For its weights.
        without: Components that are not loaded, and None in the pipeline.

    Raises:
        OSError: There is no such model.
    """
    from diffusers import FluxKontextPipeline, QwenImageEditPlusPipeline

    kind = FluxKontextPipeline if recipe.kind == "flux-kontext" else QwenImageEditPlusPipeline
    model = str(editor_path(recipe.model))
    try:
        pipeline = kind.from_pretrained(
            model, revision=recipe.revision, dtype=_DTYPES[recipe.dtype], **dict.fromkeys(without)
        )
    except (OSError, ValueError) as error:
        raise OSError(f"policy.model: {recipe.model} cannot be loaded as a {kind.__name__}: {error}") from error
    pipeline.to(device)
    for component in pipeline.components.values():
        if isinstance(component, nn.Module):
            component.requires_grad_(False).eval()
    return pipeline


def load_checker(recipe: PolicyRecipe) -> FluxKontextPolicy | QwenImageEditPolicy:
    """A policy that can only `check` prompts: of tokenizers and the VAE, which take seconds to load.

    Raises:
        OSError: There is no such model.
    """
    return policy_of(recipe, load_pipeline(recipe, "cpu", without=_HEAVY[recipe.kind]))


def policy_of(recipe: PolicyRecipe, pipeline: Any) -> FluxKontextPolicy | QwenImageEditPolicy:
    """A pipeline as a policy."""
    settings: dict[str, Any] = {"max_pixels": recipe.max_pixels, "fit": recipe.fit}
    settings |= {} if recipe.guidance is None else {"guidance": recipe.guidance}
    settings |= {} if recipe.text_tokens is None else {"text_tokens": recipe.text_tokens}
    if recipe.kind == "flux-kontext":
        return FluxKontextPolicy(pipeline, **settings)
    return QwenImageEditPolicy(pipeline, **settings)


def make_trainable(recipe: PolicyRecipe, pipeline: Any, *, seed: int = 0) -> list[nn.Parameter]:
    """Give the transformer its adapter, or thaw it, and have it compiled; what is trained is held in fp32.

    Args:
        recipe: Of the policy.
        pipeline: As `load_pipeline` gives it.
        seed: The run's, which an adapter begins with; random numbers elsewhere are as if none had been drawn here.

    Raises:
        ValueError: The adapter's targets are no layers of the transformer.
    """
    transformer = pipeline.transformer
    if recipe.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()
    if recipe.lora is None:
        transformer.requires_grad_(True)
    else:
        _add_adapter(transformer, recipe.lora, seed)
    trained = [parameter for parameter in transformer.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    if recipe.compile:
        transformer.compile_repeated_blocks()
    return trained


@contextmanager
def without_adapter(transformer: Any) -> Iterator[None]:
    """The frozen model, for as long as a context lasts."""
    transformer.disable_adapters()
    try:
        yield
    finally:
        transformer.enable_adapters()


def _add_adapter(transformer: Any, recipe: LoraRecipe, seed: int) -> None:
    from peft import LoraConfig

    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, init_lora_weights="gaussian", target_modules=list(recipe.targets)
    )
    try:
        # A run that is killed before its first checkpoint begins again with the same. They are drawn on the CPU.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            transformer.add_adapter(config)
    except ValueError as error:
        raise ValueError(f"policy.lora.targets: {str(error).splitlines()[0]}") from None
