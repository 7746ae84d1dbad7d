"""API keys: only their holders are served, probes are exempt, and only hashes are ever configured."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edit_rrm_service.auth import KeyRing, KeysError, hash_key, load_keys
from edit_rrm_service.callers import ANONYMOUS, Caller, CallerLimits, Priority
from edit_rrm_service.settings import Settings
from tests.fakes.engine import FakeEngine
from tests.service.running import error_of, png, post, running

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
    assert (load_keys(HASHES, None, CallerLimits()).caller(header) is not None) is (header == "bearer first")


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_key_is_let_in_by_its_own_hash_alone(key: str, other: str) -> None:
    key, other = key.strip(), other.strip()
    callers = Caller("key"), Caller("other")
    ring = KeyRing([(hash_key(key), callers[0]), (hash_key(other), callers[1])])
    assert ring.caller(f"Bearer {key}") == callers[0]
    assert ring.caller(f"Bearer {other}") == callers[key != other]


def test_without_keys_everybody_is_served() -> None:
    ring = load_keys((), None, CallerLimits(max_concurrent=3))
    assert ring.caller(None) == Caller(ANONYMOUS.name, limits=CallerLimits(max_concurrent=3))


def test_the_hash_is_plain_sha256() -> None:
    assert hash_key("first") == hashlib.sha256(b"first").hexdigest()


@pytest.mark.parametrize("given_as", ["not-a-digest", "first", HASHES[0].upper(), HASHES[0][:-1]])
def test_a_key_in_clear_is_refused_at_start(given_as: str) -> None:
    with pytest.raises(ValidationError, match="hash-key"):
        Settings(api_key_hashes=(given_as,))


KEYS = f"""
[keys.trainer-a]
sha256 = "{hash_key("trainer")}"
priority = "training"
weight = 2
max_concurrent = 8
requests_per_minute = 90.5

[keys.person]
sha256 = "{hash_key("person")}"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_keys_file_says_whom_each_key_belongs_to_and_what_it_may(tmp_path: Path) -> None:
    usual = CallerLimits(requests_per_minute=600.0)
    ring = load_keys(HASHES, written(tmp_path, KEYS), usual)
    trainer = Caller("trainer-a", Priority.TRAINING, 2.0, CallerLimits(90.5, 8))
    assert ring.caller("Bearer trainer") == trainer
    assert ring.caller("Bearer person") == Caller("person", limits=usual)
    assert ring.caller("Bearer first") == Caller(f"key-{HASHES[0][:8]}", limits=usual)
    assert ring.caller("Bearer nobody") is None


SAME = f'[keys.again]\nsha256 = "{hash_key("first")}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys = [", "is not TOML"),
        ("[key.a]\nsha256 = ''\n", "there is no table 'key'"),
        ('[keys.a]\nsha256 = "sesame"\n', "hash-key"),
        (KEYS + "wieght = 2\n", r"keys.person.wieght: Extra"),
        (KEYS.replace('"training"', '"urgent"'), "keys.trainer-a.priority"),
        (KEYS.replace("trainer-a", '"not a name"'), "keys.not a name"),
        (SAME, "are the same API key"),
    ],
)
def test_a_keys_file_that_cannot_be_used_says_what_to_change(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(KeysError, match=said):
        load_keys(HASHES, written(tmp_path, text), CallerLimits())


def test_a_keys_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match=r"none\.toml cannot be read: No such file"):
        load_keys((), tmp_path / "none.toml", CallerLimits())


async def test_a_key_for_training_is_never_interactive(tmp_path: Path) -> None:
    async with running(FakeEngine(), api_keys_file=written(tmp_path, KEYS)) as client:
        for key, edited in (("trainer", png("green")), ("person", png("white"))):
            headers = {"authorization": f"Bearer {key}", "x-priority": "interactive"}
            await post(client, edited=edited, headers=headers)
        text = (await client.get("/metrics")).text
    assert 'edit_rrm_queue_wait_seconds_count{priority="interactive"} 1.0' in text
    assert 'edit_rrm_queue_wait_seconds_count{priority="training"} 2.0' in text
