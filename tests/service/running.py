"""A service in this process, on a fake engine."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import httpx2
from fastapi import FastAPI
from PIL import Image

from edit_rrm.card import JudgeCard
from edit_rrm.prompts import load_prompt_set
from edit_rrm_service.app import create_app
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


def fake_app(engine: FakeEngine, *, card: JudgeCard | None = None, **settings: Any) -> FastAPI:
    """The application with a fake engine."""
    card = card or JudgeCard(name="fake judge")
    judge = LoadedJudge(engine, card, load_prompt_set(card.prompts))
    return create_app(Settings(**settings), loader=lambda _: judge)


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
