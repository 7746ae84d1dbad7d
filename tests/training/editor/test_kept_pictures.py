"""Pictures of an evaluation, one by one, as the page reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from edit_rrm_service.ui.runs import find_runs, picture, samples
from edit_rrm_training.editor.kept_pictures import MOST, keep_pictures


def test_the_page_finds_what_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "pictures"
    small = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8))
    large = Image.new("RGBA", (2000, 1000), (0, 0, 255, 255))
    names = keep_pictures(folder, 40, [small, large], [large, small])
    rows = [{"prompt": str(at), "instruction": "x", "outcome": "truncated", **files} for at, files in enumerate(names)]
    (folder / "step-000040.json").write_text(json.dumps(rows))
    [run] = find_runs(tmp_path)
    found = samples(run, 40)
    files = [[picture(run, name) for name in (row.source, row.picture)] for row in found]
    assert all(data is not None and data.startswith(b"RIFF") for pair in files for data in pair)
    with Image.open(folder / "step-000040" / "000.webp") as image:
        assert image.size == (512, 256)
    with Image.open(folder / "step-000040" / "001.webp") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(small)), "small pictures keep every pixel"


def test_sources_are_written_once_and_no_more_than_so_many(tmp_path: Path) -> None:
    many = [Image.new("RGB", (8, 8), (at, 0, 0)) for at in range(MOST + 2)]
    names = keep_pictures(tmp_path, 0, many, many)
    assert names[MOST:] == [{}, {}]
    before = (tmp_path / "sources" / "000.webp").stat().st_mtime_ns
    keep_pictures(tmp_path, 10, many, many)
    assert (tmp_path / "sources" / "000.webp").stat().st_mtime_ns == before
    assert len(list(tmp_path.rglob("*.webp"))) == 3 * MOST


def test_sixteen_bits_of_grey_are_kept_as_the_judge_saw_them(tmp_path: Path) -> None:
    edit = Image.new("RGB", (8, 8))
    (names,) = keep_pictures(tmp_path, 0, [Image.new("I;16", (8, 8), 100 * 257)], [edit])
    with Image.open(tmp_path / names["source"]) as image:
        assert image.convert("RGB").getpixel((0, 0)) == (100, 100, 100)
