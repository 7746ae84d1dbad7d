"""Images as everyone is to see them: upright, RGB, on white."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from edit_rrm_client.images import encode_image

MAX_PIXELS = 64_000_000
"""An image with more is refused unread."""

_KEPT = {"PNG", "JPEG", "WEBP"}
_ORIENTATION = 0x0112
_TRANSPARENT = {"LA", "PA", "RGBA", "RGBa"}


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
            rgb = upright_rgb(image)
    except Exception as error:
        # Decoders fed with damaged files raise nearly anything: OSError, SyntaxError, struct.error, EOFError, ...
        raise ValueError(
            f"it cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        ) from None
    return encode_image(rgb, "png")


def upright_rgb(image: Image.Image) -> Image.Image:
    """An image as the service shows it to the judge: turned as EXIF says, on white, eight bits of RGB."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's own conversion would clip instead of scaling, to nearly white.
        image = Image.fromarray((np.asarray(image).astype(np.float64) / 257.0).clip(0, 255).round().astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        layered = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    return image.convert("RGB")
