"""The openai engine at work: servers fail, hang and recover, and no failure becomes an answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response

from edit_rrm_service.engines.base import (
    Completion,
    EngineDeadError,
    EngineError,
    EngineImage,
    LabelReading,
    Prompt,
    Sampling,
)
from edit_rrm_service.engines.openai import OpenAIEngine, sharing_key
from edit_rrm_service.engines.options import EngineOptions
from tests.engines import fake_openai
from tests.engines.fake_openai import P_YES, Answer, FakeServer
from tests.engines.prompts import LABELS, card, picture, probes, thinks

GREEDY = Sampling(16)
TIMEOUT_S = 1.0


@pytest.fixture
def servers() -> Iterator[list[FakeServer]]:
    """Two servers of one model."""
    with fake_openai.running() as one, fake_openai.running() as two:
        yield [one, two]


@pytest.fixture
async def engine(servers: list[FakeServer]) -> AsyncIterator[OpenAIEngine]:
    options = EngineOptions(
        base_urls=tuple(server.url for server in servers), api_key="s3cret-key", request_timeout_s=30.0, eject_s=3.0
    )
    engine = OpenAIEngine("", card(), options)
    await engine.start(LABELS)
    for server in servers:
        server.bodies.clear()
    yield engine
    await engine.close()


@pytest.fixture
async def hasty(servers: list[FakeServer]) -> AsyncIterator[OpenAIEngine]:
    """An engine that does not wait long for an answer."""
    options = EngineOptions(base_urls=tuple(server.url for server in servers), request_timeout_s=TIMEOUT_S)
    engine = OpenAIEngine("", card(), options)
    await engine.start(LABELS)
    yield engine
    await engine.close()


def prefers(prompt: Prompt, servers: list[FakeServer], engine: OpenAIEngine) -> tuple[FakeServer, FakeServer]:
    """The server a prompt goes to, and the other one."""
    first = engine._servers.order(sharing_key(prompt))[0].url
    return (servers[0], servers[1]) if servers[0].url == first else (servers[1], servers[0])


async def test_texts_and_readings(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    for server in servers:
        server.texts = "1. fine: yes"
    completions = await engine.generate(thinks(3), GREEDY)
    assert completions == [Completion("1. fine: yes", "stop", 50, 32, 3)] * 3
    (reading, *_) = await engine.probe(probes(1), LABELS)
    assert isinstance(reading, LabelReading)
    assert math.exp(reading.logprobs["Yes"]) == pytest.approx(P_YES)
    assert (reading.prompt_tokens, reading.cached_tokens) == (50, 32)


async def test_a_group_stays_on_one_server_and_groups_spread(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    await engine.generate(thinks(6), GREEDY)
    assert sorted(server.hits() for server in servers) == [0, 6]
    for seed in range(1, 22):
        await engine.probe(probes(1, seed=seed), LABELS)
    assert min(server.hits() for server in servers) >= 3


def test_what_edits_of_one_source_share_is_their_key() -> None:
    group = {sharing_key(prompt) for prompt in (*thinks(3), *thinks(2, seed=0))}
    assert len(group) == 1
    assert len({sharing_key(prompt) for prompt in probes(2)}) == 1
    others = {sharing_key(thinks(1, seed=1)[0]), sharing_key(thinks(1, instruction="Remove it")[0])}
    assert not group & others


@pytest.mark.parametrize(
    "answer",
    [fake_openai.failing(500), fake_openai.failing(429), fake_openai.saying("<html>"), fake_openai.saying("{")],
)
async def test_a_failure_is_made_up_for_by_the_other_server(
    engine: OpenAIEngine, servers: list[FakeServer], answer: Answer
) -> None:
    (prompt,) = thinks(1)
    first, second = prefers(prompt, servers, engine)
    first.script.append(answer)
    (completion,) = await engine.generate([prompt], GREEDY)
    assert isinstance(completion, Completion)
    assert (first.hits(), second.hits()) == (1, 1)


async def test_a_hang_is_made_up_for_and_given_up(hasty: OpenAIEngine, servers: list[FakeServer]) -> None:
    (prompt,) = thinks(1)
    first, _ = prefers(prompt, servers, hasty)
    first.usual = first.hang()
    started = time.monotonic()
    (completion,) = await hasty.generate([prompt], GREEDY)
    assert isinstance(completion, Completion)
    assert time.monotonic() - started > TIMEOUT_S
    await until(lambda: first.disconnects == 1)


async def test_the_limit_is_for_one_attempt_and_says_what_it_was(
    hasty: OpenAIEngine, servers: list[FakeServer]
) -> None:
    for server in servers:
        server.usual = server.hang()
    started = time.monotonic()
    (error,) = await hasty.generate(thinks(1), GREEDY)
    assert 3 * TIMEOUT_S < time.monotonic() - started < 3 * TIMEOUT_S + 20.0
    assert isinstance(error, EngineError)
    assert error.retryable
    assert "no answer in 1 s" in str(error)


async def test_a_server_is_left_alone_and_taken_back(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    (prompt,) = thinks(1)
    first, second = prefers(prompt, servers, engine)
    first.script.append(fake_openai.failing(503))
    await engine.generate([prompt], GREEDY)
    assert engine._servers.order(sharing_key(prompt))[0].url == second.url
    await until(lambda: engine._servers.order(sharing_key(prompt))[0].url == first.url)
    before = first.hits()
    await engine.generate([prompt], GREEDY)
    assert first.hits() == before + 1


async def test_one_bad_prompt_costs_no_other(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    prompts = thinks(3)
    prompts[1] = Prompt("System.", ("x" * 100, picture(1)))
    for server in servers:

        async def picky(request: Request, body: dict[str, object]) -> Response:
            long = "xxx" in fake_openai.text_of(body)
            return await (fake_openai.failing(400, "too long") if long else fake_openai.slow(0.0))(request, body)

        server.usual = picky
    one, bad, three = await engine.generate(prompts, GREEDY)
    assert isinstance(one, Completion)
    assert isinstance(three, Completion)
    assert isinstance(bad, EngineError)
    assert str(bad) == "the server answered 400: too long"
    assert not bad.retryable


async def test_a_moderation_error_is_a_refusal(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    for server in servers:
        server.usual = fake_openai.failing(400, "filtered", code="content_filter")
    (completion,) = await engine.generate(thinks(1), GREEDY)
    assert isinstance(completion, Completion)
    assert completion.finish_reason == "refused"


@pytest.mark.parametrize("text", ["[]", "null", '{"choices": [{"message": "hi", "finish_reason": "stop"}]}', "{}"])
async def test_json_in_another_form_is_an_error(engine: OpenAIEngine, servers: list[FakeServer], text: str) -> None:
    for server in servers:
        server.usual = fake_openai.saying(text)
    for result in (*await engine.generate(thinks(1), GREEDY), *await engine.probe(probes(1), LABELS)):
        assert isinstance(result, EngineError)
        assert not isinstance(result, EngineDeadError)


async def test_log_probabilities_that_go_missing_are_an_error(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    for server in servers:
        server.usual = fake_openai.without_logprobs()
    for reading in await engine.probe(probes(1), LABELS):
        assert isinstance(reading, EngineError)
        assert "no log-probabilities" in str(reading)


async def test_the_key_is_sent_and_never_shown(
    engine: OpenAIEngine, servers: list[FakeServer], caplog: pytest.LogCaptureFixture
) -> None:
    for server in servers:
        server.script.extend([fake_openai.failing(500, "s3cret-key failed"), fake_openai.failing(401, "s3cret-key?")])
    (error,) = await engine.generate(thinks(1), GREEDY)
    assert isinstance(error, EngineError)
    assert set(servers[0].keys + servers[1].keys) == {"Bearer s3cret-key"}
    assert "s3cret" not in str(error) + repr(error) + caplog.text


async def test_cancelling_a_call_closes_its_connections(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    for server in servers:
        server.usual = server.hang()
    call = asyncio.create_task(engine.generate(thinks(4), GREEDY))
    await until(lambda: sum(server.hits() for server in servers) == 4)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: sum(server.disconnects for server in servers) == 4)
    for server in servers:
        server.usual = None
    (completion,) = await engine.generate(thinks(1), GREEDY)
    assert isinstance(completion, Completion)


async def test_check_wants_one_server(engine: OpenAIEngine, servers: list[FakeServer]) -> None:
    await engine.check()
    servers[0].models = fake_openai.failing(500)
    await engine.check()
    servers[1].models = fake_openai.failing(503, "loading")
    with pytest.raises(EngineError, match=r"no server answers: .*500.*503 loading") as caught:
        await engine.check()
    # Replacing this process would not bring a server back.
    assert not isinstance(caught.value, EngineDeadError)


async def test_what_cannot_be_sent_is_its_own_entry(engine: OpenAIEngine) -> None:
    no_png = EngineImage(Image.new("F", (28, 28)), "floats")
    good, bad = await engine.generate([*thinks(1), Prompt("System.", (no_png, "ok?"))], GREEDY)
    assert isinstance(good, Completion)
    assert isinstance(bad, EngineError)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.02)
