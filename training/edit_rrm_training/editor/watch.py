"""What people look at while an editor is trained: progress, TensorBoard or W&B, curves and pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image, ImageDraw

from edit_rrm_client.group import GroupResult
from edit_rrm_training.editor.curves import CurvesError, figure_file, read_run
from edit_rrm_training.editor.kept_pictures import keep_pictures, kept_edits
from edit_rrm_training.editor.progress import RunProgress
from edit_rrm_training.editor.scoring import Scored
from edit_rrm_training.editor.trackers import Scalar, Trackers
from edit_rrm_training.editor.trainer import Evaluated

CURVES_FILE: Final = "curves.png"
_CELL = 168
_TEXT = 190
_MARGIN = 8
_COLUMNS: Final = ("prompt", "instruction", "outcome", "reward", "principles", "reasoning")


class RunWatcher:
    """Writes ``log.jsonl``, ``curves.png`` and ``pictures/``, tells the trackers, and says how it goes.

    On a terminal that is a bar, elsewhere a line a step.
    """

    def __init__(
        self,
        folder: Path,
        accelerator: Any,
        *,
        steps: int,
        say: Any = print,
        progress: RunProgress | None = None,
        trackers: Trackers | None = None,
    ) -> None:
        """Write into a run's folder; only the first device's process does."""
        self._folder = folder
        self._accelerator = accelerator
        self._trackers = trackers or Trackers()
        self._steps = steps
        self._say = say
        self._progress = progress

    def step(self, number: int, values: dict[str, float]) -> None:
        """Log a step."""
        self._trackers.log({f"train/{name}": value for name, value in values.items()}, step=number)
        if not self._accelerator.is_main_process:
            return
        self._write({"step": number, **values})
        reward = f"reward {values['reward']:.3f}" if "reward" in values else "no reward"
        told = (
            f"{reward}, sampling {values['sampling_s']:.1f} s, scoring {values['scoring_s']:.1f} s "
            f"({values['hidden']:.0%} hidden), update {values['updating_s']:.1f} s"
        )
        if self._progress is not None:
            self._progress.stepped(number + 1, told)
        if self._progress is None or not self._progress.shown:
            self._say(f"step {number + 1} of {self._steps}: {told}")

    def doing(self, what: str, done: int, total: int) -> None:
        """Show how far a part of a step is."""
        if self._progress is not None and self._accelerator.is_main_process:
            self._progress.doing(what, done, total)

    def evaluated(self, number: int, found: Evaluated) -> None:
        """Log an evaluation, and draw it: source, before, after, and what the judge said; and the curves so far."""
        means = found.measures | found.rewards
        self._trackers.log({f"evaluation/{name}": value for name, value in means.items()}, step=number)
        folder = self._folder / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        kept = keep_pictures(folder, number, [prompt.source for prompt in found.prompts], found.edits)
        drawn = sheet(kept_edits(folder, 0), found)
        drawn.save(folder / f"step-{number:06d}.png")
        rows = [
            {
                "prompt": prompt.name,
                "instruction": prompt.instruction,
                **files,
                **_said(one.result),
                **_beside(found, row),
            }
            for row, (prompt, files, one) in enumerate(zip(found.prompts, kept, found.scored, strict=True))
        ]
        (folder / f"step-{number:06d}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        # What is in the log is there as a whole: a run that is gone on with evaluates again what is not.
        rewards = {"rewards": found.rewards} if found.rewards else {}
        self._write({"step": number, "evaluation": found.measures, **rewards})
        self._trackers.picture("evaluation/pictures", drawn, number)
        self._trackers.table("evaluation/edits", _COLUMNS, _table(found), number)
        told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
        self._say(f"evaluation after {number} steps: {told}")
        self._draw_curves()

    def has_evaluated(self, number: int) -> bool:
        """Whether the log has an evaluation after so many steps."""
        try:
            return any(one.step == number for one in read_run(self._folder).evaluations)
        except CurvesError:
            return False

    def _draw_curves(self) -> None:
        try:
            drawn = figure_file([read_run(self._folder)])
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            # matplotlib is missing, has no folder for its fonts, or cannot draw what was logged: nobody's run ends for
            # that. Other exceptions are mistakes of ours, and the disk of the run is written to below.
            self._say(f"{CURVES_FILE} was not drawn: {error}")
        else:
            (self._folder / CURVES_FILE).write_bytes(drawn)

    def _write(self, entry: dict[str, Any]) -> None:
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def sheet(before: Sequence[Image.Image], after: Evaluated, rows: int = 12) -> Image.Image:
    """A picture of an evaluation: a row for each prompt, with its source, its edit before training and now, and why.

    Args:
        before: Edits of the first prompts before training; what is missing stays white.
        after: The evaluation.
        rows: Prompts at most.
    """
    count = min(rows, len(after.prompts))
    width = 3 * (_CELL + _MARGIN) + 2 * _TEXT + _MARGIN
    page = Image.new("RGB", (width, count * (_CELL + _MARGIN) + _MARGIN), "white")
    pen = ImageDraw.Draw(page)
    for row in range(count):
        top = _MARGIN + row * (_CELL + _MARGIN)
        pictures = (after.prompts[row].source, before[row] if row < len(before) else None, after.edits[row])
        for column, picture in enumerate(pictures):
            if picture is None:
                continue
            shown = picture.convert("RGB").resize((_CELL, _CELL), Image.Resampling.LANCZOS)
            page.paste(shown, (_MARGIN + column * (_CELL + _MARGIN), top))
        left = _MARGIN + 3 * (_CELL + _MARGIN)
        lines = [*_wrapped(after.prompts[row].instruction, 60), "", *_verdicts(after.scored[row])]
        pen.multiline_text((left, top), "\n".join(lines[:12]), fill="black", spacing=2)
    return page


def _beside(found: Evaluated, row: int) -> dict[str, Any]:
    """What other judges and held-out ones said of a prompt's edit, by their names."""
    said = {**found.scored[row].others} | {name: theirs[row].result for name, theirs in found.held_out.items()}
    return {"judges": {name: _said(result) for name, result in said.items()}} if said else {}


def _said(group: GroupResult) -> dict[str, Any]:
    result = group.results[0]
    return {
        "outcome": result.outcome.value,
        "reward": result.reward,
        "verdicts": [verdict.model_dump(mode="json") for verdict in result.verdicts],
        "reasoning": result.reasoning,
    }


def _table(found: Evaluated) -> list[list[Scalar]]:
    """A row of `_COLUMNS` for each prompt."""
    rows: list[list[Scalar]] = []
    for prompt, scored in zip(found.prompts, found.scored, strict=True):
        one = scored.result.results[0]
        principles = "\n".join(
            f"{'+' if verdict.passed else '-'} {verdict.principle.question} {verdict.rationale or ''}".rstrip()
            for verdict in one.verdicts
        )
        rows.append([prompt.name, prompt.instruction, one.outcome.value, one.reward, principles, one.reasoning])
    return rows


def _verdicts(one: Scored) -> Sequence[str]:
    result = one.result.results[0]
    if result.reward is None:
        return [f"not scored: {result.outcome.value}"]
    lines = [f"reward {result.reward:.2f}"]
    for verdict in result.verdicts:
        why = f": {verdict.rationale}" if verdict.rationale else ""
        lines.append(f"{'+' if verdict.passed else '-'} {verdict.principle.question[:44]}{why[:20]}")
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)[:3]
