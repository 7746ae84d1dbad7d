"""Teachers and rows for tests of the steps: fakes that answer what they are told, over images made on the spot."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from edit_rrm.grammar import format_judgement, format_principles
from edit_rrm.principles import Category, Principle
from edit_rrm_training.judge.cold_start.config import ColdStartConfig, parse_config
from edit_rrm_training.judge.cold_start.exemplars import Exemplar, load_pool, pool_digest
from edit_rrm_training.judge.cold_start.folder import Steps, manifest_of, opened
from edit_rrm_training.judge.cold_start.gold import Gold, format_gold
from edit_rrm_training.judge.cold_start.mixing import format_triage
from edit_rrm_training.judge.cold_start.pipeline import Pipeline
from edit_rrm_training.judge.cold_start.rows import BadRow, EditRow, Load, read_row
from edit_rrm_training.judge.cold_start.teachers import Source, Staff

PRINCIPLES = (
    Principle(question="Is the star blue?", category=Category.INSTRUCTION_FOLLOWING),
    Principle(question="Is the circle kept?", category=Category.FEATURE_PRESERVATION),
    Principle(question="Is it sharp?", category=Category.IMAGE_QUALITY),
)

Said = str | Exception


def png(colour: str | tuple[int, int, int], size: int = 8) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def judgement(passed: Sequence[bool] = (True, True, True), score: float = 8.0) -> str:
    return format_judgement([f"seen {index}" for index in range(len(passed))], passed, score)


def gold(passed: Sequence[bool] = (True, True, True)) -> str:
    return format_gold(Gold(tuple(passed), ("because",) * len(passed)), PRINCIPLES)


@dataclass
class FakeTeacher:
    """Answers by functions of the row; counts what it was asked."""

    name: str = "fake"
    writes: Callable[[EditRow], Said] = lambda row: format_principles(PRINCIPLES)
    thinks: Callable[[EditRow], Said] = lambda row: judgement()
    verifies: Callable[[EditRow], Said] = lambda row: gold()
    classifies: Callable[[EditRow], Said] = lambda row: format_triage(["space"] if "left" in row.instruction else [])
    takes_exemplars: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(task, instruction) of every question."""
    hints: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def source(self) -> Source:
        return Source(self.name, f"{self.name}-model", "plain", 0.5)

    async def write(self, row: EditRow, exemplars: Sequence[Exemplar], seed: int) -> str:
        return await self._say("write", row, self.writes)

    async def think(self, row: EditRow, principles: Sequence[Principle], seed: int) -> str:
        return await self._say("think", row, self.thinks)

    async def verify(self, row: EditRow, principles: Sequence[Principle], hints: Sequence[str], seed: int) -> str:
        self.hints.append(tuple(hints))
        return await self._say("verify", row, self.verifies)

    async def classify(self, row: EditRow, seed: int) -> str:
        return await self._say("classify", row, self.classifies)

    async def _say(self, what: str, row: EditRow, answer: Callable[[EditRow], Said]) -> str:
        self.asked.append((what, row.instruction))
        await asyncio.sleep(0)
        said = answer(row)
        if isinstance(said, Exception):
            raise said
        return said


class ListedRows:
    """Rows from a list of (instruction, source, edited)."""

    name = "listed"

    def __init__(self, triples: Sequence[tuple[Any, Any, Any]]) -> None:
        self._triples = triples
        self.total = len(triples)

    def __iter__(self) -> Iterator[Load]:
        return (partial(self._load, index) for index in range(self.total))

    def _load(self, index: int) -> EditRow | BadRow:
        instruction, source, edited = self._triples[index]
        return read_row(f"{self.name}/{index}", instruction, {"bytes": source}, {"bytes": edited})


def triples(count: int) -> list[tuple[Any, Any, Any]]:
    return [(f"make it {index}", png("red"), png((index, 0, 0))) for index in range(count)]


def a_config(**changes: Any) -> ColdStartConfig:
    noise = {"flip": dict.fromkeys(Category, 0.0), "miss_magnitude": 0.0, "score_bias": 0.0, "score_spread": 0.0}
    values = {
        "prompts": "standard",
        "teachers": {"fake": {"kind": "shapes-oracle", "noise": noise}},
        "principles": {"teacher": "fake", "exemplars_per_query": 2},
        "candidates": [{"teacher": "fake"}],
        "verifier": {"teacher": "fake"},
    }
    return parse_config("test", values | changes)


def staff(*thinkers: FakeTeacher, **others: FakeTeacher) -> Staff:
    fake = thinkers[0] if thinkers else FakeTeacher()
    return Staff(
        others.get("writer", fake), thinkers or (fake,), others.get("verifier", fake), others.get("classifier", fake)
    )


@contextmanager
def started(
    out: Path,
    rows: Any,
    people: Staff,
    *,
    config: ColdStartConfig | None = None,
    count: int | None = None,
    verified: bool = True,
    progress: Any = lambda step, done, total: None,
) -> Iterator[tuple[Pipeline, Steps]]:
    chosen = config or a_config()
    pool = load_pool(None)
    manifest = manifest_of(chosen, rows.name, count, pool_digest(pool), verified=verified)
    with opened(out, manifest, verified=verified) as steps:
        yield (
            Pipeline(chosen, rows, pool, people, steps, count=count, verified=verified, progress=progress),
            steps,
        )
