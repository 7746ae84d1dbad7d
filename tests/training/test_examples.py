"""The examples that ship with the client are what this version of the shapes world draws."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from PIL import Image

from edit_rrm_training.shapes.examples import INSTRUCTION, write_examples


def pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_shipped_examples_are_up_to_date(tmp_path: Path) -> None:
    """If not: python -c "from edit_rrm_training.shapes.examples import *; write_examples(Path(EXAMPLES))"."""
    write_examples(tmp_path)
    with as_file(files("edit_rrm_client").joinpath("examples")) as shipped:
        assert {path.name for path in shipped.iterdir()} == {path.name for path in tmp_path.iterdir()}
        assert (shipped / "examples.json").read_text() == (tmp_path / "examples.json").read_text()
        for path in tmp_path.glob("*.png"):
            # Pixels and not bytes: another version of zlib may pack them otherwise.
            assert np.array_equal(pixels(path), pixels(shipped / path.name)), path.name


def test_the_index_names_every_picture(tmp_path: Path) -> None:
    write_examples(tmp_path / "new" / "folder")
    index = json.loads((tmp_path / "new" / "folder" / "examples.json").read_text())
    assert index["instruction"] == INSTRUCTION
    named = {index["source"], *(row["edited"] for row in index["edits"])}
    assert named == {path.name for path in (tmp_path / "new" / "folder").glob("*.png")}
    assert np.array_equal(
        pixels(tmp_path / "new" / "folder" / "source.png"), pixels(tmp_path / "new" / "folder" / "untouched.png")
    )
