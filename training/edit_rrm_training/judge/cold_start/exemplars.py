"""Exemplars: worked examples of good principles, a few of them drawn for every query.

A pool is a JSONL file; every line is ``{"id": ..., "instruction": ..., "principles": [{"question", "category"}, ...]}``
with all three categories among the principles.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from edit_rrm.principles import MAX_PRINCIPLES, Category, Instruction, Principle
from edit_rrm.prompts import neutralise
from edit_rrm_training.judge.cold_start.errors import ColdStartError


class Exemplar(BaseModel):
    """An instruction and the principles an expert would write for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$")]
    instruction: Instruction
    principles: tuple[Principle, ...] = Field(min_length=3, max_length=MAX_PRINCIPLES)

    @model_validator(mode="after")
    def _all_categories(self) -> Self:
        found = {principle.category for principle in self.principles}
        if missing := [category.value for category in Category if category not in found]:
            raise ValueError(f"no principle of category {', '.join(missing)}")
        return self


def load_pool(path: str | None) -> tuple[Exemplar, ...]:
    """Read a pool; None reads the one that ships.

    Raises:
        ColdStartError: The file cannot be read, or a line of it is no exemplar; the message names the line.
    """
    name = path or "exemplars.jsonl"
    try:
        file = Path(path) if path else files(__package__).joinpath("exemplars.jsonl")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ColdStartError(f"exemplars {name}: {error}") from None
    pool: dict[str, Exemplar] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            exemplar = Exemplar.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(piece) for piece in first["loc"]) or "the line"
            message = first["msg"].removeprefix("Value error, ")
            raise ColdStartError(f"exemplars {name}, line {number}: {where}: {message}") from None
        if exemplar.id in pool:
            raise ColdStartError(f"exemplars {name}, line {number}: id {exemplar.id!r} is there twice")
        pool[exemplar.id] = exemplar
    return tuple(pool.values())


def draw(pool: Sequence[Exemplar], count: int, seed: int, key: str) -> tuple[Exemplar, ...]:
    """Draw `count` different exemplars for one query; the same seed and key draw the same ones in the same order."""
    rng = random.Random(f"{seed}/{key}")  # noqa: S311 - a draw to be repeated, not a secret
    return tuple(rng.sample(list(pool), count))


def exemplar_text(exemplar: Exemplar) -> str:
    """An exemplar as a prompt shows it: the instruction, then the answer in the form asked for."""
    rows = [{"question": neutralise(item.question), "category": item.category.value} for item in exemplar.principles]
    listed = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'Edit instruction: "{neutralise(exemplar.instruction)}"\n[{listed}]'


def pool_digest(pool: Sequence[Exemplar]) -> str:
    """SHA-256 (hex) of a pool's content."""
    return sha256("\n".join(item.model_dump_json() for item in pool).encode()).hexdigest()
