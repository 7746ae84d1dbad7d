"""Called as TRL's GRPOTrainer calls its reward functions (its own classes are not in this test)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edit_rrm_client import ImageInput
from edit_rrm_client.adapters.trl import TrlReward
from tests.client.adapters.scorer import RednessScorer

SOURCE = Image.new("RGB", (16, 16), "white")


def draw(completions: Sequence[Any], columns: dict[str, Any]) -> Sequence[ImageInput]:
    """As red as a completion is long; black, and so not measured, every fourth time."""
    shades = [min(255, 20 + len(text)) if index % 4 else 0 for index, text in enumerate(completions)]
    return [np.full((3, 16, 16), shade, np.uint8) * np.array([[[1]], [[0]], [[0]]], np.uint8) for shade in shades]


def test_what_was_not_measured_is_none() -> None:
    client = RednessScorer()
    reward = TrlReward(client, edited=draw)
    columns = {"instruction": ["make it red"] * 4, "source": [SOURCE] * 4, "trainer_state": None}
    rewards = reward(["p"] * 4, ["a", "bb" * 10, "c" * 100, "d" * 200], **columns)
    assert rewards[0] is None
    assert rewards[1:] == pytest.approx([0.16, 0.47, 0.86])
    assert [len(group.edited) for group in client.asked] == [4]
    with pytest.raises(KeyError, match="no column 'source'"):
        reward(["p"], ["a"], instruction=["x"])
