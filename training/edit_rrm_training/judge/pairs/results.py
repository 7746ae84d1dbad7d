"""What a run has found so far, on disk: `run.json` says what is being measured, `results.jsonl` has a line a group.

A run that was killed goes on from there. Scores are only put together that were asked for in the same way, of the same
judge, about the same data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from edit_rrm.verdicts import SCORE_MAX, Outcome
from edit_rrm_training.judge.pairs.asking import EditScore

_RUN, _RESULTS = "run.json", "results.jsonl"
_FORMAT = 1
_TRANSIENT = frozenset({Outcome.OVERLOADED, Outcome.TIMED_OUT, Outcome.CANCELLED, Outcome.ENGINE_ERROR})
"""Outcomes that say something about the service's day and nothing about the judge: asked again when a run goes on."""


class ResumeError(Exception):
    """A folder holds the results of something else."""


class Results:
    """The results of one run; those of an earlier, interrupted one are taken over."""

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        """Open a folder.

        Args:
            folder: Made if it is not there.
            run: What makes two runs the same: the judge's identity, the data and every option that can move a score.

        Raises:
            ResumeError: The folder has results of another run; the message says what differs.
            OSError: It cannot be written to.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / _RESULTS
        _claim(folder / _RUN, self._path, {"format": _FORMAT, **run})
        self._found = _read(self._path)
        self._file = self._path.open("a", encoding="utf-8")

    def __enter__(self) -> Results:
        """Return the results."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def get(self, key: str, edits: int) -> list[EditScore] | None:
        """What is known about a group; None where it is to be asked (again).

        Args:
            key: The group's key.
            edits: How many edits it has; another number means a damaged line.
        """
        scores = self._found.get(key)
        if scores is None or len(scores) != edits or any(score.outcome in _TRANSIENT for score in scores):
            return None
        return scores

    def add(self, key: str, scores: Sequence[EditScore]) -> None:
        """Write down what a group got, so that it survives this process."""
        line = {
            "group": key,
            "results": [
                {"outcome": score.outcome.value, "score": score.score, "spread": score.spread, "message": score.message}
                for score in scores
            ],
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _claim(path: Path, results: Path, run: Mapping[str, Any]) -> None:
    """Start a run in a folder, or make sure that this is the run the folder is of."""
    if not path.exists():
        if results.exists():
            raise ResumeError(f"{results} has results, but no {path.name} says of what; choose another folder")
        # Written beside and moved, so that a kill leaves either all of it or none.
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise ResumeError(
            f"{path} is damaged, so nothing says what the results beside it are of; choose another folder"
        )
    differing = [
        f"{name} was {_shown(before.get(name))}, is {_shown(run.get(name))}"
        for name in dict.fromkeys((*before, *run))
        if before.get(name) != run.get(name)
    ]
    if differing:
        raise ResumeError(f"{path.parent} has results of another run: {'; '.join(differing)}; choose another folder")


def _read(path: Path) -> dict[str, list[EditScore]]:
    """Whole lines of a results file; half a last line, which a kill leaves, is cut off."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    found: dict[str, list[EditScore]] = {}
    for line in whole.splitlines():
        try:
            entry = json.loads(line)
            found[str(entry["group"])] = [_score(result) for result in entry["results"]]
        except (ValueError, KeyError, TypeError):
            # A damaged line costs its group another asking.
            continue
    return found


def _score(result: Mapping[str, Any]) -> EditScore:
    outcome, score = Outcome(result["outcome"]), result["score"]
    if (score is not None) != (outcome is Outcome.SCORED) or (score is not None and not 0.0 <= score <= SCORE_MAX):
        raise ValueError("a score where there is none, or none where there is one")
    return EditScore(outcome, score, result["spread"], result["message"])


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
