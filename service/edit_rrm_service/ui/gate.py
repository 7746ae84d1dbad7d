"""Who may see the page: nobody without an API key where the service asks for one.

A browser cannot be told to send a bearer token with everything that a page loads, so a key that was typed in once is
kept in a cookie, which scripts cannot read and other sites cannot use. The page sends it along with what it asks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from importlib import resources
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edit_rrm.verdicts import ErrorDetail
from edit_rrm.wire import ErrorBody
from edit_rrm_service.auth import KeyRing

PATH: Final = "/ui"
COOKIE: Final = "edit_rrm_key"
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'self'"),
)
_UPLOAD: Final = f"{PATH}/gradio_api/upload"
_MOST_FORM_BYTES: Final = 8_192
_FORM: Final = resources.files("edit_rrm_service.ui").joinpath("key.html").read_text(encoding="utf-8")


def within(path: str) -> bool:
    """Whether a path is the page's."""
    return path == PATH or path.startswith(f"{PATH}/")


def key_of(cookie: str | None) -> str | None:
    """The API key in the page's cookie; None where there is none, or something else."""
    if not cookie:
        return None
    try:
        return base64.b64decode(cookie.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None


class Gate:
    """Lets through to the page whoever has a key, and asks everybody else for one. Other paths are not its business."""

    def __init__(
        self, app: ASGIApp, *, keys: KeyRing, over: asyncio.Event, files: Path, max_files_bytes: int = 2**30
    ) -> None:
        """Stand in front of an application.

        Args:
            app: The application.
            keys: Who may see the page.
            over: Set when the service ends: a page's event streams would be open for as long as a browser is.
            files: Folder that chosen files are put into until they are old.
            max_files_bytes: That may lie there; more are not taken, so that nobody fills a disk.
        """
        self._app = app
        self._keys = keys
        self._over = over
        self._files = files
        self._max_files_bytes = max_files_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not within(scope["path"]):
            await self._app(scope, receive, send)
            return

        unfinished, read = False, False

        async def received() -> Message:
            """The next message; when the whole request is read, it may be that the browser has gone."""
            nonlocal read
            message = await (self._or_over(receive) if read else receive())
            read = read or not message.get("more_body", False)
            return message

        async def guarded(message: Message) -> None:
            nonlocal unfinished
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            unfinished = message["type"] == "http.response.start" or message.get("more_body", False)
            await send(message)

        request = Request(scope, receive)
        if scope["path"] == f"{PATH}/key" and scope["method"] == "POST":
            answer = await self._key_given(request)
        elif scope["path"] == f"{PATH}/forget" and scope["method"] == "POST":
            answer = RedirectResponse(f"{_root(request)}{PATH}/", 303)
            answer.delete_cookie(COOKIE, path=f"{_root(request)}{PATH}")
        elif not self._knows(key_of(request.cookies.get(COOKIE))):
            answer = self._refused(request)
        elif scope["path"] == _UPLOAD and await asyncio.to_thread(self._full):
            message = "the page holds too many files for now; try again in some minutes"
            answer = _error(request, 429, "too_many_files", message, retryable=True)
        else:
            await self._app(scope, received, guarded)
            if unfinished and self._over.is_set():
                await send({"type": "http.response.body", "body": b""})
            return
        await answer(scope, receive, guarded)

    def _refused(self, request: Request) -> Response:
        """Ask for a key where somebody opens the page, and say no to everything else."""
        if request.url.path.rstrip("/").endswith(PATH) and request.method in ("GET", "HEAD"):
            return _asking(request, "")
        return _error(request, 401, "unauthorised", f"the page wants an API key first: open {PATH} and give it one")

    def _full(self) -> bool:
        sizes = (path.stat().st_size for path in self._files.rglob("*") if path.is_file())
        try:
            return sum(sizes) >= self._max_files_bytes
        except OSError:  # one was deleted meanwhile: there is room
            return False

    async def _or_over(self, receive: Receive) -> Message:
        """The next message, or that the browser has gone, which is how a stream is told to end."""
        if not self._over.is_set():
            over = asyncio.ensure_future(self._over.wait())
            message = asyncio.ensure_future(receive())
            try:
                await asyncio.wait((over, message), return_when=asyncio.FIRST_COMPLETED)
                if message.done():
                    return message.result()
            finally:
                over.cancel()
                message.cancel()
        return {"type": "http.disconnect"}

    async def _key_given(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        short = length.isascii() and length.isdigit() and int(length) <= _MOST_FORM_BYTES
        key = str((await request.form(max_files=0, max_fields=1)).get("key", "")).strip() if short else None
        if key is None or not self._knows(key):
            return _asking(request, "That is no key of this service.")
        answer = RedirectResponse(f"{_root(request)}{PATH}/", 303)
        answer.set_cookie(
            COOKIE,
            base64.urlsafe_b64encode(key.encode()).decode(),
            path=f"{_root(request)}{PATH}",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _knows(self, key: str | None) -> bool:
        return self._keys.caller(None if key is None else f"Bearer {key}") is not None


def _error(request: Request, status: int, code: str, message: str, *, retryable: bool = False) -> Response:
    request_id = request.scope.get("state", {}).get("request_id")
    detail = ErrorDetail(code=code, message=message, request_id=request_id, retryable=retryable)
    return JSONResponse(ErrorBody(error=detail).model_dump(mode="json"), status)


def _asking(request: Request, wrong: str) -> Response:
    action = f"{_root(request)}{PATH}/key"
    return HTMLResponse(_FORM.replace("$ACTION", action).replace("$WRONG", wrong), 401)


def _root(request: Request) -> str:
    """The path that a proxy serves this service under."""
    return str(request.scope.get("root_path", "")).rstrip("/")
