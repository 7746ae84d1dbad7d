"""A share of edits is lost, whatever they are worth, and told as lost or as 0."""

from __future__ import annotations

import numpy as np
from PIL import Image

from benchmarks.unreliable_judge import UnreliableJudge
from edit_rrm_client import Group
from tests.training.editor.toy_run import BlueJudge

EDITS = [Image.new("RGB", (4, 4), (number % 256, number // 256, 128)) for number in range(2_000)]
GROUP = Group("make it blue", Image.new("RGB", (4, 4), "white"), EDITS)


def test_what_is_lost_is_masked() -> None:
    (result,) = UnreliableJudge(BlueJudge(), share=0.05).score_groups([GROUP])
    assert 0.035 < 1.0 - result.mask.mean() < 0.065
    assert np.allclose(result.rewards[result.mask], 128 / 255)


def test_or_told_as_0_and_then_the_same_edits() -> None:
    (masked,) = UnreliableJudge(BlueJudge(), share=0.05).score_groups([GROUP])
    (zeros,) = UnreliableJudge(BlueJudge(), share=0.05, as_zero=True).score_groups([GROUP])
    assert zeros.mask.all()
    assert ((zeros.rewards == 0.0) == ~masked.mask).all()
