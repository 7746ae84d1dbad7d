"""Images as trainers have them, to files as the service reads them: lossless, checked, upright. Pure, but for paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, features

from edit_rrm_client.errors import InvalidImageError


@runtime_checkable
class Tensor(Protocol):
    """What is asked of a torch tensor; torch itself is never imported."""

    def detach(self) -> Any:
        """Without its graph."""

    def cpu(self) -> Any:
        """In this machine's memory."""

    def __iter__(self) -> Iterator[Any]:
        """Its parts along the first axis."""


ImageInput = Image.Image | npt.NDArray[Any] | Tensor | bytes | bytearray | memoryview | str | PathLike[str]
"""A PIL image, an array or tensor (CHW or HWC; uint8, or floats from 0 to 1), or an image file's content or path.

Images, arrays and tensors are sent as lossless WebP or PNG, or as PPM; files as they are.
"""

ImageFormat = Literal["webp", "ppm", "png"]
"""What pixels are sent as: lossless WebP; PPM, which is three bytes a pixel and takes no time; or PNG, which all read.

Compressing a photograph of 512 x 512 and reading it takes twenty times as long as sending three bytes a pixel through a
fast network; through a slow one it pays.
"""

ImagesInput = Sequence[ImageInput] | npt.NDArray[Any] | Tensor
"""Several images, or an array or tensor (N, ...) of them."""

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_WEBP_MODES = frozenset({"RGB", "RGBA"})
_WEBP_SIDE = 16_383
"""Most pixels a side that the format has room for."""
_CONVERTED = {"CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "PA": "RGBA"}
_TYPES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"RIFF": "image/webp",
    b"P6": "image/x-portable-pixmap",
}
_CHANNELS = (1, 3, 4)
_SLACK = 1e-3
"""How far floats may leave 0 to 1: what rounding in bfloat16 leaves behind."""


def encode_image(image: ImageInput, as_format: ImageFormat = "webp") -> bytes:
    """Bytes of an image file.

    Pixels are kept as they are, because a judge must not see artefacts that an editor did not make: colours as WebP,
    which takes a fifth of PNG's time for a file no larger, or as PPM; and what these cannot hold as PNG. PIL images
    become upright, because the EXIF orientation that the service applies to files would be lost.

    Args:
        image: To send.
        as_format: What colours become. Files are sent as they are.

    Raises:
        OSError: A path that cannot be read.
        InvalidImageError: A PIL mode, an array shape, a dtype or values that are no picture.
    """
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, Image.Image):
        return _lossless(ImageOps.exif_transpose(image), as_format)
    if isinstance(image, np.ndarray):
        return _lossless(Image.fromarray(pixels_of(image)), as_format)
    if isinstance(image, Tensor):
        return _lossless(Image.fromarray(pixels_of(_array(image))), as_format)
    if isinstance(image, str | PathLike):
        if "\0" in str(image):
            raise _invalid("a path with a zero byte names no file")
        return Path(image).read_bytes()
    raise _invalid(
        f"{type(image).__name__} is no image; PIL images, arrays, tensors, a file's bytes and paths are "
        "(of a data set's {'bytes': ...}, give the bytes)"
    )


def listed(images: ImagesInput) -> list[ImageInput]:
    """Several images, of a list or of an array of them.

    Raises:
        InvalidImageError: It is one image: taken apart, its channels or rows would be judged.
    """
    shape = getattr(images, "shape", None)
    if isinstance(images, str | bytes | bytearray | PathLike | Image.Image) or (shape is not None and len(shape) < 4):
        raise _invalid("one image was given where several are expected; put it in a list")
    return list(images)


def pixels_of(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Eight bits of an array that is a picture: (H, W), (H, W, 3) or (H, W, 4).

    Args:
        array: (C, H, W), (H, W, C) or (H, W) with 1, 3 or 4 channels; uint8, or floats from 0 to 1.

    Raises:
        InvalidImageError: It is none; the message says why, and what to do.
    """
    shape = array.shape
    if array.ndim == 3 and shape[0] in _CHANNELS and shape[-1] in _CHANNELS:
        raise _invalid(f"an array of shape {shape} could be CHW or HWC; pass a PIL image instead")
    if array.ndim == 3 and shape[0] in _CHANNELS:
        array = np.moveaxis(array, 0, -1)
    elif not (array.ndim == 2 or (array.ndim == 3 and shape[-1] in _CHANNELS)):
        raise _invalid(f"an array of shape {shape} is no image; CHW or HWC with 1, 3 or 4 channels is, one at a time")
    if array.size == 0:
        raise _invalid(f"an array of shape {shape} has no pixels")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= -_SLACK and high <= 1.0 + _SLACK):  # NaN is neither
            raise _invalid(f"floats from {low:g} to {high:g} are no image; scale them to 0 to 1 (from -1: x / 2 + 0.5)")
        array = np.rint(array.astype(np.float32).clip(0.0, 1.0) * 255.0).astype(np.uint8)
    if array.dtype != np.uint8:
        raise _invalid(f"an array of {array.dtype} is no image; uint8, or floats from 0 to 1, are")
    return np.ascontiguousarray(array)


def content_type(data: bytes) -> str:
    """MIME type by an image file's first bytes."""
    return next((kind for magic, kind in _TYPES.items() if data.startswith(magic)), "application/octet-stream")


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    here = tensor.detach().cpu()
    if "bfloat16" in str(here.dtype):  # which numpy has not
        here = here.float()
    return np.asarray(here)


def _lossless(image: Image.Image, as_format: ImageFormat) -> bytes:
    if image.mode in _CONVERTED:
        image = image.convert(_CONVERTED[image.mode])
    elif image.mode not in _PNG_MODES:
        raise _invalid(f"a PIL image of mode {image.mode!r} is no picture; convert it to RGB first")
    if 0 in image.size:
        raise _invalid(f"a PIL image of {image.width} x {image.height} has no pixels")
    buffer = BytesIO()
    if as_format == "ppm" and image.mode == "RGB":
        image.save(buffer, "PPM")
    elif as_format == "webp" and image.mode in _WEBP_MODES and max(image.size) <= _WEBP_SIDE and features.check("webp"):
        # The least effort, at which noise is no larger than PNG at its most; `exact` keeps what is transparent.
        image.save(buffer, "WEBP", lossless=True, quality=0, method=0, exact=True)
    else:
        image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _invalid(message: str) -> InvalidImageError:
    return InvalidImageError(message, code="invalid_image")
