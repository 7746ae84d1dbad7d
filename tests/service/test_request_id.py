"""Request ids: the client's where it is sane, a fresh one otherwise, echoed on every reply."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edit_rrm_service.auth import hash_key
from edit_rrm_service.request_id import request_id_from
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, error_of, post, running

SANE = re.compile(r"[A-Za-z0-9._-]{1,128}")


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with running(FakeEngine()) as ready:
        yield ready


async def test_it_is_echoed_in_header_and_body(client: httpx2.AsyncClient) -> None:
    headers = {"x-request-id": "run-3.step_7"}
    one = await post(client, headers=headers)
    group = await post(client, "/v1/rewards", edited=(EDITED, b"no image"), headers=headers)
    for reply in (one, group):
        assert reply.headers.get_list("x-request-id") == ["run-3.step_7"]
        assert reply.json()["request_id"] == "run-3.step_7"
    results = group.json()["results"]
    assert [result["request_id"] for result in results] == ["run-3.step_7"] * 2
    assert results[1]["error"]["request_id"] == "run-3.step_7"


async def test_errors_carry_it_too(client: httpx2.AsyncClient) -> None:
    headers = {"x-request-id": "step-7"}
    replies = [
        await client.get("/v1/nowhere", headers=headers),
        await post(client, instruction="", headers=headers),
        await client.post("/v1/reward", content=b"", headers={**headers, "content-length": "999999999"}),
    ]
    async with running(FakeEngine(), api_key_hashes=(hash_key("key"),)) as guarded:
        replies.append(await post(guarded, headers=headers))
    assert [reply.status_code for reply in replies] == [404, 422, 413, 401]
    assert [error_of(reply)["request_id"] for reply in replies] == ["step-7"] * 4


async def test_without_one_every_request_gets_its_own(client: httpx2.AsyncClient) -> None:
    made = {(await client.get("/livez")).headers["x-request-id"] for _ in range(5)}
    assert len(made) == 5


@pytest.mark.parametrize("sent", ["", "x" * 129, "line\tbreak", "née", 'quote"', "a b", "../../etc"])
async def test_a_malformed_one_is_replaced(client: httpx2.AsyncClient, sent: str) -> None:
    reply = await client.get("/v1/nowhere", headers=[(b"x-request-id", sent.encode())])
    assert reply.headers["x-request-id"] != sent
    assert SANE.fullmatch(reply.headers["x-request-id"])


@given(st.one_of(st.text(), st.from_regex(SANE), st.none()))
def test_only_sane_ones_are_kept(sent: str | None) -> None:
    used = request_id_from(sent)
    assert SANE.fullmatch(used)
    assert (used == sent) is (sent is not None and SANE.fullmatch(sent) is not None)
