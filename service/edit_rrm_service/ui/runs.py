"""Reads what training runs and pairwise evaluations leave in a folder, for people to look at.

A training run has `pictures/step-NNNNNN.json`, a row for each prompt; an evaluation has `pairs.jsonl`, a line for each
preference. Both name small pictures beside them. What is damaged or still being written is left out, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edit_rrm.verdicts import Outcome, Verdict

PAIRS_FILE: Final = "pairs.jsonl"
PICTURES: Final = "pictures"
_MOST_DEEP: Final = 4
_MOST_RUNS: Final = 500

ModelT = TypeVar("ModelT", bound=BaseModel)


class Kind(StrEnum):
    """What made a folder."""

    TRAINING = "training"
    PAIRS = "pairs"


class Show(StrEnum):
    """Which rows to look at."""

    ALL = "all"
    DISAGREEMENTS = "disagreements"
    """Of an evaluation: the judge is against people, or cannot tell. Of training: the reward fell."""
    FAILURES = "failures"
    """What was not scored."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that something was written to."""

    name: str
    """Its path below the folder of all runs."""
    folder: Path
    kind: Kind


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Sample(_Row):
    """A prompt and an edit of it, at some step of training."""

    prompt: str
    instruction: str
    outcome: Outcome
    reward: float | None = None
    verdicts: tuple[Verdict, ...] = ()
    reasoning: str | None = None
    source: str | None = None
    """A file beside the table; None where the run has kept none."""
    picture: str | None = None


class Edit(_Row):
    """One of a pair's edits."""

    outcome: Outcome
    score: float | None = None
    message: str | None = None
    picture: str | None = None


class PairRow(_Row):
    """A preference, and what the judge made of it."""

    instruction: str
    standing: str
    """`right`, `wrong`, `tied` or `unscored`."""
    people_tied: bool = False
    category: str | None = None
    dimension: str | None = None
    source: str | None = None
    better: Edit
    worse: Edit


def find_runs(root: Path) -> list[Run]:
    """Every run in a folder and the folders in it, the newest first."""
    found = [(path, kind) for path, kind in _runs(root, _MOST_DEEP)]
    found.sort(key=lambda one: _written(one[0]), reverse=True)
    return [Run(path.relative_to(root).as_posix(), path, kind) for path, kind in found[:_MOST_RUNS]]


def steps(run: Run) -> list[int]:
    """The steps that a training run was looked at after, in order."""
    names = (path.stem.removeprefix("step-") for path in (run.folder / PICTURES).glob("step-*.json"))
    return sorted(int(name) for name in names if name.isdigit())


def samples(run: Run, step: int) -> list[Sample]:
    """A training run's table after a step; empty where it is missing or still being written."""
    try:
        rows = json.loads((run.folder / PICTURES / f"step-{step:06d}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [] if not isinstance(rows, list) else [*_valid(Sample, rows)]


def pairs(run: Run) -> list[PairRow]:
    """An evaluation's preferences."""
    try:
        lines = (run.folder / PAIRS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [*_valid(PairRow, rows)]


def shown_pairs(rows: Sequence[PairRow], show: Show) -> list[PairRow]:
    """The rows of an evaluation to look at."""
    match show:
        case Show.ALL:
            return list(rows)
        case Show.DISAGREEMENTS:
            return [row for row in rows if not row.people_tied and row.standing in ("wrong", "tied")]
        case Show.FAILURES:
            return [row for row in rows if row.standing == "unscored"]


def shown_samples(before: Sequence[Sample], after: Sequence[Sample], show: Show) -> list[tuple[Sample | None, Sample]]:
    """The rows of a training run to look at, each with the same prompt's row of the first evaluation."""
    first = {sample.prompt: sample for sample in before}
    rows = [(first.get(sample.prompt), sample) for sample in after]
    match show:
        case Show.ALL:
            return rows
        case Show.DISAGREEMENTS:
            return [row for row in rows if _fell(*row)]
        case Show.FAILURES:
            return [row for row in rows if row[1].outcome is not Outcome.SCORED]


def picture(run: Run, name: str | None) -> bytes | None:
    """A run's picture, by the name that its table has; None where there is none in the run's own folder."""
    if name is None:
        return None
    folder = (run.folder / PICTURES).resolve()
    path = (folder / name).resolve()
    # A table names files, and a table may come from anywhere: nothing outside its folder is shown.
    if not path.is_relative_to(folder):
        return None
    try:
        return path.read_bytes()
    except OSError:
        return None


def _fell(before: Sample | None, after: Sample) -> bool:
    return (
        before is not None and None not in (before.reward, after.reward) and (after.reward or 0) < (before.reward or 0)
    )


def _runs(folder: Path, deeper: int) -> Iterator[tuple[Path, Kind]]:
    if any((folder / PICTURES).glob("step-*.json")):
        yield folder, Kind.TRAINING
        return
    if (folder / PAIRS_FILE).is_file():
        yield folder, Kind.PAIRS
        return
    if not deeper:
        return
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
    except OSError:
        return
    for path in inside:
        yield from _runs(path, deeper - 1)


def _written(folder: Path) -> float:
    try:
        return max((path.stat().st_mtime for path in (folder, folder / PICTURES) if path.exists()), default=0.0)
    except OSError:
        return 0.0


def _valid(model: type[ModelT], rows: Sequence[Any]) -> Iterator[ModelT]:
    for row in rows:
        try:
            yield model.model_validate(row)
        except ValidationError:
            continue
