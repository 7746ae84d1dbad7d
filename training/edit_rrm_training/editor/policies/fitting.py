"""Sources in sizes that a model can draw, and its pictures in the sizes that the sources had. Pure."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps

from edit_rrm_training.editor.policies.base import Size
from edit_rrm_training.judge.upright import upright_rgb

Fit = Literal["resize", "pad"]
"""``resize`` to the nearest size that the model can draw; or ``pad`` by repeating the edges, so that no pixel moves."""

_SMALLER = 0.98


def fitted_size(size: Size, multiple: int, max_pixels: int, fit: Fit) -> Size:
    """The size that a picture is drawn in.

    Args:
        size: Of the picture.
        multiple: That both sides have to be of.
        max_pixels: Most pixels; a larger picture is scaled down. Padded pictures are not scaled.
        fit: How.

    Raises:
        ValueError: A padded picture would have more pixels than there may be.
    """
    height, width = size
    if fit == "pad":
        padded = math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple
        if padded[0] * padded[1] > max_pixels:
            raise ValueError(
                f"a source of {width} x {height} has more than max_pixels={max_pixels}; scale it down, or fit: resize"
            )
        return padded
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    while True:
        fitted = tuple(max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
        if fitted[0] * fitted[1] <= max_pixels or max(fitted) == multiple:
            return fitted[0], fitted[1]
        # Rounded up beyond what there may be: a little smaller all over, so that the aspect stays.
        scale *= _SMALLER


def fit_picture(image: Image.Image, size: Size, fit: Fit) -> torch.Tensor:
    """A picture as the judge sees it (upright, RGB, on white) in a size, as (3, H, W) from -1 to 1."""
    upright = upright_rgb(image)
    height, width = size
    if fit == "resize" and upright.size != (width, height):
        upright = upright.resize((width, height), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(upright)).permute(2, 0, 1).float() / 127.5 - 1.0
    if fit == "pad":
        left, top = (width - upright.width) // 2, (height - upright.height) // 2
        right, bottom = width - upright.width - left, height - upright.height - top
        pixels = torch.nn.functional.pad(pixels[None], (left, right, top, bottom), mode="replicate")[0]
    return pixels


def unfit_picture(pixels: torch.Tensor, original: Size, fit: Fit) -> Image.Image:
    """The other way round: (3, H, W) from -1 to 1, as a picture of the size that its source had."""
    values = ((pixels.float().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
    image = Image.fromarray(values.permute(1, 2, 0).cpu().numpy())
    height, width = original
    if fit == "pad":
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)


def size_of(image: Image.Image) -> Size:
    """Height and width of a picture as it is shown, its EXIF orientation applied."""
    upright = ImageOps.exif_transpose(image)
    return upright.height, upright.width
