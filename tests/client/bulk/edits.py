"""Files of small edits, and a judge without a service: the redder an edit's first pixel, the better."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from edit_rrm.principles import Category, Principle
from edit_rrm.verdicts import Aggregation, Mode, Outcome, Reward, Verdict
from edit_rrm.wire import Identity
from edit_rrm_client.group import GroupResult
from tests.client.steps import IDENTITY, scored, unscored

SPOILT = b"no image"
TIMED_OUT = 255
"""Blue of edits that cannot be measured in time."""


@cache
def picture(red: int, blue: int = 0) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8), (red, 0, blue)).save(buffer, "PNG")
    return buffer.getvalue()


def table(rows: int, group: int = 4) -> pa.Table:
    """Edits worth 0, 1, 2... tenths, so many of each source."""
    return pa.table(
        {
            "id": [f"edit-{row}" for row in range(rows)],
            "instruction": [f"make it red {row // group}" for row in range(rows)],
            "source": [picture(row // group % 256, 1) for row in range(rows)],
            "edited": [picture(row % 11 * 25) for row in range(rows)],
        }
    )


def written(path: Path, rows: int, group: int = 4) -> Path:
    pq.write_table(table(rows, group), path, row_group_size=max(1, rows // 3))
    return path


def read(path: Path, *, without: Sequence[str] = ("request_id",)) -> list[dict[str, Any]]:
    """An output's rows; request ids are every try's own."""
    found: list[dict[str, Any]] = pq.read_table(path).drop_columns(list(without)).to_pylist()
    return found


def judged(file: bytes) -> Reward:
    if file == SPOILT:
        return unscored(Outcome.BAD_IMAGE, param="edited[0]")
    with Image.open(BytesIO(file)) as image:
        pixel = image.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    if pixel[2] == TIMED_OUT:
        return unscored(Outcome.TIMED_OUT, retryable=True)
    principle = Principle(question="Is it red?", category=Category.INSTRUCTION_FOLLOWING)
    verdict = Verdict(principle=principle, passed=pixel[0] > 100, rationale="seen")
    return scored(round(pixel[0] / 25.5, 1), verdicts=(verdict,), identity=IDENTITY)


class RednessJudge:
    """Satisfies `PinnedJudge`; remembers what it was asked, and may be made to fail."""

    def __init__(
        self,
        judge: Callable[[bytes], Reward] = judged,
        *,
        seconds: float = 0.0,
        identity: str = IDENTITY,
        fail_after: int | None = None,
    ) -> None:
        self.asked: list[tuple[str, bytes, tuple[bytes, ...]]] = []
        self.ways: set[tuple[Mode, Aggregation | None, int]] = set()
        self.under_way = self.most_under_way = 0
        self._judge = judge
        self._seconds = seconds
        self._identity = identity
        self._fail_after = fail_after

    @property
    def edits(self) -> int:
        return sum(len(edits) for _, _, edits in self.asked)

    async def identity(self) -> Identity:
        return Identity(identity=self._identity, name="redness", facts={})

    async def rewards(
        self,
        instruction: str,
        source: bytes,
        edited: Sequence[bytes],
        *,
        mode: Mode = Mode.THINK,
        aggregation: Aggregation | None = None,
        samples: int = 1,
    ) -> GroupResult:
        if self._fail_after is not None and self.edits >= self._fail_after:
            raise KeyboardInterrupt
        self.asked.append((instruction, source, tuple(edited)))
        self.ways.add((mode, aggregation, samples))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self._seconds)
        self.under_way -= 1
        return GroupResult(tuple(self._judge(one) for one in edited), identity=self._identity)
