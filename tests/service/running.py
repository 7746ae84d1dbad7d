"""A service on a fake engine: in this process without a socket, or listening on one."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from PIL import Image

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.app import create_app
from edit_rrm_service.lifecycle import Phase
from edit_rrm_service.settings import Settings
from edit_rrm_service.state import LoadedJudge
from tests.fakes.engine import FakeEngine

INSTRUCTION = "make the star blue"


def png(colour: str = "red", size: tuple[int, int] = (96, 64), mode: str = "RGB", kind: str = "PNG") -> bytes:
    """An image file of one colour."""
    buffer = BytesIO()
    Image.new("RGB", size, colour).convert(mode).save(buffer, kind)
    return buffer.getvalue()


SOURCE, EDITED = png("red"), png("blue")


def loaded_judge(engine: FakeEngine, card: JudgeCard | None = None) -> LoadedJudge:
    """A judge on a fake engine, before that has started."""
    card = card or JudgeCard(name="fake judge")
    return LoadedJudge(engine, card, load_prompt_set(card.prompts))


def fake_app(engine: FakeEngine, *, card: JudgeCard | None = None, **settings: Any) -> FastAPI:
    """The application with a fake engine."""
    judge = loaded_judge(engine, card)
    # A fake engine says the same of every edit.
    return create_app(Settings(**{"sentinels": "off", **settings}), loader=lambda _: judge)


@asynccontextmanager
async def running(
    engine: FakeEngine, *, ready: bool = True, headers: dict[str, str] | None = None, **settings: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a running service; with `ready`, once it takes work."""
    app = fake_app(engine, **settings)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service", headers=headers, timeout=30.0) as client,
    ):
        for _ in range(2_000 if ready else 0):
            if (await client.get("/readyz")).is_success:
                break
            await asyncio.sleep(0.005)
        yield client


@asynccontextmanager
async def listening(engine: FakeEngine, **settings: Any) -> AsyncIterator[str]:
    """URL of a running service on a port of its own."""
    app = fake_app(engine, **settings)
    async with serving(app) as url:
        await until(lambda: app.state.service.lifecycle.phase is Phase.READY)
        yield url


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """URL of an application on a port of its own, in this process."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    task = asyncio.ensure_future(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


async def until(condition: Callable[[], bool], tries: int = 1_000) -> None:
    """Wait for something to become true."""
    for _ in range(tries):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen in time")


async def eventually(condition: Callable[[], Awaitable[bool]], tries: int = 2_000) -> None:
    """Wait for something that has to be asked for to become true."""
    for _ in range(tries):
        if await condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen in time")


async def post(
    client: httpx2.AsyncClient,
    path: str = "/v1/reward",
    *,
    source: bytes | None = SOURCE,
    edited: tuple[bytes, ...] | bytes | None = EDITED,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> httpx2.Response:
    """Post a multipart body with a `request` part."""
    fields = {"instruction": INSTRUCTION, **fields}
    edits = (edited,) if isinstance(edited, bytes) else edited or ()
    files: list[tuple[str, Any]] = [("request", (None, json.dumps(fields), "application/json"))]
    files += [("source", ("source.png", source, "image/png"))] if source is not None else []
    files += [("edited", (f"{index}.png", data, "image/png")) for index, data in enumerate(edits)]
    return await client.post(path, files=files, headers=headers)


def in_base64(data: bytes) -> str:
    """What JSON bodies carry."""
    return base64.b64encode(data).decode()


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error in a reply, after checking its shape."""
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"code", "message", "param", "request_id", "retryable"}
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"]
    return error
