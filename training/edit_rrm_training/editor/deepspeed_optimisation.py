"""The same where DeepSpeed's engine makes the steps: ZeRO 2, whose optimiser and gradients are sharded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edit_rrm_training.judge.checkpoints import DivergedError

_TAG = "deepspeed"


class DeepSpeedOptimisation:
    """The engine's optimiser: its step is part of the last backward pass, gradients are scaled down there."""

    def __init__(self, accelerator: Any, engine: Any) -> None:
        """Step by an engine, as `Accelerator.prepare` returned it."""
        self._accelerator = accelerator
        self._engine = engine

    @contextmanager
    def passing(self, *, more: bool) -> Iterator[None]:
        """Tell accelerate which backward pass is the last: the engine's `no_sync` refuses ZeRO 2."""
        self._accelerator.sync_gradients = not more
        try:
            yield
        finally:
            self._accelerator.sync_gradients = True

    def step(self) -> float:
        """Say what the step that was made did; unlike torch's, one whose gradient is no number has been made."""
        norm = float(self._engine.get_global_grad_norm())
        if not math.isfinite(norm):
            raise DivergedError(f"the gradient's norm is {norm}; the last checkpoint is good, the weights now are not")
        return norm

    def save(self, folder: Path) -> None:
        """Write each process's part."""
        self._engine.save_checkpoint(str(folder), tag=_TAG, save_latest=False, exclude_frozen_parameters=True)

    def load(self, folder: Path) -> None:
        """Read it; DeepSpeed refuses another number of processes."""
        # Not strict, because what is frozen is not there.
        self._engine.load_checkpoint(str(folder), tag=_TAG, load_module_strict=False)


def whole_precise(parameter: nn.Parameter) -> torch.Tensor:
    """The fp32 values that the engine updates for a parameter, whole. All processes have to take part."""
    from deepspeed.utils import safe_get_full_fp32_param

    found: torch.Tensor = safe_get_full_fp32_param(parameter)
    return found


def set_up(plugin: Any, *, micro_batch: int, max_grad_norm: float) -> None:
    """Tell accelerate's plugin what it would take from a data loader, and what a run's recipe decides."""
    config = plugin.deepspeed_config
    config["train_micro_batch_size_per_gpu"] = micro_batch
    config["gradient_clipping"] = max_grad_norm
    # Many passes are summed up for a step, more than bf16 can.
    config.setdefault("data_types", {}).setdefault("grad_accum_dtype", "fp32")
