"""A trained judge is written as it is served, and without making up another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, Qwen2_5_VLForConditionalGeneration

from edit_rrm.card import CARD_FILE, load_card
from edit_rrm_service.settings import SHIPPED_JUDGE
from edit_rrm_training.judge.save import save_judge


def test_weights_are_written_in_bf16_and_the_model_stays_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModelForImageTextToText.from_pretrained(SHIPPED_JUDGE, dtype=torch.float32)
    made_on: list[str] = []
    init = Qwen2_5_VLForConditionalGeneration.__init__

    def watched(self: Any, config: Any) -> None:
        made_on.append(torch.get_default_device().type)
        init(self, config)

    monkeypatch.setattr(Qwen2_5_VLForConditionalGeneration, "__init__", watched)
    card = load_card(SHIPPED_JUDGE)
    assert card is not None
    save_judge(model, SHIPPED_JUDGE, tmp_path, card)
    assert made_on == ["meta"], "random weights were made up to be overwritten"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    for path in SHIPPED_JUDGE.iterdir():
        if path.name not in (CARD_FILE, "config.json", "generation_config.json"):
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert AutoModelForImageTextToText.from_pretrained(tmp_path).dtype is torch.bfloat16
