"""Remote engines that are late, busy, broken, lying or gone: no made-up score, the right outcome, and recovery."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edit_rrm_service.app import create_app
from edit_rrm_service.settings import Settings
from tests.engines import fake_openai
from tests.engines.fake_openai import Answer, FakeServer, failing, good, saying
from tests.fakes.engine import GOOD, PRINCIPLES
from tests.faults.load import metric
from tests.service.running import error_of, eventually, png, post, serving, until

EDITS = tuple(png("blue", (64 + index, 64)) for index in range(6))


async def judging(request: Request, body: dict[str, Any]) -> Response:
    """What a judge that works answers."""
    images = json.dumps(body["messages"]).count("image_url")
    return good(body, PRINCIPLES if images <= 2 else GOOD)


def broken_after(principles: bool, answer: Answer) -> Answer:
    """Decomposes well, and then answers like this."""

    async def mixed(request: Request, body: dict[str, Any]) -> Response:
        images = json.dumps(body["messages"]).count('"image_url"')
        whole = images <= 2 if principles else False
        return await (judging if whole else answer)(request, body)

    return mixed


def choice(**fields: Any) -> Answer:
    """Well-formed JSON with such a choice."""

    async def answer(request: Request, body: dict[str, Any]) -> Response:
        return JSONResponse({"choices": [fields], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    return answer


def wrote(text: str) -> Answer:
    return choice(index=0, message={"role": "assistant", "content": text}, finish_reason="stop")


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    with fake_openai.running() as one, fake_openai.running() as two:
        one.usual = two.usual = judging
        yield [one, two]


@pytest.fixture
async def client(servers: list[FakeServer]) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(
        engine="openai",
        base_urls=tuple(server.url for server in servers),
        sentinels="off",
        engine_check_ms=100,
        cache_bytes=0,
    )
    app = create_app(settings)
    async with serving(app) as url, httpx2.AsyncClient(base_url=url, timeout=60.0) as client:
        await until(lambda: app.state.service.lifecycle.started)
        yield client


async def judged(client: httpx2.AsyncClient, deadline_ms: int = 20_000) -> tuple[Counter[str], float]:
    """Outcomes of a group, held to the failure contract, and the seconds it took."""
    began = time.monotonic()
    reply = await post(client, "/v1/rewards", edited=EDITS, headers={"x-deadline-ms": str(deadline_ms)})
    if reply.status_code != 200:
        return Counter({error_of(reply)["code"]: 1}), time.monotonic() - began
    results = reply.json()["results"]
    for result in results:
        assert (result["score"] is not None) is (result["outcome"] == "scored"), result
    return Counter(result["outcome"] for result in results), time.monotonic() - began


FAULTS: dict[str, tuple[Answer, set[str]]] = {
    "500": (failing(500), {"engine_error"}),
    "503": (failing(503), {"engine_error"}),
    "429": (failing(429), {"engine_error"}),
    "401": (failing(401), {"engine_error"}),
    "a proxy's page": (saying("<html>502 Bad Gateway</html>"), {"engine_error"}),
    "half an answer": (saying('{"choices": [{"index": 0, "mess'), {"engine_error"}),
    "no choices": (saying('{"object": "chat.completion"}'), {"engine_error"}),
    "no content": (
        choice(index=0, message={"role": "assistant", "content": None}, finish_reason="stop"),
        {"engine_error", "refused", "unparsable"},
    ),
    "babble": (wrote("As an AI model I think it is lovely. 10/10"), {"unparsable"}),
    "a score of eleven": (wrote(GOOD.replace("9.5", "11")), {"unparsable"}),
    "a score that is none": (wrote(GOOD.replace("9.5", "nan")), {"unparsable"}),
    "one verdict too few": (wrote(GOOD.replace("1 1 1", "1 1")), {"unparsable"}),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_every_server_is_said_and_passes(
    client: httpx2.AsyncClient, servers: list[FakeServer], fault: str
) -> None:
    answer, outcomes = FAULTS[fault]
    assert (await judged(client))[0] == {"scored": 6}
    for server in servers:
        server.usual = broken_after(True, answer)
    found, seconds = await judged(client)
    assert set(found) <= outcomes
    assert seconds < 15.0
    for server in servers:
        server.usual = judging

    async def recovered() -> bool:
        return (await judged(client))[0] == {"scored": 6}

    await eventually(recovered, tries=100)
    told = sum([await metric(client, "edit_rrm_outcomes_total", outcome=outcome) for outcome in outcomes])
    assert told >= 6


@pytest.mark.parametrize("fault", ["500", "503", "429", "a proxy's page", "half an answer"])
async def test_a_fault_of_one_server_costs_nobody_anything(
    client: httpx2.AsyncClient, servers: list[FakeServer], fault: str
) -> None:
    for broken in servers:
        broken.usual = FAULTS[fault][0]
        for _ in range(3):
            assert (await judged(client))[0] == {"scored": 6}
        broken.usual = judging


async def test_a_server_that_hangs_costs_its_deadline_and_no_more(
    client: httpx2.AsyncClient, servers: list[FakeServer]
) -> None:
    for server in servers:
        server.usual = broken_after(True, server.hang())
    found, seconds = await judged(client, deadline_ms=1_000)
    assert found == {"timed_out": 6}
    assert seconds < 3.0
    await until(lambda: sum(server.disconnects for server in servers) == 6)
    for server in servers:
        server.usual = judging
    assert (await judged(client))[0] == {"scored": 6}
    assert await metric(client, "edit_rrm_turns_in_flight") == 0


async def test_a_server_that_flaps_is_left_alone_and_taken_back(
    client: httpx2.AsyncClient, servers: list[FakeServer]
) -> None:
    flapping = servers[0]

    async def down(request: Request, body: dict[str, Any]) -> Response:
        return Response(status_code=503)

    for _ in range(3):
        flapping.usual, flapping.models = failing(503), down

        async def ejected() -> bool:
            return await metric(client, "edit_rrm_backend_up", backend=flapping.url) == 0

        await eventually(ejected)
        before = flapping.hits()
        assert (await judged(client))[0] == {"scored": 6}
        assert flapping.hits() == before
        flapping.usual, flapping.models = judging, None

        async def back() -> bool:
            return await metric(client, "edit_rrm_backend_up", backend=flapping.url) == 1

        await eventually(back)
    assert (await client.get("/readyz")).status_code == 200


async def test_without_any_server_the_service_is_unready_and_comes_back(
    client: httpx2.AsyncClient, servers: list[FakeServer]
) -> None:
    async def down(request: Request, body: dict[str, Any]) -> Response:
        return Response(status_code=503)

    for server in servers:
        server.models = down

    async def unready() -> bool:
        return (await client.get("/readyz")).status_code == 503

    await eventually(unready)
    assert (await judged(client))[0] == {"not_ready": 1}
    assert (await client.get("/livez")).status_code == 200
    for server in servers:
        server.models = None

    async def ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually(ready)
    assert (await judged(client))[0] == {"scored": 6}


async def test_a_whole_group_goes_to_one_server(client: httpx2.AsyncClient, servers: list[FakeServer]) -> None:
    for index in range(8):
        before = [server.hits() for server in servers]
        await post(client, "/v1/rewards", instruction=f"make it {index}", edited=EDITS)
        thought = [server.hits() - hits for server, hits in zip(servers, before, strict=True)]
        assert sum(thought) == 7
        assert max(thought) >= 6
