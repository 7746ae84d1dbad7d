"""Request bodies: multipart forms and JSON with base64 images become one model and the images' bytes."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from edit_rrm.prompts import neutralise
from edit_rrm.wire import MAX_EDITS, DecomposeRequest, RewardRequest, VerifyRequest
from edit_rrm_service.callers import Caller
from edit_rrm_service.errors import ApiError

ModelT = TypeVar("ModelT", DecomposeRequest, RewardRequest, VerifyRequest)
AnyModelT = TypeVar("AnyModelT", bound=BaseModel)

_MAX_FIELD_BYTES = 1 << 20
MAX_JSON_VALUES = 100_000
"""Most values in a JSON text, counted roughly: by what separates and opens them."""
_FIELDS_AS_JSON = ("principles",)


@dataclass(frozen=True, slots=True)
class Body(Generic[ModelT]):
    """A request with its images as they came."""

    request: ModelT
    source: bytes
    edited: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Asked(Generic[ModelT]):
    """A request that was read: what it says, until when it is worth an answer, and whose it is."""

    body: Body[ModelT]
    deadline: float
    """Event-loop time."""
    caller: Caller


async def read_body(
    request: Request, model: type[ModelT], *, max_image_bytes: int, max_edits: int, edits: bool = True
) -> Body[ModelT]:
    """Read a body of either kind.

    Args:
        request: The HTTP request.
        model: What its fields have to be.
        max_image_bytes: Longest image; base64 longer than that is refused undecoded.
        max_edits: Most edited images.
        edits: Whether edited images belong to this request at all.

    Raises:
        ApiError: 415 for another content type, 400 for a body that cannot be read, 422 for one that says something else
            than it should.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields, images = await _read_form(request)
    elif kind == "application/json":
        fields, images = _read_json(await request.body(), max_image_bytes)
    else:
        raise ApiError(
            415,
            "unsupported_media_type",
            f"the body is {kind or 'of no stated type'}; send multipart/form-data (curl -F) or application/json",
            param="content-type",
        )
    sources, edited = images.get("source", []), images.get("edited", [])
    if len(sources) != 1:
        raise ApiError(
            422, "invalid_request", f"exactly one source image is needed, {len(sources)} came", param="source"
        )
    if edits and not edited:
        raise ApiError(422, "invalid_request", "at least one edited image is needed", param="edited")
    if not edits and edited:
        raise ApiError(422, "invalid_request", "this endpoint takes no edited image", param="edited")
    if len(edited) > max_edits:
        message = f"{len(edited)} edited images came; at most {max_edits} are accepted here"
        raise ApiError(422, "too_many_edits", message, param="edited")
    checked = validated(model, fields)
    check_legible(checked)
    return Body(checked, sources[0], tuple(edited))


def validated(model: type[AnyModelT], fields: Mapping[str, Any]) -> AnyModelT:
    """Check fields against a request model.

    Raises:
        ApiError: 422, naming the first field at fault.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error) from None


def check_legible(request: DecomposeRequest | RewardRequest | VerifyRequest) -> None:
    """Refuse text of which nothing would be left in the prompt, such as zero-width spaces.

    Raises:
        ApiError: 422.
    """
    texts = {"instruction": request.instruction}
    if not isinstance(request, DecomposeRequest):
        for index, principle in enumerate(request.principles or ()):
            texts[f"principles.{index}.question"] = principle.question
    for param, text in texts.items():
        if not neutralise(text):
            raise ApiError(422, "invalid_request", f"{param} has no visible characters", param=param)


class _FormParser(MultiPartParser):
    """Keeps files in memory, where all of a body has room: files on disk would cost a turn of a thread a chunk."""

    spool_max_size = sys.maxsize


async def _read_form(request: Request) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    # Room for one edit more than any endpoint takes, so that too many are counted and not just cut off.
    parser = _FormParser(
        request.headers, request.stream(), max_files=MAX_EDITS + 2, max_fields=32, max_part_size=_MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise ApiError(400, "unreadable_body", f"the form could not be read: {error.message}") from None
    except ValueError:  # some of Python's codecs raise more than UnicodeDecodeError
        raise ApiError(400, "unreadable_body", "the form is not in the charset it says; send UTF-8") from None
    except AssertionError:
        raise ApiError(400, "unreadable_body", "the multipart body has no boundary in its content type") from None
    try:
        return await _split_form(form)
    finally:
        await form.close()


async def _split_form(form: FormData) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    fields: dict[str, Any] = {}
    images: dict[str, list[bytes]] = {}
    for name, value in form.multi_items():
        if name in ("source", "edited"):
            if not isinstance(value, UploadFile):
                raise ApiError(
                    422, "invalid_request", f"{name} is an image file: curl -F {name}=@image.png", param=name
                )
            images.setdefault(name, []).append(await value.read())
            continue
        text = await _text(name, value)
        if name == "request":
            found = json_object(text, "request")
        else:
            found = {name: _json(text, name) if name in _FIELDS_AS_JSON else text}
        again = next((field for field in found if field in fields), None)
        if again is not None:
            raise ApiError(422, "invalid_request", f"{again} came more than once", param=again)
        fields |= found
    return fields, images


async def _text(name: str, value: UploadFile | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return (await value.read()).decode()
    except UnicodeDecodeError:
        raise ApiError(422, "invalid_request", f"{name} is not UTF-8 text", param=name) from None


def _read_json(body: bytes, max_image_bytes: int) -> tuple[dict[str, Any], dict[str, list[bytes]]]:
    fields = json_object(body, "body")
    images: dict[str, list[bytes]] = {}
    if "source" in fields:
        images["source"] = [image_from_base64(fields.pop("source"), "source", max_image_bytes)]
    if "edited" in fields:
        edited = fields.pop("edited")
        listed = edited if isinstance(edited, list) else [edited]
        images["edited"] = [
            image_from_base64(item, f"edited[{index}]", max_image_bytes) for index, item in enumerate(listed)
        ]
    return fields, images


def image_from_base64(value: object, param: str, max_bytes: int) -> bytes:
    """Decode base64, as such or in a data URL. What is no base64 becomes no image, which its own item reports.

    Raises:
        ApiError: 422; it is no text.
    """
    if not isinstance(value, str):
        raise ApiError(422, "invalid_request", f"{param} is an image in base64", param=param)
    if value.startswith("data:"):
        value = value.partition(",")[2]
    if len(value) // 4 * 3 > max_bytes + 3:
        # Long enough to be refused for its size, and never decoded.
        return b"\0" * (max_bytes + 1)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b"not base64"


def json_object(text: bytes | str, param: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ApiError: 400 for what is not JSON, 422 for what is no object.
    """
    value = _json(text, param)
    if not isinstance(value, dict):
        raise ApiError(422, "invalid_request", f"{param} has to be a JSON object", param=param)
    return value


