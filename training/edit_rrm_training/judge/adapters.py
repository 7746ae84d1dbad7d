"""LoRA on a judge's language model."""

from __future__ import annotations

from typing import Any


def language_lora(rank: int, alpha: int, *, freeze_vision: bool) -> Any:
    """A `peft` configuration for all linear layers, less a frozen vision tower's; None at rank 0."""
    if not rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules="all-linear",
        exclude_modules=r".*visual.*" if freeze_vision else None,
        task_type="CAUSAL_LM",
    )
