"""Arrays and tensors as trainers have them: sent without losing a pixel, or refused with what to do."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm_client.errors import InvalidImageError, RewardClientError
from edit_rrm_client.images import encode_image, pixels_of


def decoded(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(BytesIO(data)) as image:
        assert image.format == ("PNG" if image.mode == "L" else "WEBP")
        return np.asarray(image)


def drawn(seed: int, height: int, width: int, channels: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@given(st.integers(5, 20), st.integers(5, 20), st.sampled_from([3, 4]), st.integers(0, 2**32 - 1))
def test_every_form_of_a_picture_is_the_same_picture(height: int, width: int, channels: int, seed: int) -> None:
    hwc = drawn(seed, height, width, channels)
    chw = np.moveaxis(hwc, -1, 0)
    forms: list[Any] = [hwc, chw, np.asfortranarray(hwc), hwc / 255.0, (chw / 255.0).astype(np.float32)]
    forms += [torch.from_numpy(chw.copy()), torch.from_numpy(chw / 255.0).float().requires_grad_()]
    for form in forms:
        assert np.array_equal(decoded(encode_image(form)), hwc)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_precision(dtype: torch.dtype) -> None:
    picture = drawn(0, 16, 24, 3)
    tensor = torch.from_numpy(np.moveaxis(picture, -1, 0) / 255.0).to(dtype)
    sent = decoded(encode_image(tensor)).astype(int)
    # What bfloat16's eight bits of mantissa cannot hold is lost before it gets here.
    assert np.abs(sent - picture.astype(int)).max() <= (1 if dtype is torch.bfloat16 else 0)


def test_what_webp_cannot_hold_is_sent_as_png(monkeypatch: pytest.MonkeyPatch) -> None:
    long = drawn(0, 8, 16_384, 3)
    with Image.open(BytesIO(encode_image(long))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), long)
    monkeypatch.setattr("PIL.features.check", lambda feature: False)
    assert encode_image(drawn(0, 8, 8, 3)).startswith(b"\x89PNG")


def test_colours_under_full_transparency_are_kept() -> None:
    picture = drawn(0, 16, 24, 4)
    picture[:8, :, 3] = 0
    assert np.array_equal(decoded(encode_image(Image.fromarray(picture))), picture)


def test_grey_pictures_and_one_channel() -> None:
    grey = drawn(0, 16, 24, 1)
    for form in (grey, grey[..., 0], np.moveaxis(grey, -1, 0)):
        assert np.array_equal(decoded(encode_image(form)), grey[..., 0])


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((3, 8, 3), np.uint8), "CHW or HWC"),
        (np.zeros((2, 8, 8), np.uint8), "no image"),
        (np.zeros((4, 3, 8, 8), np.uint8), "one at a time"),
        (np.zeros((8,), np.uint8), "no image"),
        (np.zeros((3, 0, 8), np.uint8), "no pixels"),
        (np.full((3, 8, 8), 255.0), "scale them to 0 to 1"),
        (np.full((3, 8, 8), -1.0), "x / 2 \\+ 0.5"),
        (np.full((3, 8, 8), np.nan), "floats from nan"),
        (np.full((3, 8, 8), np.inf), "floats from inf"),
        (np.zeros((3, 8, 8), np.int64), "int64 is no image"),
        (np.zeros((3, 8, 8), bool), "bool is no image"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_to_do(array: np.ndarray[Any, Any], told: str) -> None:
    for form in (array, torch.from_numpy(array)):
        with pytest.raises(InvalidImageError, match=told) as caught:
            encode_image(form)
        assert isinstance(caught.value, ValueError | RewardClientError)
        assert caught.value.code == "invalid_image"


def test_rounding_errors_of_half_precision_are_forgiven() -> None:
    assert pixels_of(np.array([[1.0005, -0.0005]])).tolist() == [[255, 0]]


def test_the_client_imports_neither_torch_nor_anything_of_the_service() -> None:
    heavy = ["torch", "transformers", "fastapi", "vllm", "edit_rrm_service"]
    code = f"import sys, edit_rrm_client; sys.exit(str([name for name in {heavy} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "[]"


def test_what_is_nearly_an_image_is_told_what_would_be() -> None:
    file = encode_image(Image.new("RGB", (4, 4), "red"))
    assert encode_image(bytearray(file)) == encode_image(memoryview(file)) == file
    for wrong, told in (
        (None, "NoneType is no image"),
        ({"bytes": file}, "give the bytes"),
        (Image.new("RGB", (0, 4)), "has no pixels"),
        ("a\0b.png", "names no file"),
    ):
        with pytest.raises(InvalidImageError, match=told):
            encode_image(wrong)  # type: ignore[arg-type]  # that is the point
