"""Several servers of one model: which one is asked, which one next, and which one not for a while."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edit_rrm_service.engines.base import EngineError, EngineStartError
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.servers import Servers, StatusError

URLS = ("http://one/v1", "http://two/v1", "http://three/v1")


class Network:
    """Hosts that answer as told, and a clock that only sleeping moves."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[httpx2.Request], httpx2.Response]] = {}
        self.asked: list[str] = []
        self.slept: list[float] = []
        self.now = 0.0

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.host)
        answer = self.answers.get(request.url.host)
        return answer(request) if answer else httpx2.Response(200, json={"from": request.url.host})

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def servers(self, *urls: str, **options: Any) -> Servers:
        return Servers(
            EngineOptions(base_urls=urls, **options),
            transport=httpx2.MockTransport(self),
            clock=lambda: self.now,
            sleep=self.sleep,
            rng=random.Random(1),
        )

    def status(self, host: str, status: int, **fields: Any) -> None:
        self.answers[host] = lambda request: httpx2.Response(status, json={"error": {"message": "no"}}, **fields)


@pytest.fixture
def network() -> Network:
    return Network()


def hosts(servers: Servers, key: bytes) -> list[str]:
    return [server.url for server in servers.order(key)]


@settings(max_examples=50)
@given(key=st.binary(max_size=8), lost=st.sampled_from(URLS))
def test_only_the_keys_of_a_lost_server_move(key: bytes, lost: str) -> None:
    network = Network()
    all_of_them = hosts(network.servers(*URLS), key)
    assert sorted(all_of_them) == sorted(URLS)
    rest = hosts(network.servers(*(url for url in URLS if url != lost)), key)
    assert rest == [url for url in all_of_them if url != lost]


def test_keys_spread_over_servers(network: Network) -> None:
    servers = network.servers(*URLS)
    first = Counter(hosts(servers, bytes([number]))[0] for number in range(200))
    assert min(first[url] for url in URLS) > 40


def test_the_same_url_twice_is_one_server(network: Network) -> None:
    assert [server.url for server in network.servers("http://one/v1/", "http://one/v1").all] == ["http://one/v1"]


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
async def test_the_next_attempt_goes_to_another_server_after_a_jittered_pause(network: Network, status: int) -> None:
    servers = network.servers(*URLS)
    first, second = (url.removeprefix("http://").removesuffix("/v1") for url in hosts(servers, b"k")[:2])
    network.status(first, status)
    assert await servers.request("GET", "models", key=b"k") == {"from": second}
    assert network.asked == [first, second]
    (pause,) = network.slept
    assert 0.0 < pause < 0.25


async def test_pauses_are_not_the_same_for_everyone(network: Network) -> None:
    network.status("one", 500)
    servers = network.servers("http://one/v1", max_attempts=4)
    with pytest.raises(EngineError, match=r"no server answered after 4 attempts: http://one/v1: 500 no"):
        await servers.request("GET", "models")
    assert len(set(network.slept)) == 3
    for attempt, pause in enumerate(network.slept):
        assert 0.0 < pause < 0.25 * 2**attempt


async def test_every_server_gets_a_try_before_one_gets_two(network: Network) -> None:
    for host in ("one", "two", "three"):
        network.status(host, 503)
    servers = network.servers(*URLS, max_attempts=5)
    with pytest.raises(EngineError, match="after 5 attempts"):
        await servers.request("GET", "models", key=b"k")
    assert sorted(network.asked[:3]) == ["one", "three", "two"]
    assert all(now != before for before, now in zip(network.asked, network.asked[1:], strict=False))


async def test_retry_after_is_waited_for_where_there_is_no_other_server(network: Network) -> None:
    network.status("one", 429, headers={"retry-after": "3"})
    servers = network.servers("http://one/v1", max_attempts=2)
    with pytest.raises(EngineError, match=r"busy \(429\)"):
        await servers.request("GET", "models")
    assert 3.0 <= network.slept[0] < 3.25


async def test_retry_after_of_one_server_does_not_hold_up_another(network: Network) -> None:
    servers = network.servers(*URLS)
    first = hosts(servers, b"k")[0].removeprefix("http://").removesuffix("/v1")
    network.status(first, 429, headers={"retry-after": "3"})
    await servers.request("GET", "models", key=b"k")
    assert network.now < 0.25


@pytest.mark.parametrize("header", ["-5", "nan", "soon", "Wed, 21 Oct 2026 07:28:00 GMT", "1e9"])
async def test_no_retry_after_waits_long_or_breaks_anything(network: Network, header: str) -> None:
    network.status("one", 429, headers={"retry-after": header})
    with pytest.raises(EngineError, match="busy"):
        await network.servers("http://one/v1", max_attempts=2).request("GET", "models")
    assert network.now < 8.5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_fault_of_the_request_is_not_tried_elsewhere(network: Network, status: int) -> None:
    for host in ("one", "two", "three"):
        network.status(host, status)
    with pytest.raises(StatusError, match=f"the server answered {status}: no") as caught:
        await network.servers(*URLS).request("GET", "models")
    assert not caught.value.retryable
    assert len(network.asked) == 1


async def test_a_failing_server_is_left_alone_longer_every_time_and_comes_back(network: Network) -> None:
    servers = network.servers("http://one/v1", "http://two/v1", eject_s=10.0)
    key = next(bytes([number]) for number in range(9) if hosts(servers, bytes([number]))[0] == "http://one/v1")
    network.status("one", 500)
    left_alone = []
    for _ in range(6):
        assert await servers.request("GET", "models", key=key) == {"from": "two"}
        left_alone.append(servers.all[0].ejected_until - network.now)
        network.asked.clear()
        assert await servers.request("GET", "models", key=key) == {"from": "two"}
        assert network.asked == ["two"]
        network.now = servers.all[0].ejected_until
    assert [round(seconds, -1) for seconds in left_alone] == [10, 20, 40, 80, 80, 80]
    network.answers.clear()
    assert await servers.request("GET", "models", key=key) == {"from": "one"}
    assert servers.all[0].failures == 0
    network.status("one", 500)
    await servers.request("GET", "models", key=key)
    assert 9.0 < servers.all[0].ejected_until - network.now <= 10.0


