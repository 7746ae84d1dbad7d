"""Finished editors made one: on the line from where training began to their mean, and past it.

What training changed is a direction in the space of weights (task arithmetic, arXiv 2212.04089). Means of several runs
have less of each one's noise (model soups, arXiv 2203.05482), and a point past the end of a run may be better than
the end (ExPO, arXiv 2404.16792).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from edit_rrm_training.editor.editor_card import EditorCard, load_editor_card, save_editor_card
from edit_rrm_training.editor.load import load_pipeline
from edit_rrm_training.editor.saved_editor import save_editor
from edit_rrm_training.editor.shipped import editor_path

_ADAPTER = "pytorch_lora_weights.safetensors"


def merge_editors(editors: Sequence[str | Path], out: Path, *, scale: float = 1.0) -> EditorCard:
    """Write one editor made of one or several.

    Args:
        editors: Folders that `train editor` has left, of runs that began with one model.
        out: The new editor's folder.
        scale: How far to go from where training began: 0 is there, 1 at the mean, and 1.5 half as far again.

    Returns:
        The card that was written: the judges' identities where they share all, the steps of all together.

    Raises:
        EditorError: A folder is no editor.
        ValueError: They began with different models or one does not say with which, several of them are adapters, or
            `out` is one of them.
        OSError: Where they began is gone, or `out` cannot be written.
    """
    folders = [editor_path(editor) for editor in editors]
    cards = [load_editor_card(folder) for folder in folders]
    first = cards[0]
    for folder, card in zip(folders, cards, strict=True):
        if folder.resolve() == editor_path(card.policy.model).resolve():
            raise ValueError(f"{folder} does not say which model its training began with: merge what runs have left")
        if folder.resolve() == out.resolve():
            raise ValueError(f"{out} is one of the editors that are merged: choose another folder for the new one")
        if _beginning(card) != _beginning(first):
            raise ValueError(
                f"{folders[0]} and {folder} did not begin with the same model in the same way: {first.policy.model}, "
                f"{card.policy.model}; merge editors of runs that differ in seed, data or rewards"
            )
    shared = all((card.judge, card.others) == (first.judge, first.others) for card in cards)
    judges: dict[str, Any] = {} if shared else {"judge": None, "others": {}}
    together = first.model_copy(update={"steps": sum(card.steps for card in cards), **judges})
    if first.policy.lora is not None:
        _scale_adapter(folders, out, scale)
        save_editor_card(together, out)
        return together
    pipeline = load_pipeline(first.policy, "cpu")
    began = {name: value.float() for name, value in pipeline.transformer.state_dict().items()}
    mean = {name: torch.zeros_like(value) for name, value in began.items()}
    for folder in folders:
        for name, value in _weights(type(pipeline.transformer), folder).items():
            mean[name] += value / len(folders)
    save_editor(out, together, pipeline, {name: torch.lerp(began[name], mean[name], scale) for name in began})
    return together


def _beginning(card: EditorCard) -> tuple[Any, ...]:
    policy = card.policy
    return policy.kind, policy.model, policy.revision, policy.lora


def _weights(kind: Any, folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = kind.from_pretrained(
        str(folder), subfolder="transformer", torch_dtype=torch.float32
    ).state_dict()
    return weights


def _scale_adapter(folders: Sequence[Path], out: Path, scale: float) -> None:
    """An adapter is a product of two matrices: the mean of several is not the product of their means."""
    if len(folders) > 1:
        raise ValueError("adapters cannot be averaged weight by weight: merge one, or train with policy.lora: null")
    out.mkdir(parents=True, exist_ok=True)
    layers = load_file(folders[0] / _ADAPTER)
    scaled = {name: value * scale if ".lora_B." in name else value for name, value in layers.items()}
    save_file(scaled, out / _ADAPTER)
