"""Bad input gets a clear 4xx with the one error shape, and the judge is never asked."""

from __future__ import annotations

import json
import time
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
    async with running(ENGINE) as ready:
        yield ready


@pytest.fixture(autouse=True)
async def _nothing_reaches_the_judge() -> AsyncIterator[None]:
    yield
    asked = ENGINE.generated + ENGINE.probed
    ENGINE.generated.clear()
    ENGINE.probed.clear()
    assert asked == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"instruction": ""}, "instruction"),
        ({"instruction": "   \n"}, "instruction"),
        ({"instruction": "x" * 50_000}, "instruction"),
        ({"instruction": "\u200b\x00\u2060"}, "instruction"),
        ({"instruction": "lone \ud800 surrogate"}, "instruction"),
        ({"instruction": 7}, "instruction"),
        ({"principles": []}, "principles"),
        ({"principles": [PRINCIPLE] * 500}, "principles"),
        ({"principles": [{**PRINCIPLE, "question": ""}]}, "principles"),
        ({"principles": [PRINCIPLE, {**PRINCIPLE, "question": "\u200b"}]}, "principles.1"),
        ({"principles": [{**PRINCIPLE, "weight": 2}]}, "principles"),
        ({"principles": [{**PRINCIPLE, "category": "beauty"}]}, "principles"),
        ({"mode": "guess"}, "mode"),
        ({"aggregation": "median"}, "aggregation"),
        ({"mode": "probe", "aggregation": "model"}, "aggregation"),
        ({"mode": "probe", "samples": 2}, "samples"),
        ({"samples": 0}, "samples"),
        ({"samples": 17}, "samples"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": 2**31}, "seed"),
        ({"sampels": 4}, "sampels"),
        ({"image_url": "http://example.com/a.png"}, "image_url"),
    ],
)
async def test_a_field_at_fault_is_named(client: httpx2.AsyncClient, fields: dict[str, Any], param: str) -> None:
    reply = await post(client, **fields)
    assert reply.status_code == 422
    assert error_of(reply)["param"].startswith(param)
    assert error_of(reply)["retryable"] is False


async def test_a_missing_edit_is_named(client: httpx2.AsyncClient) -> None:
    reply = await post(client, edited=None)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "edited"


@pytest.mark.parametrize(("path", "edits"), [("/v1/reward", 2), ("/v1/reward", 24), ("/v1/rewards", 129)])
async def test_too_many_edits_are_counted_to_the_sender(client: httpx2.AsyncClient, path: str, edits: int) -> None:
    reply = await post(client, path, edited=(EDITED,) * edits)
    assert reply.status_code == 422
    assert error_of(reply)["code"] == "too_many_edits"
    assert error_of(reply)["param"] == "edited"
    assert str(edits) in error_of(reply)["message"]


@pytest.mark.parametrize("path", ["/v1/decompose", "/v1/verify", "/v1/reward", "/v1/rewards"])
async def test_every_endpoint_wants_exactly_one_source(client: httpx2.AsyncClient, path: str) -> None:
    principles: dict[str, Any] = {"principles": [PRINCIPLE]} if path == "/v1/verify" else {}
    reply = await post(client, path, source=None, edited=None if path == "/v1/decompose" else EDITED, **principles)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "source"


async def test_verify_wants_principles(client: httpx2.AsyncClient) -> None:
    reply = await post(client, "/v1/verify")
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "principles"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-pickle", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_is_415(client: httpx2.AsyncClient, kind: str) -> None:
    reply = await client.post("/v1/reward", content=b"instruction=hello", headers={"content-type": kind})
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


@pytest.mark.parametrize("broken", ["***", "aGVsbG8", "", "data:image/png;base64,AAAA"])
async def test_base64_that_is_none_is_named(client: httpx2.AsyncClient, broken: str) -> None:
    body = {"instruction": INSTRUCTION, "source": broken, "edited": in_base64(EDITED)}
    reply = await client.post("/v1/reward", json=body)
    assert reply.status_code == 422
    assert error_of(reply)["param"] == "source"


async def test_unknown_pages_and_methods_have_the_shape_too(client: httpx2.AsyncClient) -> None:
    missing = await client.get("/v2/reward")
    assert (missing.status_code, error_of(missing)["code"]) == (404, "not_found")
    wrong = await client.get("/v1/reward")
    assert (wrong.status_code, error_of(wrong)["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


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


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/get_reward", b'{"query": ["a"], "labels": [' + b"5," * 3_000_000 + b"5]}"),
        ("/score", b'{"requests": [' + b"{}," * 1_000_000 + b"{}]}"),
        ("/v1/rewards", b'{"instruction": "x", "principles": [' + b"{}," * 1_000_000 + b"{}]}"),
        ("/v1/rewards", b'{"instruction": "x", "edited": [' + b"5," * 90_000 + b"5]}"),
        ("/score", b'{"requests": [' + b"5," * 90_000 + b"5]}"),
        ("/v1/reward", b"{" + b",".join(b'"%d": 1' % number for number in range(90_000)) + b"}"),
    ],
    ids=["labels", "items", "principles", "edits", "just allowed", "keys"],
)
async def test_a_million_values_in_a_small_body_hold_up_nobody(path: str, body: bytes) -> None:
    async with running(FakeEngine()) as client:
        began = time.monotonic()
        reply = await client.post(path, content=body, headers={"content-type": "application/json"})
        assert reply.status_code == 422
        assert error_of(reply)["message"]
        assert time.monotonic() - began < 2.0
