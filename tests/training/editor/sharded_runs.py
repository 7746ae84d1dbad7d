"""Runs whose weights are sharded over processes; each function is called once in every one of them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DeepSpeedPlugin, DistributedType, FullyShardedDataParallelPlugin, InitProcessGroupKwargs

from edit_rrm_training.editor.recipe import EditorRecipe
from edit_rrm_training.editor.run import train_editor
from edit_rrm_training.editor.trainer import EditorTrainer
from edit_rrm_training.judge.run_folder import claim
from tests.training.editor.toy_policy import ToyPolicy
from tests.training.editor.toy_run import BlueJudge, DiesAfter, Notes, toy_run

SMALL: dict[str, Any] = {
    "steps": 4,
    "group_size": 4,
    "save_every": 2,
    "sampling": {"sampler": "sde", "steps": 2, "noise_level": 0.7, "batch": 4},
    # One prompt more than two processes share evenly.
    "evaluation": {"every": 2, "count": 3, "steps": 2},
}
"""Of a run that makes few passes: each of a sharded one waits for the other process."""


def partly_frozen() -> ToyPolicy:
    """A policy of which a part is not trained, beside what is, as a base model is beside its adapter."""
    policy = ToyPolicy()
    policy.trained.get_parameter("0.bias").requires_grad_(False)
    return policy


def whole_weights(run: EditorTrainer) -> dict[str, torch.Tensor]:
    """All that is trained, whole."""
    trained = run._checkpoints._trained
    return {name: value.clone() for name, value in trained.whole(trained.precise(), keep=True).items()}


def evaluations(notes: Notes) -> list[tuple[int, int, dict[str, float]]]:
    return [(number, len(found.edits), found.measures) for number, found in notes.evaluations]


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fsdp(layers: list[str] | None = None, precision: str = "no") -> Accelerator:
    """What the launcher makes of `fsdp.yaml`, on CPUs."""
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    # accelerate takes FSDP up on accelerators only, though its code for it and torch's run on CPUs, over gloo. Any
    # accelerator that is made later shares the two states.
    PartialState().distributed_type = DistributedType.FSDP
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=layers,
        cpu_ram_efficient_loading=False,
    )
    if precision != "no":
        accelerator.state.fsdp_plugin.set_mixed_precision(precision)
    return accelerator


def deepspeed() -> Accelerator:
    """What the launcher makes of `deepspeed.yaml`, on CPUs."""
    os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
    return Accelerator(
        mixed_precision="no",
        deepspeed_plugin=DeepSpeedPlugin(zero_stage=2),
        kwargs_handlers=[InitProcessGroupKwargs(backend="gloo")],
    )


def toy(how: str, out: Path, kill_after: int | None) -> None:
    """The toy's run; the first process writes down what came of it."""
    accelerator = deepspeed() if how == "deepspeed" else fsdp(["Head"])
    notes = Notes()
    # Only one is killed; the other finds out.
    killed = kill_after is not None and accelerator.process_index == 1
    judge = DiesAfter(kill_after or 0, _killed) if killed else BlueJudge()
    run = toy_run(out, judge, notes, policy=partly_frozen(), accelerator=accelerator, **SMALL)
    run.run()
    weights = whole_weights(run)
    if accelerator.is_main_process:
        torch.save((weights, evaluations(notes)), out / "found.pt")


def editor(how: str, recipe: dict[str, Any], out: Path) -> None:
    """`train_editor` with a pipeline of the real classes, whose blocks are sharded."""
    made = EditorRecipe.model_validate(recipe)
    precision = "bf16" if made.policy.dtype == "bfloat16" else "no"
    accelerator = Accelerator(cpu=True, mixed_precision=precision) if how == "alone" else fsdp(precision=precision)
    # An adapter begins with the run's seed, whatever a process has drawn before.
    torch.manual_seed(accelerator.process_index)
    train_editor(made, out, say=lambda _: None)
    assert accelerator.is_fsdp2 is (how == "fsdp"), "the run's own accelerator shares this one's state"


def begun_anew(recipe: dict[str, Any], out: Path) -> None:
    """`train_editor --fresh`, where the first process is slow to delete what was there."""

    def late(*arguments: Any, **more: Any) -> None:
        time.sleep(2.0 if os.environ["RANK"] == "0" else 0.0)
        claim(*arguments, **more)

    with patch("edit_rrm_training.editor.run.claim", late):
        train_editor(EditorRecipe.model_validate(recipe), out, resume=False, say=lambda _: None)
