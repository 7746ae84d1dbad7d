"""Curves of editor-training runs: what was rewarded, what the training never saw, and where the seconds went."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edit_rrm_training.editor.judge_recipe import JUDGE

LOG_FILE: Final = "log.jsonl"
SUFFIXES: Final = (".png", ".svg")
MOST_RUNS: Final = 7
"""In a figure: more colours are not told apart."""

Floats = npt.NDArray[np.float64]


class CurvesError(ValueError):
    """There is nothing to draw; the message says why, and what to change."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    step: int = Field(ge=0)


class Step(_Entry):
    """What a step of training logged; steps are counted from 0."""

    sampling_s: float
    """Seconds of drawing edits."""
    waited_s: float
    """Seconds of waiting for their scores when they were drawn."""
    updating_s: float
    """Seconds of learning from them."""
    reward: float | None = None
    """Mean reward; None where nothing was measured."""


class Evaluation(_Entry):
    """How good the editor was when so many steps were done."""

    evaluation: dict[str, float]
    """Means by name."""
    rewards: dict[str, float] | None = None
    """Where rewards are more than the judge's: the mean `reward` as steps have it, and of each part."""

    @property
    def judge(self) -> float | None:
        """The judge's mean reward; None where nothing was measured."""
        return self.evaluation.get(JUDGE)

    @property
    def reward(self) -> float | None:
        """The mean of what is trained on, which is the judge's where it is alone; None where nothing was measured."""
        return self.judge if self.rewards is None else self.rewards.get("reward")

    @property
    def held_out(self) -> dict[str, float]:
        """The measures that the training does not optimise."""
        return {name: value for name, value in self.evaluation.items() if name != JUDGE}


@dataclass(frozen=True, slots=True)
class Run:
    """What a run logged, in the order of steps, each once."""

    label: str
    steps: tuple[Step, ...]
    evaluations: tuple[Evaluation, ...]


def read_run(folder: Path, label: str | None = None) -> Run:
    """Read the log of a run, which may be going on.

    Args:
        folder: The run's.
        label: What the run is called; its folder's name where left out.

    Raises:
        CurvesError: There is no log, nothing in it yet, or a line in it is not a run's.
        OSError: The log cannot be read.
    """
    path = folder / LOG_FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError):
        raise CurvesError(f"{folder} has no {LOG_FILE}: give the --out folder of `edit-rrm train editor`") from None
    steps: dict[int, Step] = {}
    evaluations: dict[int, Evaluation] = {}
    for entry in _entries(text, path):
        # A run that was killed before it saved makes its last steps again: what it logged last counts.
        if isinstance(entry, Step):
            steps[entry.step] = entry
        else:
            evaluations[entry.step] = entry
    if not steps and not evaluations:
        raise CurvesError(f"{path} has no step and no evaluation yet: wait until the run has made its first one")
    return Run(
        label or folder.resolve().name,
        tuple(steps[number] for number in sorted(steps)),
        tuple(evaluations[number] for number in sorted(evaluations)),
    )


def smoothed(values: Floats) -> Floats:
    """A centred moving mean over about a tenth of the values, of those that are numbers.

    Centred, so that it does not lag behind the evaluations beside it.
    """
    reach = len(values) // 20
    indices = np.arange(len(values))
    first, last = np.maximum(indices - reach, 0), np.minimum(indices + reach + 1, len(values))
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    here = counts[last] - counts[first]
    means = np.full(len(values), np.nan)
    np.divide(sums[last] - sums[first], here, out=means, where=here > 0)
    return means


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draw runs into one figure, in a file whose suffix says what kind it is: PNG or SVG.

    Raises:
        CurvesError: The file is neither, runs cannot be told apart, or matplotlib is not there.
        OSError: The file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise CurvesError(f"{path} does not end in {' or '.join(SUFFIXES)}")
    path.write_bytes(figure_file(runs, path.suffix.lower().removeprefix(".")))


def figure_file(runs: Sequence[Run], kind: str = "png") -> bytes:
    """The figure of runs as a file's bytes, so that what fails here is never the disk.

    Args:
        runs: To compare, at most seven, each with a label of its own.
        kind: ``png``, 1200 pixels wide, or ``svg``.

    Raises:
        CurvesError: Runs cannot be told apart, or matplotlib is not there.
    """
    _check(runs)
    try:
        from edit_rrm_training.editor.curves_figure import drawn
    except ImportError as error:
        raise CurvesError(f"drawing needs matplotlib ({error}): pip install 'edit-rrm[training]'") from error
    return drawn(runs, kind)


_BEGINNING = re.compile(r'(?=\{"step":)')


def _entries(text: str, path: Path) -> Iterator[Step | Evaluation]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _entry(line)
        except ValueError as error:
            # What a kill or a full disk cut off has no end of line, and a resumed run writes on behind it.
            pieces = [piece for piece in _BEGINNING.split(line) if piece]
            unended = number == len(lines)
            for index, piece in enumerate(pieces):
                try:
                    yield _entry(piece)
                except ValueError:
                    if index == len(pieces) - 1 and not unended:
                        raise CurvesError(
                            f"{path}, line {number}, is not what `edit-rrm train editor` logs ({_why(error)}): "
                            "give the --out folder of such a run, or delete the line if it is one"
                        ) from None


def _entry(text: str) -> Step | Evaluation:
    fields = json.loads(text)
    kind = Evaluation if isinstance(fields, dict) and "evaluation" in fields else Step
    return kind.model_validate(fields)


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return ": ".join([*map(str, first["loc"]), first["msg"]])


def _check(runs: Sequence[Run]) -> None:
    if not 1 <= len(runs) <= MOST_RUNS:
        raise CurvesError(f"{len(runs)} runs: a figure shows 1 to {MOST_RUNS}, more colours are not told apart")
    labels = [run.label for run in runs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise CurvesError(f"several runs are called {twice[0]!r}: call them differently, NAME=FOLDER")
