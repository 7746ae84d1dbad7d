"""Bad input gets a clear 4xx with the one error shape, and the judge is never asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, INSTRUCTION, SOURCE, error_of, in_base64, post, running

PRINCIPLE = {"question": "Is it blue?", "category": "instruction_following"}
ENGINE = FakeEngine()


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(ENGINE, max_body_bytes=300_000) as ready:
        yield ready


@pytest.fixture(autouse=True)
async def _nothing_reaches_the_judge() -> AsyncIterator[None]:
    yield
    assert ENGINE.generated == ENGINE.probed == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"instruction": ""}, "instruction"),
        ({"instruction": "   \n"}, "instruction"),
        ({"instruction": "x" * 50_000}, "instruction"),
        ({"instruction": 7}, "instruction"),
        ({"principles": []}, "principles"),
        ({"principles": [PRINCIPLE] * 500}, "principles"),
        ({"principles": [{**PRINCIPLE, "question": ""}]}, "principles"),
        ({"principles": [{**PRINCIPLE, "category": "beauty"}]}, "principles"),
        ({"mode": "guess"}, "mode"),
        ({"aggregation": "median"}, "aggregation"),
        ({"mode": "probe", "aggregation": "model"}, "aggregation"),
        ({"mode": "probe", "samples": 2}, "samples"),
        ({"samples": 0}, "samples"),
        ({"temperature": -1}, "temperature"),
        ({"sampels": 4}, "sampels"),
        ({"image_url": "http://example.com/a.png"}, "image_url"),
    ],
)
async def test_a_field_at_fault_is_named(client: httpx2.AsyncClient, fields: dict[str, Any], param: str) -> None:
    reply = await post(client, **fields)
    assert reply.status_code == 422
    assert error_of(reply)["param"].startswith(param)
    assert error_of(reply)["retryable"] is False


async def test_a_missing_source_is_named(client: httpx2.AsyncClient) -> None:
    reply = await post(client, source=None)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "source"


async def test_a_missing_edit_is_named(client: httpx2.AsyncClient) -> None:
    reply = await post(client, edited=None)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "edited"


async def test_two_edits_are_one_too_many_for_reward(client: httpx2.AsyncClient) -> None:
    reply = await post(client, edited=(EDITED, EDITED))
    assert reply.status_code == 422
    assert error_of(reply)["code"] == "too_many_edits"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-pickle", "application/octet-stream"])
async def test_another_content_type_is_415(client: httpx2.AsyncClient, kind: str) -> None:
    reply = await client.post("/v1/reward", content=b"hello", headers={"content-type": kind})
    assert reply.status_code == 415
    assert "multipart/form-data" in error_of(reply)["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"nul", b'{"instruction": "x", "instruction"}', b"[" * 100_000],
)
async def test_unreadable_json_is_a_4xx(client: httpx2.AsyncClient, body: bytes) -> None:
    reply = await client.post("/v1/reward", content=body, headers={"content-type": "application/json"})
    assert reply.status_code in (400, 422)
    error_of(reply)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"no boundary at all", "multipart/form-data"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (
            b'--x\r\nContent-Disposition: form-data; name="request"\r\n\r\n{\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_an_unreadable_form_is_a_4xx(client: httpx2.AsyncClient, content: bytes, kind: str) -> None:
    reply = await client.post("/v1/reward", content=content, headers={"content-type": kind})
    assert reply.status_code in (400, 422)
    error_of(reply)


@pytest.mark.parametrize("broken", ["***", "aGVsbG8", "", "data:image/png;base64,AAAA"])
async def test_base64_that_is_none_is_named(client: httpx2.AsyncClient, broken: str) -> None:
    body = {"instruction": INSTRUCTION, "source": broken, "edited": in_base64(EDITED)}
    reply = await client.post("/v1/reward", json=body)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "source"


async def test_a_body_beyond_the_limit_is_413_by_its_header(client: httpx2.AsyncClient) -> None:
    reply = await post(client, edited=b"\x00" * 400_000)
    assert reply.status_code == 413
    assert "EDIT_RRM_MAX_BODY_BYTES" in error_of(reply)["message"]


async def test_a_body_that_grows_beyond_the_limit_is_413_without_being_read_to_its_end(
    client: httpx2.AsyncClient,
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="source"; filename="a.png"\r\n\r\n'
        while sent < 60_000_000:
            sent += 50_000
            yield b"\x00" * 50_000

    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = await client.post("/v1/reward", content=endless(), headers=headers)
    assert reply.status_code == 413
    error_of(reply)
    assert sent < 2_000_000


async def test_unknown_pages_and_methods_have_the_shape_too(client: httpx2.AsyncClient) -> None:
    missing = await client.get("/v2/reward")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = await client.get("/v1/reward")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("value", ["soon", "-5", "0", "1e3", "99999999999"])
async def test_a_deadline_that_is_no_number_of_milliseconds_is_named(client: httpx2.AsyncClient, value: str) -> None:
    reply = await post(client, headers={"x-deadline-ms": value})
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "x-deadline-ms"


@pytest.mark.parametrize("sent", ["", "x" * 129, "line\tbreak", "née", 'quote"', "a b"])
async def test_a_malformed_request_id_is_replaced(client: httpx2.AsyncClient, sent: str) -> None:
    reply = await client.get("/v1/nowhere", headers=[(b"x-request-id", sent.encode())])
    assert reply.headers["x-request-id"] != sent
    assert len(reply.headers["x-request-id"]) >= 16


async def test_a_probe_where_the_engine_has_none_says_what_to_do() -> None:
    async with running(FakeEngine(supports_probe=False)) as own:
        reply = await post(own, mode="probe")
    assert reply.status_code == 422
    assert "think" in error_of(reply)["message"]


async def test_unknown_fields_are_refused_in_json_bodies_too(client: httpx2.AsyncClient) -> None:
    body = {"instruction": INSTRUCTION, "source": in_base64(SOURCE), "edited": in_base64(EDITED), "seeds": 1}
    reply = await client.post("/v1/reward", content=json.dumps(body), headers={"content-type": "application/json"})
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "seeds"
