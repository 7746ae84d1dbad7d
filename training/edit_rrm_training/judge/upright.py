"""Images as everyone is to see them: upright, RGB, on white."""

from __future__ import annotations

import io

from PIL import Image, ImageOps

from edit_rrm_client.images import encode_image

MAX_PIXELS = 64_000_000
"""An image with more is refused unread."""

_KEPT = {"PNG", "JPEG", "WEBP"}
_ORIENTATION = 0x0112


def upright(content: bytes) -> bytes:
    """An image file as everyone is to see it: RGB, upright. Left as it is where it already is that.

    Raises:
        ValueError: It cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            image.load()
            turned = image.getexif().get(_ORIENTATION, 1) != 1
            if image.format in _KEPT and image.mode == "RGB" and not turned and "transparency" not in image.info:
                return content
            rgba = ImageOps.exif_transpose(image).convert("RGBA")
    except Exception as error:
        # Decoders fed with damaged files raise nearly anything: OSError, SyntaxError, struct.error, EOFError, ...
        raise ValueError(
            f"it cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from None
    white = Image.new("RGBA", rgba.size, "white")
    return encode_image(Image.alpha_composite(white, rgba).convert("RGB"), "png")
