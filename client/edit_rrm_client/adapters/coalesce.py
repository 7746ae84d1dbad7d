"""Single edits that are asked for at the same time, gathered into the groups that the service judges best.

Some trainers ask for one reward at a time, many at once. Edits of one instruction and source that arrive within a short
while travel together: the source is sent once, all are judged by the same principles, and the service reads what they
share once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edit_rrm.verdicts import Mode, Reward
from edit_rrm.wire import MAX_EDITS
from edit_rrm_client.group import GroupResult
from edit_rrm_client.images import ImageInput, encode_image


class AsyncScorer(Protocol):
    """What is asked of a client; `AsyncRewardClient` provides it."""

    async def rewards(
        self, instruction: str, source: ImageInput, edited: Sequence[ImageInput], *, mode: Mode = Mode.THINK
    ) -> GroupResult:
        """Judge a group."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one edit, and of those that travelled with it."""

    group: GroupResult
    place: int
    """Of the edit in its group."""

    @property
    def result(self) -> Reward:
        """The edit's own."""
        return self.group.results[self.place]


@dataclass(eq=False, slots=True)
class _Group:
    """Edits that still gather, or are being judged."""

    instruction: str
    source: bytes
    edited: list[bytes] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: int = 0


class Coalescer:
    """Gathers edits and has them judged; for the tasks of one event loop."""

    def __init__(
        self, client: AsyncScorer, *, size: int = MAX_EDITS, within_s: float = 0.02, mode: Mode = Mode.THINK
    ) -> None:
        """Gather so long.

        Args:
            client: Asks the service.
            size: Edits of a group at most, 1 to 128: as many are sent at once.
            within_s: Seconds that the first edit of a group waits for others.
            mode: How principles are verified.

        Raises:
            ValueError: There is no such group.
        """
        if not 1 <= size <= MAX_EDITS or within_s < 0.0:
            raise ValueError(f"a group has 1 to {MAX_EDITS} edits, and waits for 0 seconds or longer")
        self._client = client
        self._size = size
        self._within_s = within_s
        self._mode = mode
        self._open: dict[tuple[str, bytes], tuple[_Group, asyncio.Task[GroupResult]]] = {}

    async def judge(self, instruction: str, source: ImageInput, edited: ImageInput) -> Judged:
        """Judge one edit, together with others of its instruction and source.

        Where a caller is cancelled, the others are not; where all of a group are, its request is.

        Raises:
            InvalidImageError: One of the images cannot be sent; costs this edit alone.
            RewardClientError: As `AsyncRewardClient.rewards`; all of a group get the same.
        """
        source_file, edited_file = await asyncio.to_thread(lambda: (encode_image(source), encode_image(edited)))
        group, task = self._group(instruction, source_file)
        place = len(group.edited)
        group.edited.append(edited_file)
        if len(group.edited) == self._size:
            self._close(group)
            group.full.set()
        group.waiting += 1
        try:
            return Judged(await asyncio.shield(task), place)
        finally:
            group.waiting -= 1
            if group.waiting == 0:
                task.cancel()

    def _group(self, instruction: str, source: bytes) -> tuple[_Group, asyncio.Task[GroupResult]]:
        key = instruction, source
        found = self._open.get(key)
        if found is None or found[1].cancelling() or found[1].done():
            group = _Group(instruction, source)
            found = self._open[key] = group, asyncio.create_task(self._judged(group))
        return found

    async def _judged(self, group: _Group) -> GroupResult:
        try:
            async with asyncio.timeout(self._within_s):
                await group.full.wait()
        except TimeoutError:
            pass
        finally:
            self._close(group)
        return await self._client.rewards(group.instruction, group.source, group.edited, mode=self._mode)

    def _close(self, group: _Group) -> None:
        """Take no more edits."""
        key = group.instruction, group.source
        if key in self._open and self._open[key][0] is group:
            del self._open[key]
