"""Headers that trickle in hold a connection for as long as they may, and no longer; nobody else's is touched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.fakes.service_process import ServiceProcess, fake_service
from tests.service.running import post

TIMEOUT_S = 0.8
HEAD = b"GET /livez HTTP/1.1\r\nHost: service\r\nX-Slow: "


@pytest.fixture(scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceProcess]:
    log = tmp_path_factory.mktemp("headers") / "log"
    with fake_service(log, seconds=1.0, header_timeout_ms=round(TIMEOUT_S * 1e3)) as running:
        yield running


async def opened(service: ServiceProcess) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(service.url)
    return await asyncio.open_connection(address.hostname, address.port)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def trickled(service: ServiceProcess, first: bytes, more: bytes = b"x") -> float:
    """Seconds until the service closes a connection that sends a byte now and then."""
    reader, writer = await opened(service)
    began = time.monotonic()
    writer.write(first)
    ended = asyncio.ensure_future(reader.read())
    while not ended.done() and time.monotonic() - began < 10.0:
        await asyncio.wait({ended}, timeout=0.1)
        if not ended.done():
            writer.write(more)
    seconds = time.monotonic() - began
    ended.cancel()
    await closed(writer)
    return seconds


@pytest.mark.parametrize("first", [b"", b"G", HEAD], ids=["nothing", "a byte", "half a header"])
async def test_headers_that_trickle_in_are_cut_off(service: ServiceProcess, first: bytes) -> None:
    assert TIMEOUT_S - 0.1 < await trickled(service, first, b"x" if first == HEAD else b"") < TIMEOUT_S + 2.0


async def test_so_are_those_of_a_second_request(service: ServiceProcess) -> None:
    reader, writer = await opened(service)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: service\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"}")
    await asyncio.sleep(2 * TIMEOUT_S)  # quiet between requests: kept
    writer.write(HEAD)
    began = time.monotonic()
    assert await asyncio.wait_for(reader.read(), timeout=10.0) == b""
    assert TIMEOUT_S - 0.1 < time.monotonic() - began < TIMEOUT_S + 2.0
    await closed(writer)


async def test_a_hundred_of_them_delay_nobody_and_what_takes_longer_to_answer_is_answered(
    service: ServiceProcess,
) -> None:
    slow = [asyncio.ensure_future(trickled(service, HEAD)) for _ in range(100)]
    async with httpx2.AsyncClient(base_url=service.url, timeout=30.0) as client:
        first, again = await post(client), await post(client)  # a second of judging each: longer than headers may take
    assert [first.status_code, again.status_code] == [200, 200]
    assert max(await asyncio.gather(*slow)) < TIMEOUT_S + 4.0