async def test_requests_under_way_together_count_as_one_failure(network: Network) -> None:
    network.status("one", 500)
    servers = network.servers("http://one/v1", eject_s=10.0, max_attempts=1)
    for _ in range(5):
        with pytest.raises(EngineError):
            await servers.request("GET", "models")
    assert servers.all[0].failures == 1


async def test_ejected_servers_are_tried_where_there_is_no_other(network: Network) -> None:
    network.status("one", 500)
    servers = network.servers("http://one/v1", max_attempts=1)
    with pytest.raises(EngineError):
        await servers.request("GET", "models")
    network.answers.clear()
    assert await servers.request("GET", "models") == {"from": "one"}


@pytest.mark.parametrize("url", ["no scheme", "http://", "ftp://one/v1", "http://[::1/v1"])
async def test_a_base_url_that_is_none(network: Network, url: str) -> None:
    with pytest.raises((EngineError, EngineStartError)):
        await Servers(EngineOptions(base_urls=(url,), max_attempts=1)).request("GET", "models")


@pytest.mark.parametrize("key", ["se\ncret", "sécret", "se cret"])
def test_an_api_key_that_no_header_can_carry_is_a_start_error(key: str) -> None:
    with pytest.raises(EngineStartError, match="API key") as caught:
        Servers(EngineOptions(base_urls=URLS, api_key=key))
    assert key not in str(caught.value)


async def test_an_api_key_with_the_line_break_of_its_file_works(network: Network) -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["authorization"])
        return httpx2.Response(200, json={})

    network.answers["one"] = answer
    await network.servers("http://one/v1", api_key="secret\n").request("GET", "models")
    assert seen == ["Bearer secret"]


async def test_no_secret_is_ever_in_a_message(network: Network) -> None:
    def echo(request: httpx2.Request) -> httpx2.Response:
        message = f"{request.headers.get('authorization')} is wrong, {request.url}"
        return httpx2.Response(
            401 if request.url.path.endswith("models") else 500, json={"error": {"message": message}}
        )

    network.answers["one"] = echo
    options: dict[str, Any] = {"api_key": "s3cret-key", "max_attempts": 1}
    servers = network.servers("http://user:pa55word@one/v1", **options)
    for path in ("models", "chat/completions"):
        with pytest.raises(EngineError) as caught:
            await servers.request("GET", path)
        assert "s3cret" not in str(caught.value)
        assert "pa55word" not in str(caught.value)
        if isinstance(caught.value, StatusError):
            assert "s3cret" not in str(caught.value.error)
    assert "s3cret" not in repr(EngineOptions(**options))


class Held(Network):
    """Hosts that answer when they are let to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request.url.host)
        await self.gate.wait()
        return httpx2.Response(200, json={"from": request.url.host})


async def held(servers: Servers, keys: list[bytes]) -> list[asyncio.Task[Any]]:
    tasks = []
    for key in keys:
        tasks.append(asyncio.ensure_future(servers.request("POST", "x", key=key)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return tasks


async def test_no_server_gets_much_more_than_its_share_however_keys_fall() -> None:
    network = Held()
    servers = network.servers(*URLS, max_connections=1_000)
    favourite = hosts(servers, b"0")[0]
    keys = [key for number in range(3_000) if hosts(servers, key := str(number).encode())[0] == favourite][:90]
    tasks = await held(servers, keys)
    loads = {backend.name: backend.in_flight for backend in servers.backends()}
    assert sum(loads.values()) == 90
    assert loads[favourite] == max(loads.values())
    assert max(loads.values()) <= 1.25 * 30 + 4 + 1
    network.gate.set()
    await asyncio.gather(*tasks)
    assert all(backend.in_flight == 0 for backend in servers.backends())
    assert servers._homes == {}


async def test_a_group_stays_together_also_beyond_a_servers_share() -> None:
    network = Held()
    servers = network.servers(*URLS, max_connections=1_000)
    tasks = await held(servers, [b"group"] * 60)
    assert len(set(network.asked)) == 1
    network.gate.set()
    await asyncio.gather(*tasks)
    assert {(await task)["from"] for task in tasks} == set(network.asked)


async def test_how_attempts_ended_is_counted_by_server(network: Network) -> None:
    servers = network.servers("http://one/v1", max_attempts=1)
    for status in (200, 429, 500, 400):
        network.status("one", status)
        if status == 200:
            network.answers.clear()
        with suppress(EngineError):
            await servers.request("GET", "models")
    (backend,) = servers.backends()
    assert backend.requests == {"ok": 1, "busy": 1, "failed": 1, "refused": 1}
    assert (backend.name, backend.in_flight, backend.up) == ("http://one/v1", 0, True)


async def test_a_server_that_fails_is_shown_down_and_up_again_when_it_answers(network: Network) -> None:
    servers = network.servers("http://one/v1", "http://user:sesame@two/v1", max_attempts=1)
    network.status("two", 500)
    await servers.try_each("GET", "models")
    assert {backend.name: backend.up for backend in servers.backends()} == {
        "http://one/v1": True,
        "http://user:***@two/v1": False,
    }
    network.answers.clear()
    await servers.try_each("GET", "models")
    assert all(backend.up for backend in servers.backends())
