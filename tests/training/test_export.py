"""Exported samples are what the world says, pixel by pixel and verdict by verdict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edit_rrm.principles import Principle
from edit_rrm_training.shapes import make
from edit_rrm_training.shapes.export import export_samples


def test_every_sample_is_one_line_and_two_pictures(tmp_path: Path) -> None:
    done: list[None] = []
    export_samples("held-out", range(3, 9), tmp_path / "new" / "data", lambda: done.append(None))
    folder = tmp_path / "new" / "data"
    records = [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(records) == len(done) == 6
    assert len(list((folder / "images").iterdir())) == 12
    for index, record in zip(range(3, 9), records, strict=True):
        sample = make("held-out", index)
        assert record["id"] == f"held-out/{index}"
        assert (record["instruction"], record["kind"]) == (sample.instruction, sample.edit.kind)
        assert record["score"] == sample.truth.score
        assert record["faults"] == [sample.edited.main, *sample.edited.side]
        for name, pixels in (("source", sample.source_pixels()), ("edited", sample.edited_pixels())):
            with Image.open(folder / record[name]) as image:
                assert np.array_equal(np.asarray(image), pixels)
        for verdict, finding in zip(record["verdicts"], sample.truth.findings, strict=True):
            asked = Principle(question=verdict["question"], category=verdict["category"])
            assert (asked, verdict["passed"], verdict["reason"]) == (finding.principle, finding.passed, finding.reason)


def test_exporting_again_replaces_the_list(tmp_path: Path) -> None:
    export_samples("train", range(4), tmp_path)
    export_samples("train", range(2), tmp_path)
    assert len((tmp_path / "samples.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_an_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no split 'test'"):
        export_samples("test", range(1), tmp_path)
