"""Rows: (instruction, source, edited) triples, read one after the other; a bad one is told, never guessed at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from edit_rrm.principles import MAX_INSTRUCTION_CHARS
from edit_rrm_client.images import encode_image
from edit_rrm_training.judge.cold_start.config import Columns
from edit_rrm_training.judge.cold_start.errors import ColdStartError
from edit_rrm_training.judge.upright import upright

SHAPES = "shapes:"
"""How a split of the shapes world is named as input: `shapes:train`."""


@dataclass(frozen=True, slots=True)
class EditRow:
    """One triple. Images are file contents: upright RGB, as PNG, JPEG or WebP."""

    id: str
    """Digest of the instruction and both images as they came in."""
    task: str
    """Digest of the instruction and the source: what principles depend on. Edits of one source share it."""
    origin: str
    """Where it came from: `shapes:train/17`, or `data.parquet/17` by its position in the input."""
    instruction: str
    source: bytes
    edited: bytes


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used."""

    origin: str
    reason: str
    """Countable: `no_instruction`, `long_instruction`, `missing_image` or `bad_image`."""
    message: str


Load = Callable[[], EditRow | BadRow]
"""Reads one row in full. Checking images takes a hundred times as long as passing over them, so passes over the input
load only the rows that they have something to do for."""


class RowSource(Protocol):
    """Input that can be read any number of times, in the same order."""

    @property
    def name(self) -> str:
        """What the user called it."""
        ...

    @property
    def total(self) -> int | None:
        """How many rows there are, where that is known."""
        ...

    def __iter__(self) -> Iterator[Load]:
        """From the start, row after row."""
        ...


def open_rows(data: str, columns: Columns) -> RowSource:
    """Open `shapes:SPLIT`, a parquet file, a folder of them, or what `Dataset.save_to_disk` wrote.

    Raises:
        ColdStartError: There is no such input, it is empty, or it lacks columns; the message names those it has.
    """
    if data.startswith(SHAPES):
        return ShapesRows(data.removeprefix(SHAPES))
    return DatasetRows(Path(data), columns)


class ShapesRows:
    """A split of the shapes world; it does not end."""

    total = None

    def __init__(self, split: str) -> None:
        """Choose a split.

        Raises:
            ColdStartError: There is no such split.
        """
        from edit_rrm_training.shapes import SPLITS

        if split not in SPLITS:
            raise ColdStartError(f"no split {split!r} of the shapes world; there are: {', '.join(SPLITS)}")
        self.name = f"{SHAPES}{split}"
        self._split = split

    def __iter__(self) -> Iterator[Load]:
        """Sample after sample."""
        return (partial(self._load, index) for index in count())

    def _load(self, index: int) -> EditRow | BadRow:
        from edit_rrm_training.shapes import make

        sample = make(self._split, index)
        source, edited = (
            encode_image(Image.fromarray(pixels), "png") for pixels in (sample.source_pixels(), sample.edited_pixels())
        )
        return read_row(f"{self.name}/{index}", sample.instruction, {"bytes": source}, {"bytes": edited})


class DatasetRows:
    """A Hugging Face dataset on disk."""

    def __init__(self, path: Path, columns: Columns) -> None:
        """Open a dataset; its rows are read when asked for.

        Raises:
            ColdStartError: As `open_rows`.
        """
        self.name = str(path)
        self._dataset, self.total = _opened(path)
        found = list(self._dataset.features or ())
        wanted = [columns.instruction, columns.source, columns.edited]
        if missing := [name for name in wanted if name not in found]:
            raise ColdStartError(
                f"{path} lacks the columns {', '.join(missing)}; it has: {', '.join(found) or 'none'}. "
                "Name yours under `columns` in the configuration"
            )
        if self.total == 0:
            raise ColdStartError(f"{path} has no rows")
        self._columns = columns
        self._dataset = self._dataset.select_columns(wanted)

    def __iter__(self) -> Iterator[Load]:
        """Row after row; images stay as they are in the file until a row is loaded."""
        from datasets import Image as ImageFeature

        undecoded = self._dataset
        for column in (self._columns.source, self._columns.edited):
            undecoded = undecoded.cast_column(column, ImageFeature(decode=False))
        name = Path(self.name).name
        try:
            for index, row in enumerate(undecoded):
                instruction, source, edited = (
                    row[column] for column in (self._columns.instruction, self._columns.source, self._columns.edited)
                )
                yield partial(read_row, f"{name}/{index}", instruction, source, edited)
        except (OSError, ValueError, TypeError) as error:
            raise ColdStartError(f"{self.name} cannot be read: {' '.join(str(error).split())}") from None


def read_row(origin: str, instruction: Any, source: Any, edited: Any) -> EditRow | BadRow:
    """Check one row.

    Args:
        origin: Where it came from.
        instruction: Should be text.
        source: Should be ``{"bytes": ...}``, as `datasets` gives undecoded images.
        edited: As `source`.
    """
    if not isinstance(instruction, str) or not instruction.strip():
        return BadRow(origin, "no_instruction", "there is no instruction")
    if len(instruction) > MAX_INSTRUCTION_CHARS:
        return BadRow(origin, "long_instruction", f"the instruction is longer than {MAX_INSTRUCTION_CHARS} characters")
    raw: list[bytes] = []
    usable: list[bytes] = []
    for name, image in (("source", source), ("edited", edited)):
        content = image.get("bytes") if isinstance(image, dict) else None
        if not isinstance(content, bytes) or not content:
            return BadRow(origin, "missing_image", f"the {name} image is not in the row")
        try:
            usable.append(upright(content))
        except ValueError as error:
            return BadRow(origin, "bad_image", f"the {name} image: {error}")
        raw.append(content)
    words = instruction.strip()
    return EditRow(
        id=_digest(words.encode(), *raw),
        task=_digest(words.encode(), raw[0]),
        origin=origin,
        instruction=words,
        source=usable[0],
        edited=usable[1],
    )


def _opened(path: Path) -> tuple[Any, int | None]:
    """A dataset to iterate, and its length."""
    import pyarrow.parquet as pq
    from datasets import Dataset, load_dataset, load_from_disk

    if not path.exists():
        raise ColdStartError(f"no input {path}: neither {SHAPES}SPLIT nor a file or folder")
    try:
        if path.is_dir() and ((path / "state.json").is_file() or (path / "dataset_dict.json").is_file()):
            dataset = load_from_disk(str(path))
            if not isinstance(dataset, Dataset):
                raise ColdStartError(f"{path} holds several splits ({', '.join(dataset)}); name the folder of one")
            return dataset, len(dataset)
        files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        if not files:
            raise ColdStartError(f"{path} holds no parquet file")
        total = sum(pq.read_metadata(file).num_rows for file in files)
        names = [str(file) for file in files]
        return load_dataset("parquet", data_files={"rows": names}, split="rows", streaming=True), total
    except (OSError, ValueError, TypeError) as error:
        raise ColdStartError(f"{path} cannot be read: {' '.join(str(error).split())}") from None


def _digest(*pieces: bytes) -> str:
    digest = sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "big") + piece)
    return digest.hexdigest()[:32]
