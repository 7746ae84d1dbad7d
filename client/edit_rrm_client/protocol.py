"""Requests and responses without I/O: what to send, and what an answer means. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageOps
from pydantic import BaseModel, ValidationError

from edit_rrm.wire import ErrorBody
from edit_rrm_client.errors import ApiStatusError, AuthenticationError, BadResponseError

ImageInput = Image.Image | bytes | str | PathLike[str]
"""A PIL image (sent as lossless PNG), an image file's content, or its path (both sent as they are)."""

Parts = list[tuple[str, tuple[str | None, bytes, str]]]
ModelT = TypeVar("ModelT", bound=BaseModel)

_PNG_MODES = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_CONVERTED = {"CMYK": "RGB", "YCbCr": "RGB", "HSV": "RGB", "RGBX": "RGB", "RGBa": "RGBA", "La": "LA", "PA": "RGBA"}
_PROXY_RETRYABLE = frozenset({429, 502, 503, 504})
_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A POST to make."""

    path: str
    parts: Parts


def encode_image(image: ImageInput) -> bytes:
    """Bytes of an image file.

    PIL images become PNG, because a judge must not see compression artefacts that an editor did not make, and upright,
    because PNG would lose the EXIF orientation that the service applies to files.

    Raises:
        OSError: A path that cannot be read.
        ValueError: A PIL image of a mode without an obvious picture, such as ``F``.
    """
    if isinstance(image, bytes):
        return image
    if isinstance(image, Image.Image):
        buffer = BytesIO()
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _CONVERTED:
            upright = upright.convert(_CONVERTED[upright.mode])
        elif upright.mode not in _PNG_MODES:
            raise ValueError(f"a PIL image of mode {upright.mode!r} is no picture; convert it to RGB first")
        upright.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    return Path(image).read_bytes()


def build_request(path: str, fields: Mapping[str, Any], source: bytes, edited: Sequence[bytes] = ()) -> HttpRequest:
    """A multipart request: one JSON part, the source once, and the edits in order.

    Args:
        path: Such as ``/v1/reward``.
        fields: The request model's fields; None values are left out.
        source: The source image's file content.
        edited: The edited images' file contents.
    """
    body = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    parts: Parts = [("request", (None, body, "application/json")), ("source", ("source", source, content_type(source)))]
    parts += [("edited", (f"edited-{index}", data, content_type(data))) for index, data in enumerate(edited)]
    return HttpRequest(path, parts)


def parse_response(model: type[ModelT], status: int, body: bytes) -> ModelT:
    """Read an answer.

    Raises:
        AuthenticationError: 401.
        ApiStatusError: Any other error status of the service.
        BadResponseError: Not an answer of the service.
    """
    if status >= 400:
        try:
            error = ErrorBody.model_validate_json(body).error
        except ValidationError:
            # A proxy in front of the service says it is overloaded or away in words of its own.
            message = f"HTTP {status} that is no error of an Edit-RRM service; is the URL right? {body[:200]!r}"
            raise BadResponseError(
                message, code="bad_response", status=status, retryable=status in _PROXY_RETRYABLE
            ) from None
        kind = AuthenticationError if status == 401 else ApiStatusError
        raise kind(
            f"{error.code}: {error.message}",
            code=error.code,
            status=status,
            param=error.param,
            request_id=error.request_id,
            retryable=error.retryable,
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.error_count()
        message = f"HTTP {status} with an answer that is no {model.__name__} ({problems} problems); is the URL right?"
        raise BadResponseError(message, code="bad_response", status=status) from None


def content_type(data: bytes) -> str:
    """MIME type by an image file's first bytes."""
    return next((kind for magic, kind in _TYPES.items() if data.startswith(magic)), "application/octet-stream")
