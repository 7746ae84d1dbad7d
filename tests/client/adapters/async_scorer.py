"""`RednessScorer` for tasks: it takes a moment, and counts the calls that were given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from edit_rrm.verdicts import Mode
from edit_rrm_client import Group, GroupResult, ImageInput
from tests.client.adapters.scorer import RednessScorer


class AsyncRednessScorer:
    """Satisfies `AsyncScorer`, and remembers what it was asked."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.asked: list[Group] = []
        self.began = asyncio.Event()
        self.given_up = 0
        self._takes_s = takes_s

    async def rewards(
        self, instruction: str, source: ImageInput, edited: Sequence[ImageInput], *, mode: Mode = Mode.THINK
    ) -> GroupResult:
        group = Group(instruction, source, edited)
        self.asked.append(group)
        self.began.set()
        try:
            await asyncio.sleep(self._takes_s)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return RednessScorer().score_groups([group], mode=mode)[0]
