"""API keys: only their holders are served, probes are exempt, and only hashes are ever configured."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edit_rrm_service.auth import hash_key, is_authorised
from edit_rrm_service.settings import Settings
from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, post, running

HASHES = (hash_key("first"), hash_key("second"))


async def test_with_keys_set_only_their_holders_are_served() -> None:
    engine = FakeEngine()
    async with running(engine, api_key_hashes=HASHES) as client:
        for header in (None, "Bearer wrong", "Bearer ", "first", "Basic first", f"Bearer {HASHES[0]}"):
            reply = await post(client, headers={} if header is None else {"authorization": header})
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert error_of(reply)["code"] == "unauthorised"
            assert error_of(reply)["retryable"] is False
        assert engine.generated == []
        for key in ("first", "second"):
            assert (await post(client, headers={"authorization": f"Bearer {key}"})).status_code == 200


@pytest.mark.parametrize("path", ["/v1/identity", "/v1/nowhere", "/docs", "/openapi.json", "/livez/"])
async def test_without_a_key_nothing_is_told(path: str) -> None:
    async with running(FakeEngine(), api_key_hashes=HASHES) as client:
        assert (await client.get(path)).status_code == 401


async def test_probes_need_no_key_and_metrics_only_if_so_set() -> None:
    async with running(FakeEngine(), api_key_hashes=HASHES) as client:
        for path in ("/livez", "/readyz", "/startupz", "/metrics"):
            assert (await client.get(path)).status_code == 200
    async with running(FakeEngine(), api_key_hashes=HASHES, metrics_need_key=True) as client:
        assert (await client.get("/metrics")).status_code == 401
        assert (await client.get("/readyz")).status_code == 200


async def test_a_key_stands_in_no_reply_and_no_metric() -> None:
    async with running(FakeEngine(), api_key_hashes=HASHES) as client:
        reply = await client.get("/v1/identity", headers={"authorization": "Bearer sesame"})
        text = (await client.get("/metrics")).text
    for written in (reply.text, str(reply.headers), text):
        assert "sesame" not in written
        assert HASHES[0] not in written


@pytest.mark.parametrize("header", ["Bearer naïve", "Bearer " + "x" * 100_000, "bearer first", "\x00"])
def test_no_header_breaks_the_check(header: str) -> None:
    assert is_authorised(header, HASHES) is (header == "bearer first")


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_key_is_let_in_by_its_own_hash_alone(key: str, other: str) -> None:
    key, other = key.strip(), other.strip()
    assert is_authorised(f"Bearer {key}", (hash_key(key),))
    assert is_authorised(f"Bearer {key}", (hash_key(other),)) is (key == other)


def test_without_keys_everybody_is_served() -> None:
    assert is_authorised(None, ())


def test_the_hash_is_plain_sha256() -> None:
    assert hash_key("first") == hashlib.sha256(b"first").hexdigest()


@pytest.mark.parametrize("given_as", ["not-a-digest", "first", HASHES[0].upper(), HASHES[0][:-1]])
def test_a_key_in_clear_is_refused_at_start(given_as: str) -> None:
    with pytest.raises(ValidationError, match="hash-key"):
        Settings(api_key_hashes=(given_as,))
