"""An SFT set as `edit-rrm data cold-start` writes it, read for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, Image, concatenate_datasets, load_dataset

COLUMNS = ("prompt", "completion", "images")
"""What a row needs: chat messages with image placeholders, the judge's answer, and the images in their order."""

PARTS = ("judge", "decompose")
"""Folders of a set: rows that verify, and rows that break an instruction into principles."""


class SftSetError(ValueError):
    """A folder that is no SFT set; the message says what it lacks."""


def read_sft_set(folder: Path, seed: int) -> Dataset:
    """Read and shuffle all parts of a set. Images stay encoded until a row is used.

    Raises:
        SftSetError: The folder has no rows, or rows without the columns needed; the message names both.
    """
    files = {part: sorted(map(str, (folder / part).glob("*.parquet"))) for part in PARTS}
    if not any(files.values()):
        raise SftSetError(
            f"{folder} has no {' or '.join(f'{part}/*.parquet' for part in PARTS)}; "
            "`edit-rrm data cold-start --out OUT` writes a set to OUT/dataset"
        )
    parts = [_part(folder / part, found) for part, found in files.items() if found]
    return concatenate_datasets(parts).shuffle(seed=seed)


def _part(folder: Path, files: list[str]) -> Dataset:
    loaded: Any = load_dataset("parquet", data_files=files, split="train")
    missing = [name for name in COLUMNS if name not in loaded.column_names]
    if missing:
        raise SftSetError(f"{folder}: columns {missing} are missing; there are: {', '.join(loaded.column_names)}")
    if not len(loaded):
        raise SftSetError(f"{folder} has no rows")
    return loaded.select_columns(list(COLUMNS)).cast_column("images", _image_list())


def _image_list() -> Any:
    from datasets import List

    return List(Image())
