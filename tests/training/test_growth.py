"""A deeper judge starts out as what it grew from, and can only grow in depth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from edit_rrm_training.judge.architecture import SPECIAL_TOKENS, NanoSize, build_model
from edit_rrm_training.judge.growth import grow_into

SMALL = NanoSize(
    text_width=32, text_layers=2, text_heads=2, text_kv_heads=1, text_hidden=48, vision_width=32, vision_layers=1,
    vision_heads=2, vision_hidden=32, vocabulary=64,
)  # fmt: skip
SPECIAL = {token: index for index, token in enumerate(SPECIAL_TOKENS)}


def judge(size: NanoSize, seed: int) -> Any:
    return build_model(size, SPECIAL, seed)


@pytest.mark.parametrize("layers", [3, 4, 5])
def test_it_says_what_it_grew_from_says(layers: int) -> None:
    small = judge(SMALL, 0)
    large = grow_into(small, judge(replace(SMALL, text_layers=layers), 1))
    assert len(large.model.language_model.layers) == layers
    ids = torch.arange(20, 32)[None]
    with torch.no_grad():
        assert torch.allclose(small(input_ids=ids).logits, large(input_ids=ids).logits, atol=1e-6)


def test_what_was_added_learns() -> None:
    large = grow_into(judge(SMALL, 0), judge(replace(SMALL, text_layers=4), 1))
    ids = torch.arange(20, 32)[None]
    large(input_ids=ids, labels=ids).loss.backward()
    for index in (1, 3):
        layer = large.model.language_model.layers[index]
        assert not layer.mlp.down_proj.weight.any()
        assert layer.mlp.down_proj.weight.grad.abs().max() > 0
        assert layer.mlp.up_proj.weight.any()


def test_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="can only grow in depth"):
        grow_into(judge(SMALL, 0), judge(replace(SMALL, text_layers=3, text_hidden=64), 1))
