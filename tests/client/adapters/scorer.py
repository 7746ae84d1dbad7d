"""A client without a service: the redder an edit's first pixel, the better; of black ones nothing is measured."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image

from edit_rrm.verdicts import Mode, Outcome, Reward
from edit_rrm_client import Group, GroupResult
from edit_rrm_client.images import encode_image
from tests.client.steps import scored, unscored


class RednessScorer:
    """Satisfies `Scorer`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Group] = []
        self.modes: list[Mode] = []

    def score_groups(self, groups: Sequence[Group], *, mode: Mode = Mode.THINK) -> list[GroupResult]:
        self.asked += groups
        self.modes.append(mode)
        return [GroupResult(tuple(judge(encode_image(image)) for image in group.edited)) for group in groups]


def judge(file: bytes) -> Reward:
    with Image.open(BytesIO(file)) as image:
        pixel = image.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return scored(round(pixel[0] / 25.5, 1)) if any(pixel) else unscored(Outcome.TIMED_OUT, retryable=True)
