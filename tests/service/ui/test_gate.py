"""Who may see the page, and with what it answers everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from edit_rrm_service.auth import KeyRing, hash_key
from edit_rrm_service.ui.gate import COOKIE, Gate, key_of, within
from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, running

KEY = 'ein Schlüssel; mit "allem"'


@pytest.fixture
async def locked() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine(), ui=True, api_key_hashes=(hash_key(KEY),)) as client:
        yield client


@pytest.fixture
async def everybodys() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine(), ui=True) as client:
        yield client


async def test_without_keys_everybody_sees_the_page(everybodys: httpx2.AsyncClient) -> None:
    page = await everybodys.get("/ui/")
    assert page.status_code == 200
    assert "Edit-RRM" in page.text
    assert page.headers["content-security-policy"] == "frame-ancestors 'self'"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert (await everybodys.get("/ui", follow_redirects=True)).status_code == 200


async def test_without_a_key_the_page_asks_for_one(locked: httpx2.AsyncClient) -> None:
    page = await locked.get("/ui/")
    assert page.status_code == 401
    assert 'type="password"' in page.text
    assert "no key of this service" not in page.text
    for method, path in (("GET", "/ui/config"), ("POST", "/ui/gradio_api/upload"), ("GET", "/ui/gradio_api/info")):
        refused = await locked.request(method, path)
        assert refused.status_code == 401
        assert error_of(refused)["code"] == "unauthorised"


async def test_a_wrong_key_is_said(locked: httpx2.AsyncClient) -> None:
    for sent in ({"data": {"key": "wrong"}}, {"data": {"key": KEY + "x" * 9_000}}, {"content": b"%%%"}, {}):
        answer = await locked.post("/ui/key", **sent)
        assert answer.status_code == 401
        assert "no key of this service" in answer.text
        assert COOKIE not in answer.cookies


async def test_a_key_opens_the_page_until_it_is_forgotten(locked: httpx2.AsyncClient) -> None:
    given = await locked.post("/ui/key", data={"key": f" {KEY} "})
    assert given.status_code == 303
    assert given.headers["location"] == "/ui/"
    cookie = given.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/ui" in cookie
    assert "secure" not in cookie, "plain HTTP"
    assert KEY not in cookie
    assert (await locked.get("/ui/")).status_code == 200
    assert (await locked.get("/ui/config")).status_code == 200
    # The cookie is the page's: the contract's paths go by the header alone.
    cookies = {"Cookie": f"{COOKIE}={given.cookies[COOKIE]}"}
    assert (await locked.get("/v1/identity", headers=cookies)).status_code == 401
    forgotten = await locked.post("/ui/forget")
    assert forgotten.status_code == 303
    assert (await locked.get("/ui/")).status_code == 401


async def test_over_https_the_cookie_stays_there(locked: httpx2.AsyncClient) -> None:
    given = await locked.post("https://service/ui/key", data={"key": KEY})
    assert "secure" in given.headers["set-cookie"].lower()


async def test_a_cookie_of_anything_else_is_no_key(locked: httpx2.AsyncClient) -> None:
    for value in ("x", "%%", "é".encode().hex(), "Zm9v"):
        assert (await locked.get("/ui/config", headers={"Cookie": f"{COOKIE}={value}"})).status_code == 401


def test_paths_and_cookies() -> None:
    assert within("/ui")
    assert within("/ui/config")
    assert not within("/uix")
    assert not within("/v1/reward")
    assert key_of(None) is None
    assert key_of("") is None
    assert key_of("*") is None
    assert key_of("Zm9v") == "foo"


async def test_off_unless_asked_for() -> None:
    async with running(FakeEngine()) as client:
        refused = await client.get("/ui/")
        assert refused.status_code == 404
        error_of(refused)


async def test_limits_are_the_services_own(locked: httpx2.AsyncClient) -> None:
    async with running(FakeEngine(), ui=True, max_body_bytes=2_048) as client:
        answer = await client.post("/ui/gradio_api/upload", files={"files": ("a.png", b"x" * 4_096)})
        assert answer.status_code == 413
        assert error_of(answer)["code"] == "body_too_large"


async def test_nobody_fills_the_disk(tmp_path: Path) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("taken")(scope, receive, send)

    gate = Gate(page, keys=KeyRing([]), over=asyncio.Event(), files=tmp_path, max_files_bytes=100)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gate), base_url="http://page") as client:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "small").write_bytes(b"x" * 99)
        assert (await client.post("/ui/gradio_api/upload")).text == "taken"
        (tmp_path / "another").write_bytes(b"x")
        refused = await client.post("/ui/gradio_api/upload")
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_files"
        assert (await client.get("/ui/")).text == "taken", "all else goes on"


async def test_metrics_count_the_page_as_one_route(everybodys: httpx2.AsyncClient) -> None:
    await everybodys.get("/ui/")
    await everybodys.get("/ui/config")
    metrics = (await everybodys.get("/metrics")).text
    assert 'route="/ui"' in metrics
    assert "/ui/config" not in metrics


async def test_what_is_on_its_way_when_the_service_ends_is_read_to_its_end(tmp_path: Path) -> None:
    over, read = asyncio.Event(), asyncio.Event()

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        read.set()
        # Then, as to a stream: the browser has gone.
        assert (await receive())["type"] == "http.disconnect"
        await PlainTextResponse(body)(scope, receive, send)

    parts = [b"first, ", b"second"]

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()
        over.set()
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    gate = Gate(page, keys=KeyRing([]), over=over, files=tmp_path)
    scope = {"type": "http", "method": "POST", "path": "/ui/gradio_api/reset", "headers": [], "query_string": b""}
    await asyncio.wait_for(gate(scope, receive, send), 5.0)
    assert read.is_set()
    assert b"".join(message.get("body", b"") for message in sent) == b"first, second"
