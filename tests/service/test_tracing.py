"""A trace tells where a request's time went, under its caller's trace, and nothing of what was asked."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from edit_rrm_service.app import create_app
from edit_rrm_service.engines.base import Completion, EngineError, Prompt, Sampling
from edit_rrm_service.engines.options import EngineOptions
from edit_rrm_service.engines.servers import Servers
from edit_rrm_service.settings import Settings
from edit_rrm_service.tracing import NoTracer, OpenTelemetryTracer, TracingError, outgoing, tracer_for
from tests.fakes.engine import FakeEngine
from tests.service.running import EDITED, INSTRUCTION, loaded_judge, png, post, serving, until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Listening(FakeEngine):
    """Remembers what it would hand on to a server."""

    def __init__(self) -> None:
        super().__init__()
        self.handed_on: list[str | None] = []

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion | EngineError]:
        self.handed_on.append(outgoing.get().get("traceparent"))
        return await super().generate(prompts, sampling)


def parents(spans: Sequence[ReadableSpan]) -> set[tuple[str, str | None]]:
    """Every span's name with its parent's; `caller` for one that is not among them."""
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    return {(span.name, None if span.parent is None else names.get(span.parent.span_id, "caller")) for span in spans}


async def test_a_request_is_a_tree_of_spans_under_its_callers_trace() -> None:
    exporter, engine = InMemorySpanExporter(), Listening()
    app = create_app(
        Settings(sentinels="off"),
        loader=lambda _: loaded_judge(engine),
        tracer=OpenTelemetryTracer(exporter, at_once=True),
    )
    async with serving(app) as url, httpx2.AsyncClient(base_url=url) as client:
        await until(lambda: app.state.service.lifecycle.started)
        await post(client, "/v1/rewards", edited=(EDITED, png("green")), headers=TRACEPARENT)
        await client.get("/readyz", headers=TRACEPARENT)
    spans = exporter.get_finished_spans()
    assert parents(spans) == {
        ("POST /v1/rewards", "caller"),
        ("decode", "POST /v1/rewards"),
        ("decompose", "POST /v1/rewards"),
        ("engine", "decompose"),
        ("verify", "POST /v1/rewards"),
        ("engine", "verify"),
    }
    assert len(spans) == 8
    assert {format(span.context.trace_id, "032x") for span in spans if span.context is not None} == {TRACE}
    (request,) = (span for span in spans if span.name.startswith("POST"))
    assert request.attributes is not None
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["edit_rrm.caller"] == "anonymous"
    told = " ".join(str(dict(span.attributes or {})) for span in spans)
    assert INSTRUCTION not in told
    engines = [format(span.context.span_id, "016x") for span in spans if span.name == "engine" and span.context]
    assert sorted(engine.handed_on, key=str) == sorted(f"00-{TRACE}-{span}-01" for span in engines)


async def test_servers_get_what_is_handed_on() -> None:
    seen: list[str | None] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("traceparent"))
        return httpx2.Response(200, json={})

    servers = Servers(EngineOptions(base_urls=("http://one/v1",)), transport=httpx2.MockTransport(answer))
    await servers.request("GET", "models")
    token = outgoing.set(TRACEPARENT)
    await servers.request("GET", "models")
    outgoing.reset(token)
    assert seen == [None, TRACEPARENT["traceparent"]]
    await servers.close()


def test_without_an_endpoint_there_are_none() -> None:
    tracer = tracer_for(None)
    assert isinstance(tracer, NoTracer)
    with tracer.span("x"), tracer.request("y", []) as span:
        span.note("a", 1)
    assert tracer.headers() == {}


def test_where_opentelemetry_is_missing_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(TracingError, match=r"edit-rrm\[tracing\]"):
        tracer_for("http://collector:4318/v1/traces")
