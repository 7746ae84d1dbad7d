"""Bytes -> safe RGB images, and their digests.

Everything that can be refused is refused from the header, before a pixel is decoded. What is decoded comes out as the
judge sees it: first frame, upright (EXIF), on white where transparent, eight bits of RGB. Colour profiles are ignored,
as the models' own processors do.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from edit_rrm.card import ImageBudget
from edit_rrm_service.engines.base import EngineImage

PREPROCESSING = "edit-rrm-image-1"
"""Version of everything in this file that can change a pixel; part of every digest and of the identity."""

_FORMATS = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "PPM": b"P6"}
_PPM_SIZE = re.compile(rb"P6\s+(\d{1,9})\s+(\d{1,9})\s")
_ACCEPTED = "send a PNG, JPEG, WebP or binary PPM (P6) file"


class ImageFault(StrEnum):
    """What is wrong with an image that cannot be judged."""

    EMPTY = "empty"
    UNKNOWN_FORMAT = "unknown_format"
    DAMAGED = "damaged"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    TOO_LONG = "too_long"
    """One side for the other."""


class ImageError(ValueError):
    """An image that cannot be judged; the message says why and what to send instead."""

    def __init__(self, fault: ImageFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an uploaded image may be."""

    max_bytes: int = 12 * 2**20
    max_pixels: int = 4096 * 4096
    min_side: int = 8
    """Shortest side accepted, in pixels."""
    max_aspect: float = 20.0
    """Longest side over shortest."""


def image_format(data: bytes) -> str | None:
    """The accepted format a file's first bytes belong to: `PNG`, `JPEG`, `WEBP`, `PPM` or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for name, magic in _FORMATS.items() if data.startswith(magic)), None)


def decode_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """Check and decode an image file. Blocking: call it off the event loop.

    Raises:
        ImageError: The bytes are no accepted image, or one beyond the limits.
    """
    if not data:
        raise ImageError(ImageFault.EMPTY, f"the image is empty; {_ACCEPTED}")
    if len(data) > limits.max_bytes:
        message = f"the image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted"
        raise ImageError(ImageFault.TOO_MANY_BYTES, message)
    kind = image_format(data)
    if kind is None:
        raise ImageError(ImageFault.UNKNOWN_FORMAT, f"the file is not an image of an accepted format; {_ACCEPTED}")
    if kind == "WEBP":
        # Pillow makes the decoder, which reserves two canvases of the size claimed, before it tells the size.
        claimed = _webp_size(data)
        if claimed is not None:
            _check_size(claimed, limits)
    try:
        with warnings.catch_warnings():
            # A size that only makes Pillow warn is beyond our own limit anyway, and is reported as such below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=(kind,)) as image:
                _check_size(image.size, limits)
                image.seek(0)
                image.load()
                return _flatten(_upright(image))
    except ImageError:
        raise
    except Image.DecompressionBombError:
        message = f"the image is too large; at most {limits.max_pixels:,} pixels are accepted"
        raise ImageError(ImageFault.TOO_MANY_PIXELS, message) from None
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        message = f"the {kind} file is damaged or incomplete ({error}); send it whole"
        raise ImageError(ImageFault.DAMAGED, message) from error


def fit_image(image: Image.Image, budget: ImageBudget) -> EngineImage:
    """Scale an RGB image into the judge's pixel budget, keeping its aspect, and digest the result. Blocking."""
    width, height = image.size
    area = width * height
    if not budget.min_pixels <= area <= budget.max_pixels:
        target = budget.max_pixels if area > budget.max_pixels else budget.min_pixels
        factor = math.sqrt(target / area)
        # Downscaling must not end above the budget, nor upscaling below it.
        rounded = math.floor if factor < 1 else math.ceil
        size = (max(1, rounded(width * factor)), max(1, rounded(height * factor)))
        image = image.resize(size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC)
    return EngineImage(image, pixel_digest(image))


def pixel_digest(image: Image.Image) -> str:
    """SHA-256 (hex) over an RGB image's size and pixels, and over how they came about."""
    digest = hashlib.sha256(f"{PREPROCESSING}:{image.width}x{image.height}:".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()


def image_pixels(data: bytes) -> int | None:
    """Pixels that a PNG, WebP or PPM file claims to have, by its first bytes; None for others. Checks nothing."""
    size = _webp_size(data)
    ppm = _PPM_SIZE.match(data)
    if ppm is not None:
        size = int(ppm[1]), int(ppm[2])
    if data.startswith(_FORMATS["PNG"]) and len(data) >= 24:
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return None if size is None else size[0] * size[1]


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by a WebP file's first chunk (RFC 9649), or None where there is none to read them from."""
    if image_format(data) != "WEBP":
        return None
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(data) >= 30 and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size
    if width * height > limits.max_pixels:
        raise ImageError(
            ImageFault.TOO_MANY_PIXELS,
            f"the image is {width} x {height}; at most {limits.max_pixels:,} pixels are accepted, scale it down",
        )
    if min(size) < limits.min_side:
        message = f"the image is {width} x {height}; each side needs at least {limits.min_side} pixels"
        raise ImageError(ImageFault.TOO_SMALL, message)
    if max(size) > limits.max_aspect * min(size):
        raise ImageError(
            ImageFault.TOO_LONG,
            f"the image is {width} x {height}; one side may be at most {limits.max_aspect:g} times the other",
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turn as EXIF says; where EXIF is damaged it says nothing, and the picture is as good as without."""
    try:
        # Pillow would copy an image that nothing turns.
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # Pillow raises whatever parsing it raises
        return image


def _flatten(image: Image.Image) -> Image.Image:
    """Eight bits of RGB on white."""
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion would clip instead of scaling.
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257.0).clip(0, 255).round().astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")
