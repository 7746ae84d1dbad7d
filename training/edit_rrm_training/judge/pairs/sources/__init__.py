"""Readers of benchmarks: each turns the rows of one format into `Pair`s, or says why a row is not one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edit_rrm_training.judge.pairs.pair import Pair, Rejected
from edit_rrm_training.judge.pairs.sources.editscore import EditScoreSource
from edit_rrm_training.judge.pairs.sources.genai import GenAiSource
from edit_rrm_training.judge.pairs.sources.own import OwnSource
from edit_rrm_training.judge.pairs.sources.shapes import ShapesSource
from edit_rrm_training.judge.pairs.sources.tiger import TigerSource

__all__ = ["KINDS", "DataSpec", "PairSource", "open_source", "parse_data"]


class PairSource(Protocol):
    """A benchmark that is ready to be read."""

    @property
    def resize_edits(self) -> bool:
        """Whether the benchmark's rule is to bring every edit to its source's size before it is judged."""
        ...

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def rows(self) -> Iterator[Pair | Rejected]:
        """Every row, in order."""
        ...


_DATASETS: Mapping[str, Callable[[Path, int | None], PairSource]] = {
    "editscore": EditScoreSource,
    "tiger": TigerSource,
    "genai": GenAiSource,
    "pairs": OwnSource,
}
KINDS = ("shapes", *_DATASETS)


@dataclass(frozen=True, slots=True)
class DataSpec:
    """What `--data` says: a kind of benchmark and where it is."""

    kind: str
    where: str
    """A split of `shapes`; for the others a file or folder."""


def parse_data(text: str) -> DataSpec:
    """Read `KIND:WHERE`.

    Raises:
        ValueError: It is not of that form, or there is no such kind; the message says what there is.
    """
    kind, colon, where = text.partition(":")
    if not colon or not where or kind not in KINDS:
        raise ValueError(f"{text!r} is none of {', '.join(f'{name}:{_where(name)}' for name in KINDS)}")
    return DataSpec(kind, where)


def open_source(spec: DataSpec, limit: int | None = None, *, oracle_principles: bool = False) -> PairSource:
    """Open a benchmark.

    Args:
        spec: Which.
        limit: Read no more rows than this; None reads all (of `shapes`, which has no end, 3,000).
        oracle_principles: Judge by the oracle's principles; `shapes` alone has them.

    Raises:
        DataError: The data are not there or not of the format; the message says what is missing.
        ValueError: There is no such split, or the benchmark has no oracle.
    """
    if spec.kind == "shapes":
        return ShapesSource(spec.where, limit, oracle_principles=oracle_principles)
    if oracle_principles:
        raise ValueError(f"{spec.kind} has no oracle to take principles from; only shapes has one")
    return _DATASETS[spec.kind](Path(spec.where), limit)


def _where(kind: str) -> str:
    return "SPLIT" if kind == "shapes" else "PATH"
