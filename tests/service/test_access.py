"""Keys, limits and load."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from edit_rrm_service.admission import Admission
from edit_rrm_service.auth import hash_key, is_authorised
from edit_rrm_service.errors import ApiError
from edit_rrm_service.settings import Settings
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, error_of, post, running

HASHES = (hash_key("first"), hash_key("second"))


async def test_with_keys_set_only_their_holders_are_served() -> None:
    engine = FakeEngine()
    async with running(engine, api_key_hashes=HASHES) as client:
        for header in (None, "Bearer wrong", "Bearer ", "first", "Basic first", f"Bearer {HASHES[0]}"):
            reply = await post(client, headers={} if header is None else {"authorization": header})
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert error_of(reply)["code"] == "unauthorised"
        assert engine.generated == []
        for key in ("first", "second"):
            assert (await post(client, headers={"authorization": f"Bearer {key}"})).status_code == 200


async def test_probes_need_no_key_and_metrics_only_if_so_set() -> None:
    async with running(FakeEngine(), api_key_hashes=HASHES) as client:
        for path in ("/livez", "/readyz", "/startupz", "/metrics"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/v1/identity")).status_code == 401
    async with running(FakeEngine(), api_key_hashes=HASHES, metrics_need_key=True) as client:
        assert (await client.get("/metrics")).status_code == 401


@pytest.mark.parametrize("header", ["Bearer naïve", "Bearer " + "x" * 100_000, "bearer first", "\x00"])
def test_no_header_breaks_the_check(header: str) -> None:
    assert is_authorised(header, HASHES) is (header == "bearer first")


def test_without_keys_everybody_is_served() -> None:
    assert is_authorised(None, ())


def test_a_key_in_clear_is_refused_at_start() -> None:
    with pytest.raises(ValidationError, match="hash-key"):
        Settings(api_key_hashes=("not-a-digest",))


async def test_beyond_the_limit_edits_are_refused_with_when_to_come_back() -> None:
    engine = FakeEngine(seconds=0.3)
    async with running(engine, max_in_flight=2) as client:
        replies = await asyncio.gather(*(post(client, edited=EDITED) for _ in range(5)))
        after = await post(client)
        text = (await client.get("/metrics")).text
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses == [200, 200, 429, 429, 429]
    for reply in replies:
        if reply.status_code == 429:
            assert error_of(reply)["code"] == "overloaded"
            assert error_of(reply)["retryable"] is True
            assert int(reply.headers["retry-after"]) >= 1
    assert after.status_code == 200
    assert "edit_rrm_edits_in_flight 0.0" in text


async def test_a_group_that_can_never_fit_is_told_so() -> None:
    async with running(FakeEngine(), max_in_flight=2) as client:
        reply = await post(client, "/v1/rewards", edited=(EDITED,) * 3)
    assert reply.status_code == 422
    assert error_of(reply)["retryable"] is False


def test_the_time_to_come_back_follows_the_measured_drain_rate() -> None:
    now = [0.0]
    admission = Admission(4, lambda _: None, clock=lambda: now[0])
    assert admission.retry_after_s(4) == 1
    for _ in range(10):
        with admission.admitted(4):
            now[0] += 8.0
    with admission.admitted(4):
        # Forty edits finished in 72 s; four are missing.
        assert admission.retry_after_s(4) in (7, 8)
        assert admission.retry_after_s(400) == 60
        with pytest.raises(ApiError) as caught, admission.admitted(1):
            raise AssertionError("admitted beyond the limit")
    assert caught.value.headers["Retry-After"] == "2"


def test_room_is_given_back_after_a_failure() -> None:
    levels: list[int] = []
    admission = Admission(2, levels.append)
    with pytest.raises(RuntimeError), admission.admitted(2):
        raise RuntimeError
    assert levels == [2, 0]
