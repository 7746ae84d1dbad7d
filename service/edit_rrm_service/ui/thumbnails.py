"""Image files as small pictures inside the page: nothing of them is kept, and nothing is served under an address."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image

from edit_rrm_service.images import ImageError, ImageLimits, decode_image

MAX_SIDE = 512
"""Pixels of the longer side; smaller pictures are shown as they are."""

_QUALITY = 90


def thumbnail(data: bytes, limits: ImageLimits, max_side: int = MAX_SIDE) -> str | None:
    """A data URL of a picture, or None of what the service would not take for one. Blocking.

    Args:
        data: An image file, from anybody.
        limits: The service's own: what it refuses is not decoded here either.
        max_side: Pixels.
    """
    try:
        picture = decode_image(data, limits)
    except ImageError:
        return None
    picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    # Small pictures, as of the shapes world, show their pixels: those of a lossy file would not be the edit's.
    small = picture.width * picture.height <= 128 * 128
    picture.save(buffer, "WEBP", lossless=small, quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
