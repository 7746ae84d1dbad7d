"""Writes samples to disk: PNG images and one JSON line per sample."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from edit_rrm_training.shapes.sample import Sample, make


def export_samples(split: str, indices: Iterable[int], folder: Path, done: Callable[[], None] = lambda: None) -> None:
    """Write samples to `folder/images` and `folder/samples.jsonl`.

    Args:
        split: A split of the shapes world.
        indices: Which samples.
        folder: Created where missing.
        done: Called after every sample.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    with (folder / "samples.jsonl").open("w", encoding="utf-8") as file:
        for index in indices:
            sample = make(split, index)
            record = _record(sample)
            Image.fromarray(sample.source_pixels()).save(folder / record["source"])
            Image.fromarray(sample.edited_pixels()).save(folder / record["edited"])
            file.write(json.dumps(record) + "\n")
            done()


def _record(sample: Sample) -> dict[str, Any]:
    return {
        "id": f"{sample.split}/{sample.index}",
        "kind": sample.edit.kind,
        "instruction": sample.instruction,
        "source": f"images/{sample.index:07d}-source.png",
        "edited": f"images/{sample.index:07d}-edited.png",
        "faults": [sample.edited.main, *sample.edited.side],
        "score": sample.truth.score,
        "verdicts": [
            {
                "question": finding.principle.question,
                "category": finding.principle.category.value,
                "passed": finding.passed,
                "reason": finding.reason,
            }
            for finding in sample.truth.findings
        ],
    }
