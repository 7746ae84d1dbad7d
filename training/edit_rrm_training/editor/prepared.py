"""A module made ready to be trained as accelerate was launched: on one device, by DDP, FSDP2 or DeepSpeed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy

from edit_rrm_training.editor.deepspeed_optimisation import DeepSpeedOptimisation, set_up, whole_precise
from edit_rrm_training.editor.optimisation import AccelerateOptimisation, Optimisation
from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.trained import Trained


@dataclass(frozen=True, slots=True)
class Prepared:
    """What passes, steps and checkpoints of a run go through."""

    module: nn.Module
    """To call in the place of what was prepared."""
    trained: Trained
    optimisation: Optimisation


def check_groups(recipe: EditorRecipe, processes: int) -> None:
    """Refuse groups that cannot be spread over processes, as many for each update and process.

    Raises:
        ValueError: With the nearest number that can.
    """
    unit = recipe.updates * processes
    if recipe.groups % unit:
        raise ValueError(
            f"groups ({recipe.groups}) has to be a multiple of updates ({recipe.updates}) times processes "
            f"({processes}): --set groups={unit * math.ceil(recipe.groups / unit)}"
        )


def check_launch(accelerator: Any, recipe: EditorRecipe) -> None:
    """Refuse what this trainer does not run under, before anything is loaded.

    Raises:
        ValueError: FSDP's first version, ZeRO 3, or groups that cannot be spread over the processes.
    """
    check_groups(recipe, accelerator.num_processes)
    plugin: Any = getattr(accelerator.state, "fsdp_plugin", None)
    if _kind(accelerator) == "FSDP" and plugin.fsdp_version != 2:
        raise ValueError("FSDP 1 is not supported: set fsdp_version: 2 (see examples/editor/accelerate/fsdp.yaml)")
    if _kind(accelerator) == "DEEPSPEED" and accelerator.state.deepspeed_plugin.zero_stage > 2:
        raise ValueError(
            "ZeRO 3 is not supported: set zero_stage: 2, or shard the weights by FSDP (see "
            "examples/editor/accelerate/fsdp.yaml)"
        )


def prepare(accelerator: Any, module: nn.Module, recipe: EditorRecipe) -> Prepared:
    """Prepare a module and AdamW over what of it has a gradient.

    Args:
        accelerator: An `accelerate.Accelerator`.
        module: Not prepared yet. Under FSDP its parameters become others.
        recipe: The optimiser's numbers.
    """
    from accelerate.utils import broadcast

    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, eps=recipe.adam_epsilon, weight_decay=recipe.weight_decay
    )
    kind = _kind(accelerator)
    if kind == "FSDP":
        # Each process keeps its shard of what it has itself: all begin with the first one's.
        broadcast([parameter.data for parameter in parameters])
        if accelerator.mixed_precision == "bf16":
            # accelerate's own policy rounds gradients to bf16 before it sums them up, and what blocks are called with,
            # such as rotary embeddings in fp32.
            accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
                param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
            )
    if kind == "DEEPSPEED":
        set_up(accelerator.state.deepspeed_plugin, micro_batch=recipe.micro_batch, max_grad_norm=recipe.max_grad_norm)
    prepared, optimizer = accelerator.prepare(module, optimizer)
    if kind == "DEEPSPEED":
        return Prepared(prepared, Trained(prepared, whole_precise), DeepSpeedOptimisation(accelerator, prepared))
    trained = Trained(prepared)
    return Prepared(
        prepared,
        trained,
        AccelerateOptimisation(accelerator, trained, optimizer, max_grad_norm=recipe.max_grad_norm),
    )


def _kind(accelerator: Any) -> str:
    kind: str = accelerator.distributed_type.value
    return kind
