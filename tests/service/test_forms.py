"""Multipart forms, however odd, become a request or a 4xx with the error shape; never a 500."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, INSTRUCTION, SOURCE, error_of, running

KIND = "multipart/form-data; boundary=x"
IMAGES = {"source": SOURCE, "edited": EDITED}


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine()) as ready:
        yield ready


def part(name: str, body: bytes, headers: str = "") -> bytes:
    """One part of a form; a name with a quote in it can add parameters."""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{headers}\r\n\r\n'.encode() + body + b"\r\n"


async def send(client: httpx2.AsyncClient, body: bytes, kind: str = KIND) -> httpx2.Response:
    return await client.post("/v1/reward", content=body, headers=[(b"content-type", kind.encode("latin-1"))])


PICTURES = b"".join(part(name, data, '; filename="a"') for name, data in IMAGES.items())


@pytest.mark.parametrize("stated", ["image/png", "image/gif", "application/octet-stream", "text/plain", ""])
async def test_an_images_bytes_count_and_not_the_type_stated(client: httpx2.AsyncClient, stated: str) -> None:
    files = {name: ("x.exe", data, stated) for name, data in IMAGES.items()}
    reply = await client.post("/v1/reward", data={"instruction": INSTRUCTION}, files=files)
    assert reply.status_code == 200


async def test_the_request_part_may_be_a_file_too(client: httpx2.AsyncClient) -> None:
    # curl -F request=@request.json
    request = json.dumps({"instruction": INSTRUCTION, "samples": 2}).encode()
    reply = await client.post("/v1/reward", files={"request": ("request.json", request), **IMAGES})
    assert reply.json()["samples"] == 2


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "hex", "undefined", "punycode", "unicode_escape", "nonsense"])
async def test_a_charset_of_any_name_is_no_bug(client: httpx2.AsyncClient, charset: str) -> None:
    body = part("instruction", b"make it \\ud800\xe9-blue") + PICTURES + b"--x--\r\n"
    reply = await send(client, body, f"{KIND}; charset={charset}")
    assert reply.status_code in (200, 400, 422)
    if reply.status_code != 200:
        error_of(reply)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no boundary at all", "multipart/form-data"),
        (b"no boundary at all", "multipart/form-data; boundary="),
        (b"--x\r\nbroken", KIND),
        (b"--y\r\n\r\n", KIND),
        (b"--x\r\n\r\nno headers\r\n--x--\r\n", KIND),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--x--\r\n", KIND),
        (part("request", b"{") + PICTURES + b"--x--\r\n", KIND),
        (part("request", b"\xff\xfe", '; filename="r"') + PICTURES + b"--x--\r\n", KIND),
        (part("instruction", b"x" * 2_000_000) + PICTURES + b"--x--\r\n", KIND),
        (b"".join(part(f"field{index}", b"x") for index in range(40)) + b"--x--\r\n", KIND),
    ],
)
async def test_one_that_cannot_be_read_says_so(client: httpx2.AsyncClient, body: bytes, kind: str) -> None:
    reply = await send(client, body, kind)
    assert reply.status_code in (400, 422)
    assert error_of(reply)["code"] in ("unreadable_body", "invalid_request")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (part("instruction", b"one") + part("instruction", b"two") + PICTURES, "instruction"),
        (part("request", b'{"instruction": "one"}') + part("instruction", b"two") + PICTURES, "instruction"),
        (part("instruction", b"one") + part("request", b'{"instruction": "two"}') + PICTURES, "instruction"),
        (part("instruction", b"one") + part("source", b"words"), "source"),
        (part("instruction", b"one") + PICTURES + PICTURES, "source"),
        (part("instruction", b"one") + part("principles", b"[not json") + PICTURES, "principles"),
        (part("instruction", b"\xff\xfe", '; filename="i.txt"') + PICTURES, "instruction"),
        (part("request", b"[1]") + PICTURES, "request"),
    ],
)
async def test_the_part_at_fault_is_named(client: httpx2.AsyncClient, body: bytes, param: str) -> None:
    reply = await send(client, body + b"--x--\r\n")
    assert reply.status_code in (400, 422)
    assert error_of(reply)["param"] == param


PIECES = st.sampled_from(
    [b"--x", b"--x--", b"\r\n", b"--", b'Content-Disposition: form-data; name="request"', b"; filename=", b'"', b"{}"]
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=20), st.text(st.characters(max_codepoint=255)))
async def test_no_body_and_no_content_type_is_a_500(
    client: httpx2.AsyncClient, pieces: list[bytes], parameters: str
) -> None:
    line = "".join(char for char in parameters if char.isprintable())
    for kind in (KIND, f"{KIND}; charset={line}", f"multipart/form-data; {line}"):
        reply = await send(client, b"".join(pieces), kind)
        assert reply.status_code in (400, 422)
        error_of(reply)
