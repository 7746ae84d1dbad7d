"""A trained editor on disk: its adapter for the model it was trained on, or the whole pipeline; and its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edit_rrm_training.editor.editor_card import EditorCard, save_editor_card


def save_editor(
    folder: Path, card: EditorCard, pipeline: Any, weights: Mapping[str, torch.Tensor], *, kind: type[Any] | None = None
) -> None:
    """Write an editor, which `load_editor` reads.

    An adapter is written with alpha folded in, so that it is at its whole strength wherever it is loaded: a file
    that does not say its alpha is taken to have the rank's.

    Args:
        folder: To write into.
        card: Whose policy says whether there is an adapter.
        pipeline: Whose transformer was trained, and may be sharded.
        weights: What was trained, whole, by the transformer's names.
        kind: The transformer's class before it was sharded.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    transformer, lora = pipeline.transformer, card.policy.lora
    if lora is None:
        with torch.device("meta"):
            whole = (kind or type(transformer)).from_config(transformer.config)
        whole.load_state_dict({**transformer.state_dict(), **weights}, assign=True)
        pipeline.register_modules(transformer=whole)
        pipeline.save_pretrained(folder)
    else:
        from peft import get_peft_model_state_dict

        layers = get_peft_model_state_dict(transformer, state_dict=dict(weights))
        strength = lora.alpha / lora.rank
        layers = {name: value * strength if ".lora_B." in name else value for name, value in layers.items()}
        type(pipeline).save_lora_weights(str(folder), transformer_lora_layers=layers)
    save_editor_card(card, folder)
