"""Pairs as GCPO reads them: two prompts each, the preferred edit's first, with the images beside them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from datasets import Dataset
from PIL import Image

from edit_rrm.principles import Principle
from edit_rrm.prompts import ImagePart, PromptSet
from edit_rrm_client.images import encode_image
from edit_rrm_training.judge.pairs.grouping import assemble
from edit_rrm_training.judge.pairs.pair import Picture
from edit_rrm_training.judge.pairs.sources import open_source, parse_data
from edit_rrm_training.judge.upright import upright
from edit_rrm_training.shapes.preferences import preference
from edit_rrm_training.shapes.sample import seed_of

_SHAPES_PAIRS = 10_000
"""The paper has about 10,000."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A preference with the principles to judge it by."""

    instruction: str
    principles: tuple[Principle, ...]
    source: Image.Image
    better: Image.Image
    worse: Image.Image


@dataclass(frozen=True, slots=True)
class PairTable:
    """Pairs to train on, each made when it is asked for."""

    count: int
    pair: Callable[[int], JudgedPair]
    rejected: Mapping[str, int] = field(default_factory=dict)
    """Rows that are no pair, by reason."""


def open_pairs(data: str, limit: int | None) -> PairTable:
    """Open preference pairs.

    Args:
        data: `shapes:SPLIT`, or a kind of dataset and its path as `edit-rrm eval pairs` takes them (`pairs:PATH`).
        limit: Use no more than this many; None uses all (of `shapes`, which has no end, 10,000).

    Raises:
        ValueError: There is no such kind or split, nothing is left of the rows, or they have no principles.
        DataError: The data are not there or not of the format.
    """
    spec = parse_data(data)
    if spec.kind == "shapes":
        seed_of(spec.where)
        return PairTable(_SHAPES_PAIRS if limit is None else limit, lambda index: shapes_pair(spec.where, index))
    assembled = assemble(open_source(spec, limit).rows())
    reasons = Counter(row.reason.value for row in assembled.rejected)
    told = [
        (group, comparison)
        for group in assembled.groups
        for comparison in group.comparisons
        # "Same" is dropped, as in the paper.
        if not comparison.tied
    ]
    if not told:
        raise ValueError(f"{data}: none of {assembled.rows} rows can be used ({dict(reasons)})")
    without = sum(group.principles is None for group, _ in told)
    if without:
        raise ValueError(
            f"{data}: {without} of {len(told)} pairs have no principles; GCPO judges by given ones. Put a column "
            "`principles` beside instruction, source, better and worse (docs/training.md)"
        )

    def pair(index: int) -> JudgedPair:
        group, comparison = told[index]
        assert group.principles is not None
        better, worse = (_picture(group.edits[edit]) for edit in (comparison.better, comparison.worse))
        return JudgedPair(group.instruction, group.principles, _picture(group.source), better, worse)

    return PairTable(len(told), pair, reasons)


def _picture(picture: Picture) -> Image.Image:
    """A picture as the service shows it to a judge."""
    with Image.open(BytesIO(upright(encode_image(picture.load())))) as image:
        return image.convert("RGB")


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
