"""Requests and responses without a network."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edit_rrm.verdicts import ErrorDetail, Outcome, Reward
from edit_rrm.wire import ErrorBody, RewardRequest
from edit_rrm_client import ApiStatusError, AuthenticationError, BadResponseError
from edit_rrm_client.images import ImageFormat, content_type, encode_image
from edit_rrm_client.protocol import HttpResponse, build_request, parse_response

ORIENTATION = 0x0112


def decoded(data: bytes) -> Image.Image:
    with Image.open(BytesIO(data)) as image:
        image.load()
        return image


def error_body(**fields: Any) -> bytes:
    detail = {"code": "overloaded", "message": "come back", "request_id": "r-1", "retryable": True, **fields}
    return ErrorBody(error=ErrorDetail(**detail)).model_dump_json().encode()


@pytest.mark.parametrize(
    ("as_format", "kind"), [("webp", "image/webp"), ("ppm", "image/x-portable-pixmap"), ("png", "image/png")]
)
@given(width=st.integers(1, 20), height=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
def test_a_pil_image_loses_no_pixel(as_format: ImageFormat, kind: str, width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = encode_image(Image.fromarray(pixels), as_format)
    assert content_type(data) == kind
    assert np.array_equal(np.asarray(decoded(data)), pixels)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "La", "RGBa", "I;16"]
)
def test_every_mode_of_a_picture_can_be_sent(mode: str) -> None:
    for as_format in get_args(ImageFormat):
        assert decoded(encode_image(Image.new(mode, (9, 8)), as_format)).size == (9, 8)


def test_a_cmyk_image_keeps_its_colour_and_transparency_stays() -> None:
    red = Image.new("RGB", (4, 4), "red").convert("CMYK")
    assert decoded(encode_image(red)).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert("RGBa")
    assert decoded(encode_image(clear)).mode == "RGBA"


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_a_mode_that_is_no_picture_is_refused_by_name(mode: str) -> None:
    with pytest.raises(ValueError, match=f"'{mode}'.*convert it to RGB"):
        encode_image(Image.new(mode, (4, 4)))


def test_a_rotated_photo_is_sent_as_people_see_it() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    buffer = BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=exif)
    assert decoded(encode_image(decoded(buffer.getvalue()))).size == (10, 20)


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(b"whatever")
    assert encode_image(path) == encode_image(str(path)) == encode_image(b"whatever") == b"whatever"
    with pytest.raises(FileNotFoundError):
        encode_image(tmp_path / "missing.png")


@pytest.mark.parametrize(
    ("format_", "kind"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("WEBP", "image/webp"),
        ("PPM", "image/x-portable-pixmap"),
        ("GIF", None),
    ],
)
def test_content_types_go_by_the_first_bytes(format_: str, kind: str | None) -> None:
    buffer = BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, format_)
    assert content_type(buffer.getvalue()) == (kind or "application/octet-stream")


@given(st.text(min_size=1, max_size=50), st.integers(0, 5))
def test_a_request_is_one_json_part_the_source_and_the_edits_in_order(instruction: str, count: int) -> None:
    edited = [f"edit {index}".encode() for index in range(count)]
    request = build_request("/v1/rewards", {"instruction": instruction, "seed": None}, b"source", edited)
    names = [name for name, _ in request.parts]
    assert names == ["request", "source", *["edited"] * count]
    filename, body, kind = request.parts[0][1]
    assert (filename, kind) == (None, "application/json")
    assert json.loads(body) == {"instruction": instruction}
    assert [part[1] for _, part in request.parts[1:]] == [b"source", *edited]


def test_the_fields_are_those_of_the_service() -> None:
    request = build_request("/v1/reward", {"instruction": "x", "mode": "probe", "samples": 1}, b"", [b""])
    assert RewardRequest.model_validate_json(request.parts[0][1][1]).mode == "probe"


@given(st.sampled_from([outcome for outcome in Outcome if outcome is not Outcome.SCORED]), st.text(max_size=20))
def test_an_answer_is_read_back(outcome: Outcome, message: str) -> None:
    sent = Reward(outcome=outcome, error=ErrorDetail(code=outcome.value, message=message))
    assert parse_response(Reward, HttpResponse(200, sent.model_dump_json().encode())) == sent


def test_fields_to_come_are_no_error() -> None:
    body = json.dumps({"error": {"code": "x", "message": "y", "hint": "new"}, "also": "new"}).encode()
    with pytest.raises(ApiStatusError, match="x: y"):
        parse_response(Reward, HttpResponse(422, body))


def test_an_error_carries_all_that_the_service_said() -> None:
    with pytest.raises(ApiStatusError) as caught:
        parse_response(Reward, HttpResponse(429, error_body(param="edited[3]"), {"retry-after": "7"}))
    error = caught.value
    assert (error.code, error.status, error.param, error.request_id) == ("overloaded", 429, "edited[3]", "r-1")
    assert (error.retryable, error.retry_after) == (True, 7.0)
    assert "overloaded: come back" in str(error)
    with pytest.raises(AuthenticationError):
        parse_response(Reward, HttpResponse(401, error_body(code="unauthorised")))


@given(st.sampled_from([200, 204, 302, 400, 401, 404, 500, 502, 503]), st.binary(max_size=40))
def test_what_is_no_answer_of_the_service_is_a_typed_failure(status: int, body: bytes) -> None:
    with pytest.raises(BadResponseError) as caught:
        parse_response(Reward, HttpResponse(status, body))
    assert caught.value.status == status
    assert "is the URL right?" in str(caught.value)
    # A load balancer whose backends are away says so in its own words; another try may find one.
    assert caught.value.retryable is (status in {500, 502, 503})
