"""Rollouts that move the policy: those with an advantage. Pure.

The others cost a forward and a backward pass and change nothing, and after SFT they are most of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

NOTHING = 1e-6
"""An advantage smaller than this is none: rewards are multiples of 1/N, and what is left of their mean is rounding."""

_SHARED = ("num_items_in_batch",)
"""Entries of a training batch that are about all of it, not about a rollout each."""


@dataclass(frozen=True, slots=True)
class Live:
    """The rollouts of a training batch that have an advantage."""

    inputs: dict[str, Any]
    rows: float
    """Their share of the batch's rollouts, in (0, 1]."""
    tokens: float
    """Their share of the batch's completion tokens, in (0, 1]."""


def live_rollouts(inputs: dict[str, Any]) -> Live:
    """Leave out the rollouts of a training batch whose advantage is zero; one stays if all are.

    Args:
        inputs: A batch as TRL's `GRPOTrainer` computes the loss on: tensors and lists with an entry per rollout, and
            `pixel_values` and `image_grid_thw` with one per patch and per image, `num_images` to a rollout.

    Returns:
        The rest. A mean over its rollouts (or tokens), times `rows` (or `tokens`), is that over the whole batch.
    """
    from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

    alive = inputs["advantages"].abs() > NOTHING
    if not alive.any():
        alive[0] = True
    if alive.all():
        return Live(inputs, 1.0, 1.0)
    chosen = alive.nonzero().flatten().tolist()
    kept = {
        name: value if name in _SHARED or value is None else _rows(value, alive, chosen)
        for name, value in split_pixel_values_by_grid(inputs).items()
    }
    lengths = inputs["completion_mask"].sum(1).double()
    tokens = float(lengths[alive].sum() / lengths.sum().clamp(min=1.0))
    return Live(unsplit_pixel_values_by_grid(kept), len(chosen) / len(alive), tokens)


def _rows(value: Any, alive: torch.Tensor, chosen: list[int]) -> Any:
    return value[alive] if isinstance(value, torch.Tensor) else [value[index] for index in chosen]
