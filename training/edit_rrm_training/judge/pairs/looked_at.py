"""Every preference with what the judge made of it, a line each, and small pictures of those that it got wrong.

A report has the numbers; this is for people who want to see what is behind them, on the service's page or anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edit_rrm_training.judge.pairs.asking import EditScore, opened
from edit_rrm_training.judge.pairs.comparison import Judged, Standing
from edit_rrm_training.judge.pairs.grouping import Comparison, Group
from edit_rrm_training.judge.pairs.pair import Picture
from edit_rrm_training.small_pictures import save_small

FILE: Final = "pairs.jsonl"
MOST_PICTURED: Final = 300
"""Preferences whose pictures are kept: the first ones that the judge got wrong, could not tell, or did not score."""

_PICTURES: Final = "pictures"
_SIDE: Final = 384


def write_looked_at(
    folder: Path,
    groups: Sequence[Group],
    scores: Mapping[str, Sequence[EditScore]],
    *,
    most_pictured: int = MOST_PICTURED,
) -> Path:
    """Write `pairs.jsonl` and `pictures/` into an evaluation's folder, in place of what an earlier run wrote.

    Args:
        folder: That there is.
        groups: What was asked.
        scores: Of each group's edits, by its key.
        most_pictured: Preferences whose pictures are kept.

    Returns:
        Path of the lines.

    Raises:
        OSError: A picture is no longer where it was, or the folder cannot be written to.
    """
    path = folder / FILE
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        for line in _lines(folder / _PICTURES, groups, scores, most_pictured):
            file.write(json.dumps(line) + "\n")
    unfinished.replace(path)
    return path


def _lines(
    pictures: Path, groups: Sequence[Group], scores: Mapping[str, Sequence[EditScore]], most_pictured: int
) -> Iterator[dict[str, Any]]:
    pictured = 0
    for group in groups:
        for one in group.comparisons:
            better, worse = (scores[group.key][at] for at in (one.better, one.worse))
            standing = Judged(group.source.digest, better.score, worse.score, one.tied).standing
            interesting = standing is not Standing.RIGHT and not (one.tied and standing is Standing.TIED)
            files: dict[str, str] = {}
            if interesting and pictured < most_pictured:
                pictured += 1
                files = _kept(pictures, group, one)
            yield {
                "instruction": group.instruction,
                "standing": standing.value,
                "people_tied": one.tied,
                "category": one.category,
                "dimension": one.dimension,
                "source": files.get("source"),
                "better": _edit(better, files.get("better")),
                "worse": _edit(worse, files.get("worse")),
            }


def _edit(score: EditScore, picture: str | None) -> dict[str, Any]:
    return {
        "outcome": score.outcome.value,
        "score": score.score,
        "message": score.message,
        "picture": picture,
    }


def _kept(folder: Path, group: Group, one: Comparison) -> dict[str, str]:
    named = {"source": group.source, "better": group.edits[one.better], "worse": group.edits[one.worse]}
    return {name: _saved(folder, picture) for name, picture in named.items()}


def _saved(folder: Path, picture: Picture) -> str:
    """A picture's file, named by its content: one picture in several pairs is one file."""
    path = folder / f"{picture.digest[:24]}.webp"
    if not path.exists():
        save_small(opened(picture.load()), path, _SIDE)
    return path.name
