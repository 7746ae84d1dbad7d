"""The oracle of pixels as a held-out measure of evaluation edits."""

from __future__ import annotations

import numpy as np
from PIL import Image

from edit_rrm_training.editor.nano.pixel_oracle import judge_pixels
from edit_rrm_training.editor.nano.tasks import make_task
from edit_rrm_training.editor.prompts import Prompt
from edit_rrm_training.editor.trainer import Measure


def shapes_measure(split: str) -> Measure:
    """Measures edits of a split's prompts, in their order: ``success``, ``done`` and ``kept``, each 0 or 1."""

    def measure(prompt: Prompt, index: int, edit: Image.Image) -> dict[str, float]:
        verdict = judge_pixels(make_task(split, index), np.asarray(edit.convert("RGB")))
        return {"success": float(verdict.success), "done": float(verdict.done), "kept": float(verdict.kept)}

    return measure
