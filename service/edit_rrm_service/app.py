"""The ASGI application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from edit_rrm.verdicts import ErrorDetail, Outcome
from edit_rrm_service.api.compatibility import openrlhf, unirl
from edit_rrm_service.api.routes import router
from edit_rrm_service.auth import KeyRing, load_keys
from edit_rrm_service.errors import ApiError
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.loading import load_judge
from edit_rrm_service.middleware import OPEN_PATHS, EdgeMiddleware, error_body
from edit_rrm_service.rate_limit import RateLimit
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import Loader, ServiceState
from edit_rrm_service.tracing import Tracer, tracer_for
from edit_rrm_service.ui.gate import PATH, within

_logger = logging.getLogger(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed"}
_DESCRIPTION = (
    "Judges image edits: breaks an instruction into principles, verifies the edited image against each, and aggregates "
    "the verdicts into a score from 0 to 10 and a reward from 0 to 1. A score is measured or it is absent."
)


def create_app(
    settings: Settings | None = None,
    *,
    loader: Loader = load_judge,
    on_failure: Callable[[str], None] | None = None,
    keys: KeyRing | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Build the application.

    Args:
        settings: How to serve; from the environment where left out.
        loader: Finds the judge and makes its engine.
        on_failure: Called with one line if the judge cannot be loaded.
        keys: Accepted API keys; those that the settings name where left out.
        tracer: Makes spans; to where the settings say where left out.

    Raises:
        KeysError: The settings name a keys file that cannot be used.
        TracingError: They ask for traces, and OpenTelemetry is not installed.
        PageError: They ask for the page, and Gradio is not installed.
    """
    settings = settings or Settings()
    if keys is None:
        keys = load_keys(settings.api_key_hashes, settings.api_keys_file, settings.caller_limits)
    state = ServiceState(settings, loader, tracer or tracer_for(settings.otlp_endpoint))
    state.metrics.callers.expect(keys.names)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(_load(state, on_failure))
        try:
            yield
        finally:
            loading.cancel()
            await asyncio.wait({loading})
            await state.close()

    app = FastAPI(title="Edit-RRM", version="1", description=_DESCRIPTION, lifespan=lifespan, redoc_url=None)
    app.state.service = state
    routers = (router, unirl.router, openrlhf.router)
    for one in routers:
        app.include_router(one)
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(ClientDisconnect, _answer_disconnect)
    routes = frozenset(route.path for one in routers for route in one.routes if hasattr(route, "path"))
    routes |= {PATH} if settings.ui else set()
    if settings.ui:
        from edit_rrm_service.ui.mount import mount_page

        mount_page(app, settings, keys, state.lifecycle.over)
    open_paths = OPEN_PATHS if settings.metrics_need_key else OPEN_PATHS | {"/metrics"}
    app.add_middleware(
        EdgeMiddleware,
        metrics=state.metrics,
        keys=keys,
        limit=RateLimit(),
        lifecycle=state.lifecycle,
        tracer=state.tracer,
        is_open=lambda path: path in open_paths or (settings.ui and within(path)),
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_ms / 1e3,
        route_of=lambda scope: _known(scope, routes),
    )
    return app


async def _load(state: ServiceState, on_failure: Callable[[str], None] | None) -> None:
    await state.load()
    if state.lifecycle.phase is not Phase.FAILED:
        return
    reason = state.lifecycle.reason or ""
    if on_failure is None:
        _logger.error("%s", reason)
    else:
        on_failure(reason)


def _known(scope: Scope, routes: frozenset[str]) -> str:
    """A path as a metric label: one of ours, or `other`, so that strangers cannot make labels."""
    if within(scope["path"]) and PATH in routes:
        return PATH
    return scope["path"] if scope["path"] in routes else "other"


def _request_id(request: Request) -> str | None:
    found = request.scope.get("state", {}).get("request_id")
    return None if found is None else str(found)


async def _answer_api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    headers = error.headers
    if error.retryable and error.status in (429, 503) and "Retry-After" not in headers:
        state: ServiceState = request.app.state.service
        headers = {**headers, "Retry-After": state.admission.retry_after()}
    return JSONResponse(error_body(error.detail(_request_id(request))), error.status, headers)


async def _answer_disconnect(request: Request, error: Exception) -> JSONResponse:
    """An upload that broke off: nobody sees the answer, but it is counted as what it is."""
    gone = ApiError(499, Outcome.CANCELLED.value, "the client closed the connection before it had sent the body")
    return await _answer_api_error(request, gone)


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    message = (
        f"there is no {request.method} {request.url.path}; see /docs" if code != "http_error" else str(error.detail)
    )
    detail = ErrorDetail(code=code, message=message, request_id=_request_id(request))
    return JSONResponse(error_body(detail), error.status_code, error.headers)
