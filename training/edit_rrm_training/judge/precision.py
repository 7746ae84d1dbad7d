"""What precision a model's weights are held in while it trains."""

from __future__ import annotations

from typing import Literal

import torch

Compute = Literal["float32", "bfloat16"]
"""Precision of a forward and backward pass."""


def weights_dtype(compute: Compute, *, frozen: bool) -> torch.dtype:
    """Precision to load weights in.

    Args:
        compute: Precision of the passes; bfloat16 is autocast.
        frozen: Whether an adapter is trained beside them and they stay as they are.

    Returns:
        fp32 for weights that are trained: bf16 has 8 bits of mantissa, so that at the usual learning rates most updates
        are smaller than half a step of the weight, and are rounded away. Frozen ones are held as they are computed
        with.
    """
    return torch.bfloat16 if compute == "bfloat16" and frozen else torch.float32
