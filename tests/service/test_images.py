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
from edit_rrm_service.images import (
    ImageError,
    ImageFault,
    ImageLimits,
    decode_image,
    fit_image,
    image_format,
    pixel_digest,
)

LIMITS = ImageLimits()
RED = (255, 0, 0)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> Image.Image:
    return decode_image(data, LIMITS)


def png_claiming(width: int, height: int, data: bytes, bits: int = 8) -> bytes:
    """A PNG whose header says one size, whatever its data is."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_three_formats_are_told_by_their_bytes(kind: str) -> None:
    data = saved(Image.new("RGB", (32, 24), RED), kind)
    assert image_format(data) == kind
    image = decoded(data)
    assert (image.mode, image.size) == ("RGB", (32, 24))
    assert np.abs(np.asarray(image).astype(int) - RED).max() <= 4


@pytest.mark.parametrize(
    ("data", "message", "fault"),
    [
        (b"", "empty", ImageFault.EMPTY),
        (b"hello", "not an image", ImageFault.UNKNOWN_FORMAT),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image", ImageFault.UNKNOWN_FORMAT),
        (saved(Image.new("RGB", (32, 24)), "GIF"), "PNG, JPEG, WebP or binary PPM", ImageFault.UNKNOWN_FORMAT),
        (
            saved(Image.new("P", (32, 24), 1), "GIF", save_all=True, append_images=[Image.new("P", (32, 24), 2)]),
            "PNG, JPEG, WebP or binary PPM",
            ImageFault.UNKNOWN_FORMAT,
        ),
        (saved(Image.new("RGB", (32, 24)), "BMP"), "PNG, JPEG, WebP or binary PPM", ImageFault.UNKNOWN_FORMAT),
        (saved(Image.new("RGB", (32, 24)), "TIFF"), "PNG, JPEG, WebP or binary PPM", ImageFault.UNKNOWN_FORMAT),
        (saved(Image.new("RGB", (32, 24), RED))[:-30], "damaged", ImageFault.DAMAGED),
        (saved(Image.effect_noise((64, 64), 90).convert("RGB"), "JPEG")[:600], "damaged", ImageFault.DAMAGED),
        (b"\x89PNG\r\n\x1a\n", "damaged", ImageFault.DAMAGED),
        (b"RIFF\x00\x00\x00\x00WEBP", "damaged", ImageFault.DAMAGED),
        (saved(Image.new("RGB", (1, 1))), "at least 8 pixels", ImageFault.TOO_SMALL),
        (saved(Image.new("RGB", (1, 4000))), "at least 8 pixels", ImageFault.TOO_SMALL),
        (saved(Image.new("RGB", (10, 4000))), "20 times", ImageFault.TOO_LONG),
    ],
)
def test_what_cannot_be_judged_says_why(data: bytes, message: str, fault: ImageFault) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        decoded(data)
    assert caught.value.fault is fault


@pytest.fixture(scope="module")
def zeros() -> bytes:
    """A hundred megabytes of nothing in about a hundred kilobytes."""
    return zlib.compress(b"\x00" * 100_000_000, 6)


@pytest.mark.parametrize("side", [20_000, 100_000, 2**31 - 1])
def test_a_huge_image_in_a_small_file_is_refused_undecoded(side: int, zeros: bytes) -> None:
    bomb = png_claiming(side, side, zeros)
    assert len(bomb) < 120_000
    tracemalloc.start()
    began = time.thread_time()
    with pytest.raises(ImageError, match="pixels are accepted"):
        decoded(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert time.thread_time() - began < 1.0


def webp(first: bytes, body: bytes) -> bytes:
    chunk = first + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


HUGE_WEBP = {
    "extended": webp(b"VP8X", b"\x00" * 4 + struct.pack("<I", 16_382)[:3] + struct.pack("<I", 16_382)[:3]),
    "lossless": webp(b"VP8L", b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + b"\x00" * 40),
    "lossy": webp(b"VP8 ", b"\x10\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + b"\x00" * 40),
}


@pytest.mark.parametrize("kind", HUGE_WEBP)
def test_a_huge_webp_is_refused_before_the_decoder_sees_it(kind: str) -> None:
    # Pillow's WebP decoder reserves two canvases as it opens a file: two gigabytes for this one.
    with pytest.raises(ImageError, match=r"16383 x 16383; at most 16,777,216 pixels"):
        decoded(HUGE_WEBP[kind])


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"quality": 50, "exif": b"Exif\0\0MM\0*"}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_the_size_of_every_kind_of_webp_is_read_from_its_header(mode: str, options: dict[str, object]) -> None:
    data = saved(Image.new(mode, (33, 21), RED), "WEBP", **options)
    with pytest.raises(ImageError, match="33 x 21"):
        decode_image(data[:30], ImageLimits(max_pixels=500))
    assert decoded(data).size == (33, 21)


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
    row = b"\x00" + struct.pack(">HHH", 0x8080, 0xFFFF, 0x0101) * 16
    colour = png_claiming(16, 16, zlib.compress(row * 16), bits=16)
    assert decoded(colour).getpixel((3, 3)) == (128, 255, 1)


def test_one_bit_and_grey_become_rgb() -> None:
    assert decoded(saved(Image.new("1", (16, 16), 1))).getpixel((3, 3)) == (255, 255, 255)
    assert decoded(saved(Image.new("L", (16, 16), 77))).getpixel((3, 3)) == (77, 77, 77)


def test_cmyk_becomes_the_same_colour_in_rgb() -> None:
    image = decoded(saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (40, 20), "white")
    upright.paste(RED, (0, 0, 20, 10))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decoded(saved(stored, kind, exif=exif, quality=95))
    assert turned.size == (40, 20)
    red, _, blue = turned.getpixel((5, 4))  # type: ignore[misc]  # RGB
    assert red > 200
    assert blue < 60
    assert turned.getpixel((35, 15)) == pytest.approx((255, 255, 255), abs=8)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage that is no TIFF at all", b"Exif\x00\x00MM\x00*"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_that_cannot_be_read_is_ignored(kind: str, exif: bytes) -> None:
    assert decoded(saved(Image.new("RGB", (32, 24), RED), kind, exif=exif)).size == (32, 24)


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
