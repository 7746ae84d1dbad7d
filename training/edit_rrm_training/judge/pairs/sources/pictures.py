"""Images of a dataset: out of its cells, checked and told apart by their pixels."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from edit_rrm_training.judge.pairs.pair import Picture, Reason

Cell = Any
"""What a dataset has for an image: `{"bytes", "path"}` as `datasets` stores it, bytes, or a path."""


class PictureError(Exception):
    """A cell that gives no image."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Pictures:
    """Reads images and remembers what it has seen, so that a file is decoded once however many rows show it."""

    def __init__(self) -> None:
        self._pixels: dict[bytes, str] = {}

    def picture(self, cell: Cell, folder: Path, again: Callable[[], Cell]) -> Picture:
        """A picture of a cell.

        Args:
            cell: The cell now.
            folder: What paths are relative to.
            again: Gets the cell when the image is needed.

        Raises:
            PictureError: There is no image, or it cannot be read.
        """
        data = image_bytes(cell, folder)
        return Picture(self._digest(data), lambda: image_bytes(again(), folder))

    def _digest(self, data: bytes) -> str:
        file = hashlib.sha256(data).digest()
        if file not in self._pixels:
            self._pixels[file] = pixel_digest(_decoded(data))
        return self._pixels[file]


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 (hex) of a picture's size and pixels."""
    pixels = image.convert("RGBA")
    return hashlib.sha256(b"%d %d " % pixels.size + pixels.tobytes()).hexdigest()


def image_bytes(cell: Cell, folder: Path) -> bytes:
    """Content of the image file in a cell or beside the data.

    Raises:
        PictureError: There is none.
    """
    path: Any = cell
    if isinstance(cell, dict):
        cell, path = cell.get("bytes"), cell.get("path")
    if isinstance(cell, bytes) and cell:
        return cell
    if not isinstance(path, str) or not path:
        raise PictureError(Reason.MISSING_IMAGE, "no image")
    inside = PurePosixPath(path)
    # What is read here is sent to a service: a dataset must not be able to name files that are not its own.
    if inside.is_absolute() or ".." in inside.parts or not (folder / inside).is_file():
        raise PictureError(Reason.MISSING_IMAGE, f"no file {path} beside the data")
    return (folder / inside).read_bytes()


def _decoded(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # A picture that Pillow finds suspiciously large is one the service refuses.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data)) as image:
                image.load()
                return image
    except Exception as error:  # decoders raise whatever damaged bytes make them trip over
        raise PictureError(Reason.UNREADABLE_IMAGE, str(error) or type(error).__name__) from None
