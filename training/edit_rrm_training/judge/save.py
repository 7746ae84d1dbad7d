"""Writes a trained judge the way `edit-rrm serve --model` takes it: weights in bf16, processor, judge card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from edit_rrm.card import CARD_FILE, JudgeCard, save_card

_WEIGHTS = (".safetensors", ".bin", ".index.json")


def save_trained(trainer: Any, start: Path, judge: Path, card: JudgeCard) -> None:
    """Write what a trainer trained; call it on every rank.

    Args:
        trainer: A `transformers.Trainer` that has trained, its model whole or with a LoRA (which is merged).
        start: Folder it started from.
        judge: Folder to write.
        card: Its card; parameters are counted into `training`.

    Raises:
        OSError: The disk is full.
    """
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        # No rank has the whole model, so the trainer has to put it together, which takes all of them.
        trainer.save_model(str(judge))
        if trainer.is_world_process_zero():
            _copy_processor(start, judge)
            save_card(card, judge)
        return
    if not trainer.is_world_process_zero():
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    save_judge(model.merge_and_unload() if hasattr(model, "peft_config") else model, start, judge, card)


def save_judge(model: Any, start: Path, judge: Path, card: JudgeCard) -> None:
    """Write a judge that was trained from another one; its model is left as it is, in whatever precision.

    Beside the model this takes the memory of its weights in bf16, on the model's device.

    Raises:
        OSError: The disk is full.
    """
    judge.mkdir(parents=True, exist_ok=True)
    _copy_processor(start, judge)
    # Without weights of its own: making up 7B random ones, to overwrite them, takes minutes and 28 GB.
    with torch.device("meta"):
        shipped = type(model)(model.config).to(torch.bfloat16)
    shipped.load_state_dict({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}, assign=True)
    shipped.tie_weights()
    shipped.generation_config = model.generation_config
    shipped.save_pretrained(judge)
    parameters = sum(parameter.numel() for parameter in shipped.parameters())
    save_card(card.model_copy(update={"training": {**card.training, "parameters": parameters}}), judge)


def _copy_processor(start: Path, judge: Path) -> None:
    """Copy whatever is no weights (tokenizer, preprocessor, chat template): loading and saving could change it."""
    for path in sorted(start.iterdir()):
        if path.is_file() and path.name != CARD_FILE and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, judge / path.name)
