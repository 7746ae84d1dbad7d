"""The documentation that /docs draws from: every endpoint, both kinds of body, and no reference that leads nowhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.fakes.engine import FakeEngine
from tests.service.running import running

JUDGING = ("/v1/decompose", "/v1/verify", "/v1/reward", "/v1/rewards")


@pytest.fixture(scope="module")
async def schema() -> AsyncIterator[dict[str, Any]]:
    async with running(FakeEngine()) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "/openapi.json" in page.text
        yield (await client.get("/openapi.json")).json()


def references(node: object) -> Iterator[str]:
    """Every `$ref` of a schema."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_every_endpoint_is_there(schema: dict[str, Any]) -> None:
    others = {
        "/v1/identity",
        "/livez",
        "/readyz",
        "/startupz",
        "/metrics",
        "/score",
        "/rewards",
        "/health",
        "/get_reward",
    }
    assert set(schema["paths"]) == {*JUDGING, *others}


@pytest.mark.parametrize("path", JUDGING)
async def test_both_kinds_of_body_are_described(schema: dict[str, Any], path: str) -> None:
    content = schema["paths"][path]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    for kind in content.values():
        wanted = {"instruction", "source"} if path == "/v1/decompose" else {"instruction", "source", "edited"}
        assert wanted <= set(kind["schema"]["required"])
        assert kind["schema"]["additionalProperties"] is False


async def test_no_reference_leads_nowhere(schema: dict[str, Any]) -> None:
    for reference in references(schema):
        node: Any = schema
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


@pytest.mark.parametrize("path", JUDGING)
async def test_every_error_has_the_one_shape(schema: dict[str, Any], path: str) -> None:
    responses = schema["paths"][path]["post"]["responses"]
    for status in ("400", "401", "413", "415", "422", "429", "502", "503", "504"):
        reference = responses[status]["content"]["application/json"]["schema"]["$ref"]
        assert reference == "#/components/schemas/ErrorBody"
