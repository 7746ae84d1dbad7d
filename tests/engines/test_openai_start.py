"""What the openai engine finds out at start: the model, the request fields, and whether probes are possible."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edit_rrm.card import JudgeCard, ProbeLabels
from edit_rrm_service.engines.base import EngineStartError, LabelReading, ProbeUnsupportedError, Sampling
from edit_rrm_service.engines.openai import OpenAIEngine
from edit_rrm_service.engines.options import EngineOptions
from tests.engines import fake_openai
from tests.engines.fake_openai import MODEL, FakeServer
from tests.engines.prompts import LABELS, card, probes, thinks


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with fake_openai.running() as fake:
        yield fake


@asynccontextmanager
async def started(
    *urls: str, model: str = "", judge: JudgeCard | None = None, labels: tuple[str, ...] = LABELS, **options: Any
) -> AsyncIterator[OpenAIEngine]:
    engine = OpenAIEngine(model, judge or card(), EngineOptions(base_urls=urls, **options))
    try:
        await engine.start(labels)
        yield engine
    finally:
        await engine.close()


async def test_the_only_model_is_taken(server: FakeServer) -> None:
    async with started(server.url) as engine:
        facts = engine.facts
    assert (facts.engine, facts.model, facts.weights_digest) == ("openai", MODEL, None)


async def test_a_model_that_is_not_served(server: FakeServer) -> None:
    with pytest.raises(EngineStartError, match=f"model 'other' is not served there; the servers list: {MODEL}"):
        async with started(server.url, model="other"):
            pass


async def test_one_of_several_models_has_to_be_named(server: FakeServer) -> None:
    async def two(request: Request, body: dict[str, Any]) -> Response:
        return JSONResponse({"data": [{"id": "a"}, {"id": "b"}]})

    server.models = two
    with pytest.raises(EngineStartError, match="say which model; the servers list: a, b"):
        async with started(server.url):
            pass
    async with started(server.url, model="b") as engine:
        assert engine.facts.model == "b"


async def test_a_host_that_lists_no_models(server: FakeServer) -> None:
    server.models = fake_openai.failing(404)
    async with started(server.url, model="known") as engine:
        assert engine.facts.model == "known"


@pytest.mark.parametrize("listing", ["[]", '{"data": null}', '{"data": ["a", 1]}', "{}", "<html>", "nul"])
async def test_a_list_of_models_in_another_form(server: FakeServer, listing: str) -> None:
    server.models = fake_openai.saying(listing)
    with pytest.raises(EngineStartError) as caught:
        async with started(server.url):
            pass
    assert "\n" not in str(caught.value)


async def test_without_a_server(server: FakeServer) -> None:
    with pytest.raises(EngineStartError, match="at least one base URL"):
        async with started():
            pass
    with pytest.raises(EngineStartError, match=r"no server can be used: http://127\.0\.0\.1:1/v1: ConnectError"):
        async with started("http://127.0.0.1:1/v1"):
            pass


async def test_one_server_of_two_is_enough(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with started("http://127.0.0.1:1/v1", server.url) as engine:
            assert engine.facts.model == MODEL
    assert "a server is not available at start: http://127.0.0.1:1/v1" in caplog.text


async def test_a_wrong_key_is_said_and_not_shown(server: FakeServer) -> None:
    server.models = fake_openai.failing(401, "Incorrect API key provided: s3cret-key")
    with pytest.raises(EngineStartError, match="check the API key") as caught:
        async with started(server.url, api_key="s3cret-key"):
            pass
    assert "s3cret" not in str(caught.value)
    server.models = None
    server.usual = fake_openai.failing(401, "Incorrect API key provided: s3cret-key")
    with pytest.raises(EngineStartError, match="check the API key") as caught:
        async with started(server.url, api_key="s3cret-key"):
            pass
    assert "s3cret" not in str(caught.value)
    assert set(server.keys) == {"Bearer s3cret-key"}


async def test_an_older_host_gets_max_tokens(server: FakeServer) -> None:
    server.usual = fake_openai.older()
    async with started(server.url) as engine:
        await engine.generate(thinks(1), Sampling(7))
    assert server.bodies[-1]["max_tokens"] == 7
    assert "max_completion_tokens" not in server.bodies[-1]


async def test_a_host_that_takes_no_request_at_all(server: FakeServer) -> None:
    server.usual = fake_openai.failing(400, "images are not supported")
    with pytest.raises(EngineStartError, match=r"a trial request failed: .*images are not supported"):
        async with started(server.url):
            pass


async def test_probes_by_token_on_vllm(server: FakeServer) -> None:
    server.vllm = "0.32.0"
    async with started(server.url) as engine:
        assert engine.facts.supports_probe
        assert engine.facts.details["probe"] == "token_ids"
        assert engine.facts.details["labels"] == fake_openai.TOKENS
        (reading,) = await engine.probe(probes(1)[:1], LABELS)
    assert isinstance(reading, LabelReading)
    assert server.bodies[-1]["logprob_token_ids"] == sorted(fake_openai.TOKENS.values())


async def test_labels_of_several_tokens_on_vllm(server: FakeServer) -> None:
    server.vllm = "0.32.0"
    judge = card().model_copy(update={"labels": ProbeLabels(yes=("Yes", "Certainly"), no=("No",))})
    async with started(server.url, judge=judge, labels=("Yes", "Certainly", "No")) as engine:
        assert engine.facts.details["labels"] == {"Yes": 11, "No": 13}
    judge = card().model_copy(update={"labels": ProbeLabels(yes=("Certainly",), no=("No",))})
    with pytest.raises(EngineStartError, match="none of the labels 'Certainly' is a single token"):
        async with started(server.url, judge=judge, labels=("Certainly", "No")):
            pass


async def test_probes_by_text_elsewhere(server: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with started(server.url) as engine:
            assert engine.facts.supports_probe
            assert engine.facts.details["probe"] == "top_logprobs"
    assert "only the 20 most likely tokens" in caplog.text


@pytest.mark.parametrize("vllm", [None, "0.32.0"])
async def test_probes_are_refused_where_there_are_no_log_probabilities(
    server: FakeServer, vllm: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    server.vllm = vllm
    server.usual = fake_openai.without_logprobs()
    with caplog.at_level(logging.WARNING):
        async with started(server.url) as engine:
            assert not engine.facts.supports_probe
            before = server.hits()
            readings = await engine.probe(probes(1), LABELS)
            assert server.hits() == before
            (completion,) = await engine.generate(thinks(1), Sampling(7))
    assert "returns no log-probabilities: mode 'probe' is not available, only 'think'" in caplog.text
    assert len(readings) == 3
    for reading in readings:
        assert isinstance(reading, ProbeUnsupportedError)
        assert "use mode 'think'" in str(reading)
        assert not reading.retryable
    assert not isinstance(completion, Exception)


async def test_facts_before_start_are_a_mistake() -> None:
    engine = OpenAIEngine("", card(), EngineOptions(base_urls=("http://127.0.0.1:1/v1",)))
    with pytest.raises(RuntimeError, match="not been started"):
        _ = engine.facts
    await engine.close()
