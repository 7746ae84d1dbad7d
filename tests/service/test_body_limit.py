"""A body beyond the limit is refused as soon as that is known, never held, and its sender gets to read why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, listening, post, running

LIMIT = 300_000
FORM = {"content-type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="source"; filename="a.png"\r\n\r\n'


class Upload:
    """A form with one endless file, which counts how much of it was taken."""

    def __init__(self, end: int) -> None:
        self.taken = 0
        self._end = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PART
        while self.taken < self._end:
            self.taken += 50_000
            yield b"\x00" * 50_000


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine(), max_body_bytes=LIMIT) as ready:
        yield ready


async def test_its_header_is_enough(client: httpx2.AsyncClient) -> None:
    upload = Upload(60_000_000)
    headers = {**FORM, "content-length": "60000000"}
    reply = await client.post("/v1/reward", content=upload, headers=headers)
    assert reply.status_code == 413
    assert error_of(reply)["code"] == "body_too_large"
    assert "EDIT_RRM_MAX_BODY_BYTES" in error_of(reply)["message"]
    assert upload.taken == 0


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json"])
async def test_one_without_a_length_is_refused_when_it_has_grown_too_large(
    client: httpx2.AsyncClient, kind: str
) -> None:
    upload = Upload(60_000_000)
    reply = await client.post("/v1/reward", content=upload, headers={"content-type": kind})
    assert reply.status_code == 413
    assert error_of(reply)["code"] == "body_too_large"
    assert upload.taken <= LIMIT + 100_000


@pytest.mark.parametrize("claimed", ["-1", "ten", "\u00b2"])
async def test_a_length_that_is_no_number_is_not_believed(client: httpx2.AsyncClient, claimed: str) -> None:
    headers = [(b"content-type", FORM["content-type"].encode()), (b"content-length", claimed.encode("latin-1"))]
    reply = await client.post("/v1/reward", content=Upload(60_000_000), headers=headers)
    assert reply.status_code == 413


async def test_the_default_limit_refuses_120_megabytes_on_a_socket_and_the_sender_reads_why() -> None:
    async with listening(FakeEngine()) as url, httpx2.AsyncClient(base_url=url, timeout=60.0) as client:
        reply = await post(client, edited=b"\x00" * 120_000_000)
        assert reply.status_code == 413
        assert error_of(reply)["code"] == "body_too_large"
        assert (await post(client)).status_code == 200


async def test_on_a_socket_one_without_a_length_is_refused_too() -> None:
    async with (
        listening(FakeEngine(), max_body_bytes=LIMIT) as url,
        httpx2.AsyncClient(base_url=url, timeout=60.0) as client,
    ):
        reply = await client.post("/v1/reward", content=Upload(4_000_000), headers=FORM)
        assert reply.status_code == 413
        assert (await post(client)).status_code == 200


async def test_the_answer_comes_before_the_body_does() -> None:
    head = "POST /v1/reward HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 600000000\r\n\r\n"
    async with listening(FakeEngine()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
        writer.write(head.encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 10)
        writer.close()
        await writer.wait_closed()
    assert b" 413 " in answer


async def test_a_body_that_trickles_in_is_given_up_after_its_time_and_not_after_its_next_byte() -> None:
    head = "POST /v1/reward HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n"
    async with listening(FakeEngine(), body_timeout_ms=400) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx2.URL(url).port)
        writer.write(head.encode())
        answer = asyncio.ensure_future(reader.read())
        began = asyncio.get_running_loop().time()
        while not answer.done() and asyncio.get_running_loop().time() - began < 10:
            writer.write(b" ")
            await asyncio.sleep(0.05)
        took = asyncio.get_running_loop().time() - began
        said = await answer
        writer.close()
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"body_too_slow" in said
    assert 0.3 < took < 5.0


async def test_time_for_the_body_is_not_time_for_the_answer() -> None:
    engine = FakeEngine(seconds=0.4)
    async with (
        listening(engine, body_timeout_ms=300) as url,
        httpx2.AsyncClient(base_url=url, timeout=30.0) as client,
    ):
        assert (await post(client)).status_code == 200
