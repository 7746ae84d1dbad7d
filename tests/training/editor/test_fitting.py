"""Sources of any size and mode become what a model can draw, and its pictures what the sources were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm_client.images import encode_image
from edit_rrm_service.images import ImageLimits, decode_image
from edit_rrm_training.editor.policies.fitting import Fit, fit_picture, fitted_size, size_of, unfit_picture

Sides = st.integers(1, 3_000)


@given(Sides, Sides, st.sampled_from([8, 16, 32]))
def test_a_resized_picture_can_be_drawn_and_keeps_its_aspect(height: int, width: int, multiple: int) -> None:
    most = 256 * 256
    fitted = fitted_size((height, width), multiple, most, "resize")
    assert all(side % multiple == 0 and side > 0 for side in fitted)
    assert fitted[0] * fitted[1] <= most or max(fitted) == multiple
    if min(fitted) >= 4 * multiple:
        assert fitted[0] / fitted[1] == pytest.approx(height / width, rel=0.3)


@given(st.integers(1, 60), st.integers(1, 60))
def test_padding_moves_no_pixel(height: int, width: int) -> None:
    values = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Image.fromarray(values.numpy())
    size = fitted_size(size_of(picture), 16, 10_000, "pad")
    assert all(side % 16 == 0 for side in size)
    pixels = fit_picture(picture, size, "pad")
    assert pixels.shape == (3, *size)
    assert unfit_picture(pixels, (height, width), "pad").tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "1"])
@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_any_mode_is_a_picture(mode: str, fit: Fit) -> None:
    picture = Image.new("RGB", (20, 30), "red").convert(mode)
    pixels = fit_picture(picture, (32, 32), fit)
    assert pixels.shape == (3, 32, 32)
    assert -1.0 <= pixels.min() <= pixels.max() <= 1.0
    assert unfit_picture(pixels, (30, 20), fit).size == (20, 30)


def test_transparency_is_laid_on_white_and_exif_turns_the_picture() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert (fit_picture(clear, (16, 16), "resize") == 1.0).all()
    turned: Any = Image.new("RGB", (20, 10), "red")
    turned.getexif()[0x0112] = 6
    assert size_of(turned) == (20, 10)
    assert fit_picture(turned, (32, 16), "pad").shape == (3, 32, 16)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "La", "RGBa", "PA", "I;16"]
)
def test_a_source_is_what_the_service_shows_the_judge(mode: str) -> None:
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (24, 16, 4), dtype=np.uint8))
    if mode == "I;16":
        picture = Image.fromarray(random.integers(0, 2**16, (24, 16), dtype=np.uint16))
    else:
        through = {"La": "LA", "PA": "LA", "LA": "LA", "RGBa": "RGBA", "RGBA": "RGBA"}.get(mode, "RGB")
        picture = colours.convert(through).convert(mode)
    assert picture.mode == mode
    judged = decode_image(encode_image(picture), ImageLimits())
    assert unfit_picture(fit_picture(picture, (24, 16), "resize"), (24, 16), "resize").tobytes() == judged.tobytes()


def test_a_padded_picture_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="scale it down, or fit: resize"):
        fitted_size((200, 200), 16, 10_000, "pad")