def _json(text: bytes | str, param: str) -> Any:
    # Counted in no time, where parsing and checking a million values would hold up everybody: base64 has none of these.
    whole = text if isinstance(text, bytes) else text.encode(errors="replace")
    values = sum(whole.count(mark) for mark in (b",", b"[", b"{"))
    if values > MAX_JSON_VALUES:
        message = f"{param} has more than {MAX_JSON_VALUES:,} values; send fewer at a time"
        raise ApiError(422, "invalid_request", message, param=param)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, "unreadable_body", f"{param} is not valid JSON", param=param) from None


def bounded_list(most: int) -> BeforeValidator:
    """Refuse a list that is too long before any of it is looked at: a million wrong items are a million errors."""

    def check(value: object) -> object:
        if isinstance(value, list) and len(value) > most:
            raise ValueError(f"{len(value)} items came; at most {most} are accepted here")
        return value

    return BeforeValidator(check)


def _invalid(error: ValidationError) -> ApiError:
    problems: Sequence[Any] = error.errors(include_url=False, include_input=False)
    first = problems[0]
    param = ".".join(str(piece) for piece in first["loc"]) or None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    message = f"{param}: {first['msg']}{more}" if param else f"{first['msg']}{more}"
    if first["type"] == "extra_forbidden":
        message = f"there is no field {param!r}{more}; see /docs for those there are"
    return ApiError(422, "invalid_request", message, param=param)


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {**{name: value for name, value in field.items() if name not in ("anyOf", "default")}, **choices[0]}


def body_schema(form: type[BaseModel], as_json: type[BaseModel], *, edits: str | None) -> dict[str, Any]:
    """OpenAPI's `requestBody` for an endpoint that takes both kinds.

    Args:
        form: The model of the form's fields.
        as_json: The model of the JSON body.
        edits: `one`, `many` or None.
    """
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    # A form says null by leaving a field out.
    schema["properties"] = {name: _without_null(field) for name, field in schema["properties"].items()}
    file = {"type": "string", "format": "binary"}
    schema["properties"]["source"] = file
    schema["required"] = [*schema.get("required", []), "source"]
    if edits is not None:
        many = {"type": "array", "items": file, "minItems": 1, "maxItems": MAX_EDITS}
        schema["properties"]["edited"] = file if edits == "one" else many
        schema["required"].append("edited")
    json_schema = as_json.model_json_schema(ref_template="#/components/schemas/{model}")
    json_schema.pop("$defs", None)
    return {
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": schema}, "application/json": {"schema": json_schema}},
        }
    }


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's `requestBody` for an endpoint that takes JSON alone, of a model that no response mentions.

    Args:
        model: Not recursive.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inlined(definitions[node["$ref"].rpartition("/")[2]])
        return {name: inlined(value) for name, value in node.items()}

    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined(schema)}}}}
