"""The recipe of an SFT run on an SFT set. The paper states none of these numbers; the defaults suit a 7B on 8 GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edit_rrm_training.judge.precision import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class VlmSftRecipe:
    """Everything that decides what a run produces, apart from its data, where it starts and where it writes."""

    epochs: float = 1.0
    steps: int | None = None
    """Stop after so many optimiser steps, whatever `epochs` says."""
    batch: int = 2
    """Rows of one forward and backward pass on one device."""
    accumulate: int = 8
    """Passes of one optimiser step."""
    learning_rate: float = 1e-5
    warmup_share: float = 0.03
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    freeze_vision: bool = True
    lora_rank: int = 0
    """Rank of a LoRA on all linear layers of the language model; 0 trains the whole of it."""
    lora_alpha: int = 32
    dtype: Compute = "bfloat16"
    """Of the passes; weights that are trained are held in fp32."""
    gradient_checkpointing: bool = True
    seed: int = 0
    save_every: int = 200
    log_every: int = 10
    report_to: tuple[str, ...] = ()
    """`tensorboard`, `wandb`."""

    def __post_init__(self) -> None:
        """Check what has to be positive.

        Raises:
            ValueError: Saying which is not.
        """
        for name in ("epochs", "batch", "accumulate", "save_every", "log_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} has to be more than 0")
