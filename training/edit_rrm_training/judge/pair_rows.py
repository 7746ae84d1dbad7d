"""Pairs as GCPO reads them: two prompts each, the preferred edit's first, with the images beside them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from PIL import Image

from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, PromptSet
from edit_rrm_training.shapes.preferences import preference


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A preference with the principles to judge it by."""

    instruction: str
    principles: tuple[Principle, ...]
    source: Image.Image
    better: Image.Image
    worse: Image.Image


def shapes_pair(split: str, index: int) -> JudgedPair:
    """Preference `index` of a split of the shapes world, with the oracle's principles."""
    found = preference(split, index)
    return JudgedPair(
        found.instruction,
        tuple(finding.principle for finding in found.truths[0].findings),
        Image.fromarray(found.source_pixels()),
        Image.fromarray(found.better_pixels()),
        Image.fromarray(found.worse_pixels()),
    )


def pair_dataset(count: int, pair: Callable[[int], JudgedPair], prompts: PromptSet) -> Dataset:
    """A data set of `2 * count` rows: row `2 * i` judges the better edit of pair `i`, row `2 * i + 1` the worse one.

    Rows are made when they are asked for, so neither images nor prompts are ever held for all pairs. Columns: `prompt`
    (chat messages with image placeholders), `images` (source, edited), `principles` (JSON) and `row`.
    """

    def rows(batch: dict[str, list[int]]) -> dict[str, list[Any]]:
        made = [_row(pair(row // 2), row % 2, prompts) for row in batch["row"]]
        return {
            "row": batch["row"],
            **{name: [row[name] for row in made] for name in ("prompt", "images", "principles")},
        }

    return Dataset.from_dict({"row": list(range(2 * count))}).with_transform(rows)


def read_principles(text: str) -> tuple[Principle, ...]:
    """The `principles` column of a row."""
    return tuple(Principle.model_validate(item) for item in json.loads(text))


def _row(pair: JudgedPair, side: int, prompts: PromptSet) -> dict[str, Any]:
    return {
        "prompt": messages(prompts, pair.instruction, pair.principles),
        "images": [pair.source, (pair.better, pair.worse)[side]],
        "principles": json.dumps([principle.model_dump(mode="json") for principle in pair.principles]),
    }


def messages(prompts: PromptSet, instruction: str, principles: Sequence[Principle]) -> list[dict[str, Any]]:
    """A `think` prompt as chat messages, word for word what the service sends."""
    rendered = prompts.think(instruction, principles)
    content = [
        {"type": "image"} if isinstance(part, ImagePart) else {"type": "text", "text": part.text}
        for part in rendered.parts
    ]
    return [
        {"role": "system", "content": [{"type": "text", "text": rendered.system}]},
        {"role": "user", "content": content},
    ]
