"""Whether a run has an accelerator."""

from __future__ import annotations

import os

import torch


def cpu_only() -> bool:
    """Whether to train on CPUs: there is no GPU, or accelerate is told so; Transformers refuses bf16 otherwise."""
    return not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU") == "1"
