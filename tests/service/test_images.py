"""Images: refused from the header where they must be, and decoded as the judge should see them."""

from __future__ import annotations

import hashlib
import struct
import time
import tracemalloc
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm.card import ImageBudget
from edit_rrm_service.images import ImageError, ImageLimits, decode_image, fit_image, image_format, pixel_digest

LIMITS = ImageLimits()
RED = (255, 0, 0)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Image.Image:
    return decode_image(data, LIMITS)


def png_claiming(width: int, height: int, data: bytes) -> bytes:
    """A PNG whose header says one size, whatever its data is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats_are_told_by_their_bytes(kind: str) -> None:
    data = saved(Image.new("RGB", (32, 24), RED), kind)
    assert image_format(data) == kind
    image = decoded(data)
    assert (image.mode, image.size) == ("RGB", (32, 24))
    assert np.abs(np.asarray(image).astype(int) - RED).max() <= 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (saved(Image.new("RGB", (32, 24)), "GIF"), "PNG, JPEG or WebP"),
        (saved(Image.new("RGB", (32, 24)), "BMP"), "PNG, JPEG or WebP"),
        (saved(Image.new("RGB", (32, 24)), "TIFF"), "PNG, JPEG or WebP"),
        (saved(Image.new("RGB", (32, 24), RED))[:-30], "damaged"),
        (saved(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:600], "damaged"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged"),
        (saved(Image.new("RGB", (1, 1))), "at least 8 pixels"),
        (saved(Image.new("RGB", (1, 4000))), "at least 8 pixels"),
        (saved(Image.new("RGB", (10, 4000))), "20 times"),
    ],
)
def test_what_cannot_be_judged_says_why(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        decoded(data)


@pytest.mark.parametrize("side", [20_000, 100_000, 2**31 - 1])
def test_a_huge_image_in_a_small_file_is_refused_undecoded(side: int) -> None:
    bomb = png_claiming(side, side, zlib.compress(b"\x00" * 100_000_000, 9))
    assert len(bomb) < 120_000
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(ImageError, match="pixels are accepted"):
        decoded(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert time.process_time() - began < 1.0


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(ImageError, match="at most 100 "):
        decode_image(saved(Image.effect_noise((64, 64), 90)), ImageLimits(max_bytes=100))


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    assert decoded(saved(clear)).getpixel((8, 8)) == (255, 255, 255)
    assert decoded(saved(clear, "WEBP", lossless=True)).getpixel((8, 8)) == (255, 255, 255)
    half = Image.new("LA", (16, 16), (0, 128))
    assert decoded(saved(half)).getpixel((8, 8)) == (127, 127, 127)
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([255, 255, 255, 0, 0, 255])
    assert decoded(saved(palette, transparency=1)).getpixel((8, 8)) == (255, 255, 255)
    assert decoded(saved(palette)).getpixel((8, 8)) == (0, 0, 255)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    grey = Image.fromarray(np.full((16, 16), 32_896, dtype=np.uint16))
    assert decoded(saved(grey)).getpixel((3, 3)) == (128, 128, 128)


def test_cmyk_becomes_rgb() -> None:
    assert decoded(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")).mode == "RGB"


def test_exif_orientation_turns_the_picture_upright() -> None:
    picture = Image.new("RGB", (40, 20), "white")
    picture.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decoded(saved(picture, "JPEG", exif=exif, quality=95))
    assert turned.size == (20, 40)
    red, _, blue = turned.getpixel((10, 5))  # type: ignore[misc]  # RGB
    assert red > 200
    assert blue < 60


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "green")]
    for kind in ("WEBP", "PNG"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        red, _, blue = decoded(data).getpixel((8, 8))  # type: ignore[misc]  # RGB
        assert red > 200 > 60 > blue


@given(st.integers(8, 200), st.integers(8, 200), st.integers(100, 3_000), st.integers(0, 9_000))
def test_an_image_fits_the_budget_and_keeps_its_aspect(width: int, height: int, low: int, more: int) -> None:
    budget = ImageBudget(min_pixels=low, max_pixels=low + more)
    fitted = fit_image(Image.new("RGB", (width, height)), budget).pixels
    area = fitted.width * fitted.height
    if budget.min_pixels <= width * height <= budget.max_pixels:
        assert fitted.size == (width, height)
    elif width * height > budget.max_pixels:
        assert area <= budget.max_pixels
    else:
        assert area >= budget.min_pixels
    if min(fitted.size) >= 8:
        assert fitted.width / fitted.height == pytest.approx(width / height, rel=0.3)


def test_the_digest_is_of_the_pixels() -> None:
    red, again, tall = (Image.new("RGB", size, RED) for size in ((8, 4), (8, 4), (4, 8)))
    assert pixel_digest(red) == pixel_digest(again) != pixel_digest(tall)
    assert len(pixel_digest(red)) == len(hashlib.sha256().hexdigest())


MAGIC = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBP"]


@given(st.binary(max_size=300), st.sampled_from(MAGIC))
def test_no_bytes_do_anything_but_decode_or_be_refused(noise: bytes, magic: bytes) -> None:
    try:
        mode = decoded(magic + noise).mode
    except ImageError as error:
        mode = str(error)
    assert mode == "RGB" or "image" in mode or "file" in mode
