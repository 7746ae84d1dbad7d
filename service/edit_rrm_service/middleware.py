"""Pure ASGI middleware: request ids, API keys, body limits, metrics and access logs.

No `BaseHTTPMiddleware`: it hides a client's disconnect from the routes, and with it the chance to stop working.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edit_rrm.verdicts import ErrorDetail
from edit_rrm.wire import ErrorBody
from edit_rrm_service.auth import KeyRing
from edit_rrm_service.errors import ApiError
from edit_rrm_service.metrics import Metrics
from edit_rrm_service.rate_limit import RateLimit
from edit_rrm_service.request_id import current_request_id, request_id_from

_logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/livez", "/readyz", "/startupz"})
"""Paths that never ask for a key: an orchestrator's probes have none."""

_CLIENT_GONE = 499


class BodyTooLargeError(Exception):
    """A body grew past the limit while it was being read."""


class EdgeMiddleware:
    """The outermost layer: everything a request meets before a route does."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        keys: KeyRing,
        limit: RateLimit,
        open_paths: frozenset[str],
        max_body_bytes: int,
        route_of: Callable[[Scope], str],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = keys
        self._limit = limit
        self._open_paths = open_paths
        self._max_body_bytes = max_body_bytes
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_from(headers.get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        token = current_request_id.set(request_id)
        started = time.perf_counter()
        seen: dict[str, int] = {}

        async def tagged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._guarded(scope, receive, tagged_send, headers, seen, request_id)
        finally:
            seconds = time.perf_counter() - started
            status = seen.get("status", _CLIENT_GONE)
            self._metrics.request(self._route_of(scope), status, seconds)
            level = logging.DEBUG if scope["path"] in self._open_paths else logging.INFO
            _logger.log(level, "%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1e3)
            current_request_id.reset(token)

    async def _guarded(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        seen: MutableMapping[str, int],
        request_id: str,
    ) -> None:
        if scope["path"] in self._open_paths:
            await self._within(scope, receive, send, headers, seen, request_id)
            return
        caller = self._keys.caller(headers.get("authorization"))
        if caller is None:
            message = "this service wants an API key: send it as 'Authorization: Bearer KEY'"
            await _refuse(send, 401, "unauthorised", message, request_id, {"www-authenticate": "Bearer"})
            return
        scope["state"]["caller"] = caller
        try:
            with self._limit.request(caller):
                await self._within(scope, receive, send, headers, seen, request_id)
        except ApiError as error:
            self._metrics.refused("rate_limit", float(error.headers["Retry-After"]))
            await _refuse(send, error.status, error.code, error.message, request_id, error.headers, retryable=True)

    async def _within(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        seen: MutableMapping[str, int],
        request_id: str,
    ) -> None:
        limit = self._max_body_bytes
        too_large = (
            f"the body is larger than {limit:,} bytes; send fewer or smaller images, or raise EDIT_RRM_MAX_BODY_BYTES"
        )
        length = headers.get("content-length", "")
        # The connection stays open: closing it on a sender resets it, and many never get to read the answer then. The
        # server discards what still comes.
        if length.isascii() and length.isdigit() and int(length) > limit:
            await _refuse(send, 413, "body_too_large", too_large, request_id, {})
            return
        read = 0

        async def counted_receive() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise BodyTooLargeError
            return message

        try:
            await self._app(scope, counted_receive, send)
        except BodyTooLargeError:
            if "status" not in seen:
                await _refuse(send, 413, "body_too_large", too_large, request_id, {})
        except Exception:
            # Starlette's own handler of last resort would answer outside of this layer, without the request's id.
            _logger.exception("request %s failed", request_id)
            if "status" in seen:
                raise
            message = f"the service has a bug; please report it with request id {request_id}"
            await _refuse(send, 500, "internal_error", message, request_id, {}, retryable=True)


def error_body(detail: ErrorDetail) -> dict[str, Any]:
    """The one error body."""
    return ErrorBody(error=detail).model_dump(mode="json")


async def _refuse(
    send: Send,
    status: int,
    code: str,
    message: str,
    request_id: str,
    headers: Mapping[str, str],
    *,
    retryable: bool = False,
) -> None:
    detail = ErrorDetail(code=code, message=message, request_id=request_id, retryable=retryable)
    body = ErrorBody(error=detail).model_dump_json().encode()
    raw = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
