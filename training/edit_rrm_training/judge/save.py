"""Writes a trained judge the way `edit-rrm serve --model` takes it: weights in bf16, processor, judge card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from edit_rrm.card import CARD_FILE, JudgeCard, save_card

_WEIGHTS = (".safetensors", ".bin", ".index.json")


def save_judge(model: Any, start: Path, judge: Path, card: JudgeCard) -> None:
    """Write a judge that was trained from another one.

    Args:
        model: The trained model, in any precision; it is left as it is.
        start: Folder it started from. Whatever is no weights there (tokenizer, preprocessor, chat template) is copied
            as it stands: loading and saving a processor can change it.
        judge: Folder to write.
        card: Its card; parameters are counted into `training`.

    Raises:
        OSError: The disk is full.
    """
    judge.mkdir(parents=True, exist_ok=True)
    for path in sorted(start.iterdir()):
        if path.is_file() and path.name != CARD_FILE and not path.name.endswith(_WEIGHTS):
            shutil.copyfile(path, judge / path.name)
    shipped = type(model)(model.config).to(torch.bfloat16)
    shipped.load_state_dict(model.state_dict())
    shipped.generation_config = model.generation_config
    shipped.save_pretrained(judge)
    parameters = sum(parameter.numel() for parameter in shipped.parameters())
    save_card(card.model_copy(update={"training": {**card.training, "parameters": parameters}}), judge)
