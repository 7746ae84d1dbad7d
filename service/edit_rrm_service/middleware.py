"""Pure ASGI middleware: request ids, API keys, limits, the end of the service, metrics and access logs.

No `BaseHTTPMiddleware`: it hides a client's disconnect from the routes, and with it the chance to stop working.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edit_rrm.verdicts import ErrorDetail
from edit_rrm.wire import ErrorBody
from edit_rrm_service.auth import KeyRing
from edit_rrm_service.errors import ApiError
from edit_rrm_service.lifecycle import Lifecycle
from edit_rrm_service.metrics import Metrics
from edit_rrm_service.rate_limit import RateLimit
from edit_rrm_service.request_id import current_request_id, request_id_from
from edit_rrm_service.tracing import Tracer

_logger = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/livez", "/readyz", "/startupz"})
"""Paths that never ask for a key: an orchestrator's probes have none."""

_CLIENT_GONE = 499


class BodyTooLargeError(Exception):
    """A body grew past the limit while it was being read."""


class BodyTooSlowError(Exception):
    """A body did not arrive in time."""


class _Exchange:
    """One request and the answer to it: its id, its body's size and time, and what has been answered."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, lifecycle: Lifecycle, max_body_bytes: int, body_s: float
    ) -> None:
        self.headers = Headers(scope=scope)
        self.request_id = request_id_from(self.headers.get("x-request-id"))
        self.status: int | None = None
        self._receive = receive
        self._send = send
        self._lifecycle = lifecycle
        self._left = max_body_bytes
        self._body_s = body_s
        self._body_until: float | None = None
        self._body_done = not {"content-length", "transfer-encoding"}.intersection(self.headers.keys())

    async def receive(self) -> Message:
        """The next message; of the body, no more than may come and no longer than it may take."""
        if self._body_done:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._body_until is None:
            self._body_until = loop.time() + self._body_s
        try:
            async with asyncio.timeout_at(self._body_until):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlowError from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLargeError
            self._body_done = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send on, with the request's id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self.request_id.encode())]
            # Closing on somebody who is still sending would reset the connection before the answer is read.
            if self._lifecycle.leaving and self._body_done:
                message["headers"].append((b"connection", b"close"))
        await self._send(message)

    async def refuse(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        *,
        retryable: bool = False,
    ) -> None:
        """Answer with the one error body."""
        detail = ErrorDetail(code=code, message=message, request_id=self.request_id, retryable=retryable)
        body = ErrorBody(error=detail).model_dump_json().encode()
        raw = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
        await self.send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
            }
        )
        await self.send({"type": "http.response.body", "body": body})


class EdgeMiddleware:
    """The outermost layer: everything a request meets before a route does."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        keys: KeyRing,
        limit: RateLimit,
        lifecycle: Lifecycle,
        tracer: Tracer,
        is_open: Callable[[str], bool],
        max_body_bytes: int,
        body_timeout_s: float,
        route_of: Callable[[Scope], str],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._keys = keys
        self._limit = limit
        self._lifecycle = lifecycle
        self._tracer = tracer
        self._is_open = is_open
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._lifecycle, self._max_body_bytes, self._body_timeout_s)
        scope.setdefault("state", {})["request_id"] = exchange.request_id
        token = current_request_id.set(exchange.request_id)
        started = time.perf_counter()
        try:
            await self._admitted(scope, exchange)
        finally:
            seconds = time.perf_counter() - started
            status = exchange.status or _CLIENT_GONE
            self._metrics.request(self._route_of(scope), status, seconds)
            level = logging.DEBUG if self._is_open(scope["path"]) else logging.INFO
            _logger.log(level, "%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1e3)
            current_request_id.reset(token)

    async def _admitted(self, scope: Scope, exchange: _Exchange) -> None:
        """Check whose request it is, and whether that caller may have one more."""
        if self._is_open(scope["path"]):
            await self._answered(scope, exchange)
            return
        caller = self._keys.caller(exchange.headers.get("authorization"))
        if caller is None:
            message = "this service wants an API key: send it as 'Authorization: Bearer KEY'"
            await exchange.refuse(401, "unauthorised", message, {"www-authenticate": "Bearer"})
            return
        scope["state"]["caller"] = caller
        route = self._route_of(scope)
        try:
            with (
                self._limit.request(caller),
                self._lifecycle.request(),
                self._tracer.request(f"{scope['method']} {route}", scope["headers"]) as span,
            ):
                await self._answered(scope, exchange)
                span.note("http.route", route)
                span.note("http.response.status_code", exchange.status or _CLIENT_GONE)
                span.note("edit_rrm.request_id", exchange.request_id)
                span.note("edit_rrm.caller", caller.name)
        except ApiError as error:
            self._metrics.refused("rate_limit", float(error.headers["Retry-After"]))
            await exchange.refuse(error.status, error.code, error.message, error.headers, retryable=True)

    async def _answered(self, scope: Scope, exchange: _Exchange) -> None:
        """Have the application answer, and answer for it where it cannot."""
        limit = self._max_body_bytes
        too_large = (
            f"the body is larger than {limit:,} bytes; send fewer or smaller images, or raise EDIT_RRM_MAX_BODY_BYTES"
        )
        length = exchange.headers.get("content-length", "")
        # The connection stays open, and the server discards what still comes.
        if length.isascii() and length.isdigit() and int(length) > limit:
            await exchange.refuse(413, "body_too_large", too_large)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BodyTooLargeError:
            if exchange.status is None:
                await exchange.refuse(413, "body_too_large", too_large)
        except BodyTooSlowError:
            message = (
                f"the body took longer than {self._body_timeout_s:g} s; send smaller images, or raise "
                "EDIT_RRM_BODY_TIMEOUT_MS"
            )
            if exchange.status is None:
                await exchange.refuse(408, "body_too_slow", message, {"connection": "close"}, retryable=True)
        except asyncio.CancelledError:
            # Only the server cancels a request, when it was asked to stop and has waited long enough.
            if exchange.status is not None or not self._lifecycle.leaving:
                raise
            message = "the service stopped before this was done; send it again, to another replica if there is one"
            await exchange.refuse(503, "draining", message, {"retry-after": "5"}, retryable=True)
        except Exception:
            # Starlette's own handler of last resort would answer outside of this layer, without the request's id.
            _logger.exception("request %s failed", exchange.request_id)
            if exchange.status is not None:
                raise
            message = f"the service has a bug; please report it with request id {exchange.request_id}"
            await exchange.refuse(500, "internal_error", message, retryable=True)


def error_body(detail: ErrorDetail) -> dict[str, Any]:
    """The one error body."""
    return ErrorBody(error=detail).model_dump(mode="json")
