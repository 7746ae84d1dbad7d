"""Pairs, groups and judged preferences for tests, without files."""

from __future__ import annotations

from typing import Any

from edit_rrm_training.judge.pairs.comparison import Judged
from edit_rrm_training.judge.pairs.grouping import Assembled, assemble
from edit_rrm_training.judge.pairs.pair import Pair, Picture, Rejected
from tests.training.pairs.datasets_on_disk import png


def picture(colour: str, size: tuple[int, int] = (32, 32)) -> Picture:
    return Picture(colour, lambda: png(colour, size))


def pair(better: str, worse: str, *, source: str = "red", instruction: str = "make it blue", **more: Any) -> Pair:
    row = f"{source}: {better} over {worse}"
    return Pair(row, instruction, picture(source), picture(better), picture(worse), **more)


def judged(better: float | None, worse: float | None, source: str = "red", **more: Any) -> Judged:
    return Judged(source, better, worse, **more)


def assembled(*rows: Pair | Rejected) -> Assembled:
    return assemble(rows)
