"""Requests and responses without I/O: what to send, and what an answer means. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edit_rrm.principles import Principle
from edit_rrm.verdicts import Aggregation, Mode
from edit_rrm.wire import ErrorBody
from edit_rrm_client.errors import ApiStatusError, AuthenticationError, BadResponseError, IdentityChangedError
from edit_rrm_client.images import content_type
from edit_rrm_client.retry import is_passing, retry_after_s

Parts = list[tuple[str, tuple[str | None, bytes, str]]]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to make: a POST where it has parts, a GET where it has none."""

    path: str
    parts: Parts = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""


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


def reward_fields(
    instruction: str,
    principles: Sequence[Principle] | None,
    mode: Mode,
    aggregation: Aggregation | None,
    samples: int,
    temperature: float | None = None,
    seed: int | None = None,
) -> dict[str, Any]:
    """Fields of a reward request, as JSON has them."""
    return {
        "instruction": instruction,
        "principles": None if principles is None else dumped(principles),
        "mode": mode.value,
        "aggregation": None if aggregation is None else aggregation.value,
        "samples": samples,
        "temperature": temperature,
        "seed": seed,
    }


def dumped(principles: Sequence[Principle]) -> list[dict[str, Any]]:
    """Principles as JSON has them."""
    return [principle.model_dump(mode="json") for principle in principles]


def parse_response(model: type[ModelT], response: HttpResponse, now: float = 0.0) -> ModelT:
    """Read an answer.

    Args:
        model: What is expected of a good one.
        response: The answer.
        now: Seconds since the epoch, which dates in `Retry-After` are compared with.

    Raises:
        AuthenticationError: 401.
        IdentityChangedError: Another judge than the one that was expected.
        ApiStatusError: Any other error status of the service.
        BadResponseError: Not an answer of the service.
    """
    status, body = response.status, response.body
    if status >= 400:
        retry_after = retry_after_s(response.headers, now)
        try:
            error = ErrorBody.model_validate_json(body).error
        except ValidationError:
            # A proxy in front of the service says it is overloaded or away in words of its own.
            message = f"HTTP {status} that is no error of an Edit-RRM service; is the URL right? {body[:200]!r}"
            raise BadResponseError(
                message,
                code="bad_response",
                status=status,
                retryable=is_passing(status),
                retry_after=retry_after,
            ) from None
        kind = AuthenticationError if status == 401 else ApiStatusError
        if error.code == "identity_mismatch":
            kind = IdentityChangedError
        raise kind(
            f"{error.code}: {error.message}",
            code=error.code,
            status=status,
            param=error.param,
            request_id=error.request_id,
            retryable=error.retryable,
            retry_after=retry_after,
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.error_count()
        message = f"HTTP {status} with an answer that is no {model.__name__} ({problems} problems); is the URL right?"
        raise BadResponseError(message, code="bad_response", status=status) from None
