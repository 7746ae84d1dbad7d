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


def check_mergeable(trainer: Any, rank: int) -> None:
    """Refuse, before the first step, an adapter that could not be merged after the last.

    Raises:
        ValueError: Weights are sharded (FSDP, DeepSpeed) and a LoRA is to be trained; no rank has what to merge into.
    """
    if rank and (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        raise ValueError(
            "a LoRA cannot be merged into sharded weights, and the service loads merged ones: set lora_rank to 0, or "
            "launch with plain data parallelism (accelerate launch --num_processes N, without an FSDP or DeepSpeed "
            "configuration)"
        )
